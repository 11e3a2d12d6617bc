"""The part of CloudWatch's metric math that the policies use, at one point in time.

docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache

#: A number, or None if there is no point: then every result computed from it is None too.
Point = float | None
_Reading = Callable[[Mapping[str, Point]], Point]

_OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
}


def evaluate(expression: str, points: Mapping[str, Point]) -> Point:
    """Evaluate an expression for these points of the metrics.

    Raises:
        ValueError: the expression uses an unknown function or metric.
    """
    return _compiled(expression)(points)


@cache
def _compiled(expression: str) -> _Reading:
    return _reading(ast.parse(expression.replace(" AND ", " and "), mode="eval").body)


def _reading(node: ast.expr) -> _Reading:
    """The function that takes points to a node's value: a simulated day calls it often."""
    match node:
        case ast.Constant(int() | float() as number):
            return lambda _: number
        case ast.Name(name):
            return lambda points: _point(name, points)
        case ast.BinOp(left, sign, right) | ast.Compare(left, [sign], [right]):
            return _combination(sign, _reading(left), _reading(right))
        case ast.BoolOp(ast.And(), operands):
            return _conjunction([_reading(each) for each in operands])
        case ast.Call(ast.Name("FILL"), [series, filler]):
            return _filling(_reading(series), _reading(filler))
        case ast.Call(ast.Name("CEIL"), [series]):
            return _ceiling(_reading(series))
        case ast.Call(ast.Name("IF"), [condition, then, otherwise]):
            return _choice(_reading(condition), _reading(then), _reading(otherwise))
    raise _unknown(ast.unparse(node))


def _point(name: str, points: Mapping[str, Point]) -> Point:
    if name not in points:
        raise _unknown(name)
    return points[name]


def _combination(sign: ast.AST, left: _Reading, right: _Reading) -> _Reading:
    if type(sign) not in _OPERATORS:
        raise _unknown(type(sign).__name__)
    combine, divides = _OPERATORS[type(sign)], isinstance(sign, ast.Div)

    def combined(points: Mapping[str, Point]) -> Point:
        one, other = left(points), right(points)
        if one is None or other is None or (divides and not other):
            return None
        return float(combine(one, other))

    return combined


def _conjunction(operands: Sequence[_Reading]) -> _Reading:
    def conjoined(points: Mapping[str, Point]) -> Point:
        values = [each(points) for each in operands]
        return None if None in values else float(all(values))

    return conjoined


def _filling(series: _Reading, filler: _Reading) -> _Reading:
    def filled(points: Mapping[str, Point]) -> Point:
        found = series(points)
        return filler(points) if found is None else found

    return filled


def _ceiling(series: _Reading) -> _Reading:
    def rounded(points: Mapping[str, Point]) -> Point:
        found = series(points)
        return None if found is None else math.ceil(found)

    return rounded


def _choice(condition: _Reading, then: _Reading, otherwise: _Reading) -> _Reading:
    def chosen(points: Mapping[str, Point]) -> Point:
        found = condition(points)
        return None if found is None else (then if found else otherwise)(points)

    return chosen


def _unknown(part: str) -> ValueError:
    return ValueError(f"{part!r}: teach bench/scaling/expressions.py what it means.")
