"""The part of CloudWatch's metric math that the policies use, at one point in time.

docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache

#: A number, or None if there is no point: then every result computed from it is None too.
Point = float | None

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
    return _value(_parsed(expression), points)


@cache
def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression.replace(" AND ", " and "), mode="eval").body


def _value(node: ast.expr, points: Mapping[str, Point]) -> Point:
    match node:
        case ast.Constant(int() | float() as number):
            return number
        case ast.Name(name) if name in points:
            return points[name]
        case ast.BinOp(left, sign, right):
            return _combined(sign, _value(left, points), _value(right, points))
        case ast.Compare(left, [sign], [right]):
            return _combined(sign, _value(left, points), _value(right, points))
        case ast.BoolOp(ast.And(), operands):
            values = [_value(each, points) for each in operands]
            return None if None in values else float(all(values))
        case ast.Call(ast.Name("FILL"), [series, filler]):
            found = _value(series, points)
            return _value(filler, points) if found is None else found
        case ast.Call(ast.Name("CEIL"), [series]):
            found = _value(series, points)
            return None if found is None else math.ceil(found)
        case ast.Call(ast.Name("IF"), [condition, then, otherwise]):
            found = _value(condition, points)
            return None if found is None else _value(then if found else otherwise, points)
    raise ValueError(f"{ast.unparse(node)!r}: teach bench/scaling/expressions.py what it means.")


def _combined(sign: ast.AST, left: Point, right: Point) -> Point:
    if type(sign) not in _OPERATORS:
        raise ValueError(f"{sign}: teach bench/scaling/expressions.py what it means.")
    if left is None or right is None or (isinstance(sign, ast.Div) and not right):
        return None
    return float(_OPERATORS[type(sign)](left, right))
