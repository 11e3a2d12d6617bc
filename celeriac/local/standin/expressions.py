"""DynamoDB's expressions: conditions, key conditions, filters, updates and projections.

docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html

An expression is parsed once, into functions that take the item and the call's names and values.
Values stay as DynamoDB sends them: ``{"S": "text"}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

from celeriac.local.standin.errors import AwsError

Value = dict[str, Any]
Item = dict[str, Value]
Path = tuple[str | int, ...]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),+\-.]|\[\d+\]|[#:]?\w+)")
_CLAUSES = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
_SET_TYPES = frozenset({"SS", "NS", "BS"})
CACHED = 4096


@dataclass(frozen=True)
class Scope:
    """What an expression is evaluated against."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Value]

    def path(self, path: Path) -> Path:
        """The path with its ``#names`` filled in."""
        return tuple(
            self.names[each] if isinstance(each, str) and each.startswith("#") else each
            for each in path
        )


Operand = Callable[[Scope], Value | None]
Condition = Callable[[Scope], bool]


@dataclass(frozen=True)
class Update:
    """The actions of an update expression, each with its path."""

    sets: list[tuple[Path, Operand]] = field(default_factory=list)
    removes: list[Path] = field(default_factory=list)
    adds: list[tuple[Path, Operand]] = field(default_factory=list)
    deletes: list[tuple[Path, Operand]] = field(default_factory=list)

    def apply(self, scope: Scope) -> tuple[Item, set[str]]:
        """The updated item, and the top-level attributes touched. ``scope.item`` stays as it is.

        Every operand is of the item as it was before the update.
        """
        item = dict(scope.item)
        touched = set()
        for path, operand in self.sets:
            value = operand(scope)
            if value is None:
                raise _invalid("The provided expression refers to an attribute that doesn't exist")
            touched.add(_put(item, scope.path(path), value))
        for path in self.removes:
            touched.add(_remove(item, scope.path(path)))
        for path, operand in self.adds:
            (name,) = scope.path(path)
            item[str(name)] = _added(scope.item.get(str(name)), operand(scope))
            touched.add(str(name))
        for path, operand in self.deletes:
            (name,) = scope.path(path)
            left = _without(scope.item.get(str(name)), operand(scope))
            touched.add(str(name))
            if left is None:
                item.pop(str(name), None)
            else:
                item[str(name)] = left
        return item, touched


@dataclass(frozen=True)
class Parsed:
    """A parsed expression, and the ``#names`` and ``:values`` it uses."""

    node: Any
    used: frozenset[str]


@lru_cache(CACHED)
def condition(text: str) -> Parsed:
    """Parse a condition; its node is a ``Condition``."""
    parser = _Parser(text)
    node = parser.disjunction()
    return parser.end(node)


@lru_cache(CACHED)
def update(text: str) -> Parsed:
    """Parse an update; its node is an ``Update``."""
    parser = _Parser(text)
    node = parser.update()
    return parser.end(node)


@lru_cache(CACHED)
def projection(text: str) -> Parsed:
    """Parse a projection; its node is a list of paths."""
    parser = _Parser(text)
    node = [parser.path()]
    while parser.accept(","):
        node.append(parser.path())
    return parser.end(node)


def project(item: Item, paths: list[Path], names: Mapping[str, str]) -> Item:
    """What of an item these paths name: of nested ones, the whole attribute."""
    scope = Scope(item, names, {})
    wanted = {scope.path(path)[0] for path in paths}
    return {name: value for name, value in item.items() if name in wanted}


class _Parser:
    """Recursive descent, from OR down to an operand."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise _invalid(f"Syntax error at {text[position : position + 10]!r}")
            self._tokens.append(match.group(1))
            position = match.end()
        self._at = 0
        self._used: set[str] = set()

    def end(self, node: Any) -> Parsed:
        if self._at < len(self._tokens):
            raise _invalid(f"Syntax error; token: {self._tokens[self._at]!r}")
        return Parsed(node, frozenset(self._used))

    def accept(self, *tokens: str) -> str | None:
        token = self._peek()
        if token in tokens:
            self._at += 1
            return token
        return None

    def path(self) -> Path:
        parts: list[str | int] = [self._name()]
        while True:
            following = self._peek()
            if following == ".":
                self._at += 1
                parts.append(self._name())
            elif following.startswith("["):
                self._at += 1
                parts.append(int(following[1:-1]))
            else:
                return tuple(parts)

    def disjunction(self) -> Condition:
        sides = [self._conjunction()]
        while self.accept("OR"):
            sides.append(self._conjunction())
        if len(sides) == 1:
            return sides[0]
        return lambda scope: any(side(scope) for side in sides)

    def update(self) -> Update:
        parsed = Update()
        while (clause := self._peek()).upper() in _CLAUSES:
            self._at += 1
            while True:
                self._action(parsed, clause.upper())
                if not self.accept(","):
                    break
        return parsed

    def _action(self, parsed: Update, clause: str) -> None:
        path = self.path()
        if clause == "REMOVE":
            parsed.removes.append(path)
        elif clause == "SET":
            self._expect("=")
            parsed.sets.append((path, self._sum()))
        else:
            target = parsed.adds if clause == "ADD" else parsed.deletes
            target.append((path, self._operand()))

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        return token.upper() if token.upper() in {"AND", "OR", "NOT", "IN", "BETWEEN"} else token

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise _invalid(f"The expression ends too early: {self._text!r}")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise _invalid(f"Expected {token!r} in {self._text!r}")

    def _name(self) -> str:
        token = self._next()
        if token.startswith("#"):
            self._used.add(token)
        elif not token[0].isalpha() and token[0] != "_":
            raise _invalid(f"Expected an attribute's name, found {token!r}")
        return token

    def _conjunction(self) -> Condition:
        sides = [self._negation()]
        while self.accept("AND"):
            sides.append(self._negation())
        if len(sides) == 1:
            return sides[0]
        return lambda scope: all(side(scope) for side in sides)

    def _negation(self) -> Condition:
        if self.accept("NOT"):
            inner = self._negation()
            return lambda scope: not inner(scope)
        return self._comparison()

    def _comparison(self) -> Condition:
        if self.accept("("):
            inner = self.disjunction()
            self._expect(")")
            return inner
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ""
        if following == "(" and self._peek() in _PREDICATES:
            return self._predicate(self._next())
        left = self._operand()
        operator = self._next()
        if operator == "BETWEEN":
            low = self._operand()
            self._expect("AND")
            high = self._operand()
            return lambda scope: (
                _compare(">=", left(scope), low(scope)) and _compare("<=", left(scope), high(scope))
            )
        if operator == "IN":
            self._expect("(")
            choices = [self._operand()]
            while self.accept(","):
                choices.append(self._operand())
            self._expect(")")
            return lambda scope: any(
                _compare("=", left(scope), choice(scope)) for choice in choices
            )
        if operator not in {"=", "<>", "<", "<=", ">", ">="}:
            raise _invalid(f"Syntax error; token: {operator!r}")
        right = self._operand()
        return lambda scope: _compare(operator, left(scope), right(scope))

    def _predicate(self, name: str) -> Condition:
        self._expect("(")
        first = self._operand()
        second = self._operand() if self.accept(",") else None
        self._expect(")")
        predicate = _PREDICATES[name]
        return lambda scope: predicate(first(scope), second(scope) if second else None)

    def _sum(self) -> Operand:
        left = self._operand()
        sign = self.accept("+", "-")
        if sign is None:
            return left
        right = self._operand()
        factor = 1 if sign == "+" else -1
        return lambda scope: _number(_numeric(left(scope)) + factor * _numeric(right(scope)))

    def _operand(self) -> Operand:
        token = self._peek()
        if token.startswith(":"):
            self._at += 1
            self._used.add(token)
            return lambda scope: scope.values[token]
        if token in _FUNCTIONS and self._tokens[self._at + 1 : self._at + 2] == ["("]:
            self._at += 2
            function = _FUNCTIONS[token]
            first = self._operand()
            second = self._operand() if self.accept(",") else None
            self._expect(")")
            return lambda scope: function(first(scope), second(scope) if second else None)
        path = self.path()
        if len(path) == 1 and isinstance(path[0], str) and not path[0].startswith("#"):
            name = path[0]
            return lambda scope: scope.item.get(name)
        return lambda scope: _get(scope.item, scope.path(path))


# -- values


def _invalid(message: str) -> AwsError:
    return AwsError("com.amazon.coral.validate#ValidationException", message)


def _kind(value: Value) -> tuple[str, Any]:
    ((kind, inner),) = value.items()
    return kind, inner


def number(text: str) -> int | Decimal:
    """A number as DynamoDB writes it; whole ones as int, which is quicker."""
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def comparable(value: Value) -> Any:
    """What orders values of one type."""
    kind, inner = _kind(value)
    return number(inner) if kind == "N" else inner


def _compare(operator: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        return operator == "<>" and left is not right
    left_kind, a = _kind(left)
    right_kind, b = _kind(right)
    if left_kind != right_kind:
        return operator == "<>"
    if left_kind == "N":
        a, b = number(a), number(b)
    elif left_kind in _SET_TYPES:
        a, b = set(a), set(b)
    match operator:
        case "=":
            return bool(a == b)
        case "<>":
            return bool(a != b)
        case "<":
            return bool(a < b)
        case "<=":
            return bool(a <= b)
        case ">":
            return bool(a > b)
        case _:
            return bool(a >= b)


def _begins_with(value: Value | None, prefix: Value | None) -> bool:
    if value is None or prefix is None:
        return False
    kind, inner = _kind(value)
    return kind == _kind(prefix)[0] and bool(inner.startswith(_kind(prefix)[1]))


def _contains(value: Value | None, part: Value | None) -> bool:
    if value is None or part is None:
        return False
    kind, inner = _kind(value)
    if kind == "L":
        return part in inner
    return _kind(part)[1] in inner


def _is_type(value: Value | None, kind: Value | None) -> bool:
    return value is not None and kind is not None and _kind(value)[0] == kind["S"]


def _size(value: Value | None, _: Value | None) -> Value | None:
    return None if value is None else {"N": str(len(_kind(value)[1]))}


def _if_not_exists(value: Value | None, default: Value | None) -> Value | None:
    return default if value is None else value


def _list_append(first: Value | None, second: Value | None) -> Value:
    if first is None or second is None:
        raise _invalid("The provided expression refers to an attribute that doesn't exist")
    return {"L": [*first["L"], *second["L"]]}


_PREDICATES: dict[str, Callable[[Value | None, Value | None], bool]] = {
    "attribute_exists": lambda value, _: value is not None,
    "attribute_not_exists": lambda value, _: value is None,
    "begins_with": _begins_with,
    "contains": _contains,
    "attribute_type": _is_type,
}
_FUNCTIONS: dict[str, Callable[[Value | None, Value | None], Value | None]] = {
    "if_not_exists": _if_not_exists,
    "list_append": _list_append,
    "size": _size,
}


def _numeric(value: Value | None) -> int | Decimal:
    if value is None or "N" not in value:
        raise _invalid("An operand in the update expression has an incorrect data type")
    return number(value["N"])


def _number(value: int | Decimal) -> Value:
    return {"N": str(value)}


def _added(value: Value | None, increment: Value | None) -> Value:
    if increment is None:
        raise _invalid("ADD needs a value")
    kind, more = _kind(increment)
    if kind == "N":
        return _number((_numeric(value) if value else 0) + number(more))
    if kind not in _SET_TYPES or (value is not None and kind not in value):
        raise _invalid("An operand in the update expression has an incorrect data type")
    present = value[kind] if value else []
    return {kind: list(dict.fromkeys([*present, *more]))}


def _without(value: Value | None, gone: Value | None) -> Value | None:
    if value is None or gone is None:
        return value
    kind, members = _kind(gone)
    left = [each for each in value.get(kind, []) if each not in members]
    return {kind: left} if left else None


def _get(item: Item, path: Path) -> Value | None:
    found: Any = {"M": item}
    for part in path:
        inner = found.get("L" if isinstance(part, int) else "M")
        if inner is None:
            return None
        if isinstance(part, int):
            found = inner[part] if part < len(inner) else None
        else:
            found = inner.get(part)
        if found is None:
            return None
    value: Value = found
    return value


def _put(item: Item, path: Path, value: Value) -> str:
    if len(path) == 1:
        item[str(path[0])] = value
    else:
        inner = _inner_of_copy(item, path)
        last = path[-1]
        if isinstance(last, int) and last >= len(inner):
            inner.append(value)
        else:
            inner[last] = value
    return str(path[0])


def _remove(item: Item, path: Path) -> str:
    if len(path) == 1:
        item.pop(str(path[0]), None)
    elif _get(item, path) is not None:
        del _inner_of_copy(item, path)[path[-1]]
    return str(path[0])


def _inner_of_copy(item: Item, path: Path) -> Any:
    """The map or list that holds the path's end, with everything above it copied."""
    inner: Any = item
    for part, following in pairwise(path):
        kind = "L" if isinstance(following, int) else "M"
        try:
            value = inner[part][kind]
        except (KeyError, IndexError):
            raise _invalid(
                "The document path provided in the update expression is invalid for update"
            ) from None
        copied = value.copy()
        inner[part] = {kind: copied}
        inner = copied
    return inner
