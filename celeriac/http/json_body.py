"""JSON that every reader understands alike: I-JSON (RFC 7493), with a limit on nesting.

Python's ``json`` takes more than the standard: NaN and Infinity, lone surrogates, two members of
one name. Stored, each would break
a reader later.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

#: Deeper documents would exceed the recursion limits of validation and storage.
DEEPEST = 100
#: Python refuses to read integers of more than 4,300 digits.
MOST_DIGITS = 1000

_TOO_DEEP = f"It is nested more than {DEEPEST} levels deep."


class MalformedJsonError(ValueError):
    """The text is not one JSON document, or readers would disagree about it."""


def loads(data: bytes) -> Any:
    """Read one JSON document. Raises ``MalformedJsonError``."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"Byte {error.start} is not UTF-8.") from None
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_not_a_number,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise MalformedJsonError(
            f"{error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise MalformedJsonError(_TOO_DEEP) from None
    _check(document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise MalformedJsonError(f"An object has two members named {twice[:100]!r}.")
    return found


def _not_a_number(text: str) -> NoReturn:
    raise MalformedJsonError(f"{text} is not a JSON number.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedJsonError("A number is larger than a double can hold.")
    return number


def _int(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise MalformedJsonError(f"A number has more than {MOST_DIGITS} digits.")
    return int(text)


def _check(document: Any) -> None:
    """Depth and lone surrogates, without recursion."""
    level = [document]
    depth = 0
    while level:
        if depth > DEEPEST:
            raise MalformedJsonError(_TOO_DEEP)
        depth += 1
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not _encodable(value):
                raise MalformedJsonError("A string holds half a surrogate pair.")
        level = below


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
