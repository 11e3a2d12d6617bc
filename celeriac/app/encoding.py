"""What a task gave, as the text that is kept: plain JSON for callers, Python's values for Celery.

    {"result": {"price": "1.10"},
     "python": "{\"price\": {\"__type__\": \"decimal\", \"__value__\": \"1.10\"}}"}

``result`` is what the HTTP API shows, and what a link to S3 gives. ``AsyncResult.get`` reads
``python``, which is there only if JSON can't hold a value as it is: a ``Decimal``, a NaN, half of a
surrogate pair.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from kombu.exceptions import EncodeError
from kombu.utils.json import JSONEncoder, dumps, loads, register_type

from celeriac.contract.errors import Picklable
from celeriac.transport.call import KOMBUS, MARKER, Call, Literal

#: With fewer levels, no reader runs into Python's limit of 1,000 nested calls.
DEEPEST = 500
_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"
#: Half of a surrogate pair, which UTF-8 has no bytes for.
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class ResultNotJsonError(Picklable, EncodeError):
    """A task gave a result, or said something of itself, that can't be kept."""

    type = "result-not-json"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"This can't be kept as JSON: {why}. Give text, numbers, lists, objects "
            "with text as keys, dates, times, Decimals, UUIDs, bytes and sets of them."
        )


class CallNotJsonError(Picklable, EncodeError):
    """A task can't be called with these arguments. Nothing was sent."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"These arguments can't be kept as JSON: {why}. Pass text, numbers, lists, objects "
            "with text as keys, dates, times, Decimals, UUIDs, bytes and sets of them."
        )


def _members(values: Any) -> list[Any]:
    """A set's members, in the same order each time if they have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


# Besides those that kombu knows. Messages may hold them too.
register_type(set, "celeriac-set", _members, set)
register_type(frozenset, "celeriac-frozenset", _members, frozenset)
register_type(
    timedelta,
    "celeriac-timedelta",
    lambda duration: [duration.days, duration.seconds, duration.microseconds],
    lambda parts: timedelta(*parts),
)


class _Plain(JSONEncoder):
    """Kombu's encoder, without what says which Python type a value has."""

    #: Whether there was a value that JSON hasn't.
    has_others = False

    def default(self, o: Any) -> Any:
        self.has_others = True
        match o:
            case uuid.UUID():
                return str(o)
            case timedelta():
                return _duration(o)
            case Literal(value=value):
                return value
        encoded = super().default(o)
        if isinstance(encoded, dict) and encoded.keys() == KOMBUS:
            return encoded["__value__"]
        return encoded


def to_text(result: Any, **others: Any) -> str:
    """The text that is kept of a result, with other members next to it, such as a traceback.

    Raises:
        ResultNotJsonError: no JSON can hold it.
    """
    with _explained():
        encoder = _Plain(ensure_ascii=False)
        text = encoder.encode(result)
        _refuse_deep(result, text)
        fits = not encoder.has_others and _SURROGATE.search(text) is None and not _has_nan(text)
        python = None if fits else dumps(_escaped(result))
        if python is not None:
            text = _whole(_without_nan(text))
    members = {**others, **({} if python is None else {"python": python})}
    rest = _whole(json.dumps(members, ensure_ascii=False))[1:-1]
    return f'{{"result": {text}{", " if rest else ""}{rest}}}'


def from_text(text: str) -> dict[str, Any]:
    """The members of a text that ``to_text`` has made; the result with Python's values."""
    members: dict[str, Any] = json.loads(text)
    python = members.pop("python", None)
    if python is not None:
        members["result"] = _unescaped(loads(python)) if MARKER in python else loads(python)
    return members


def call_text(call: Call) -> str:
    """A call as its record keeps it. Raises ``CallNotJsonError``."""
    with _explained(CallNotJsonError):
        text = call.to_text()
        _refuse_deep([*call.args, *call.kwargs.values()], text)
        return text


def python_text(value: Any) -> str:
    """A value as kombu writes it. Raises ``ResultNotJsonError``."""
    with _explained():
        text: str = dumps(value)
        _refuse_deep(value, text)
        return text


@contextmanager
def _explained(
    kind: type[ResultNotJsonError | CallNotJsonError] = ResultNotJsonError,
) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise kind(_TOO_DEEP) from error
    except (TypeError, ValueError) as error:
        raise kind(str(error).rstrip(".") or type(error).__name__) from error


def _refuse_deep(value: Any, text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for each in level:
            members = each.values() if isinstance(each, Mapping) else each
            below += [inner for inner in members if isinstance(inner, dict | list | tuple)]
        if not below:
            return
        level = below
    raise ValueError(_TOO_DEEP)


def _has_nan(text: str) -> bool:
    """Whether a text of Python's JSON may hold a number that JSON hasn't."""
    return "NaN" in text or "Infinity" in text


def _without_nan(text: str) -> str:
    if not _has_nan(text):
        return text
    return json.dumps(json.loads(text, parse_constant=lambda _: None), ensure_ascii=False)


def _whole(text: str) -> str:
    """The text in whole characters: half of a surrogate pair becomes U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _escaped(value: Any) -> Any:
    """The value, with objects that kombu would take for something else marked as what they are."""
    match value:
        case dict():
            copy = {name: _escaped(each) for name, each in value.items()}
            return Literal(value) if copy.keys() == KOMBUS else copy
        case list() | tuple():
            return [_escaped(each) for each in value]
    return value


def _unescaped(value: Any) -> Any:
    match value:
        case Literal(value=inside):
            return inside
        case dict():
            return {name: _unescaped(each) for name, each in value.items()}
        case list():
            return [_unescaped(each) for each in value]
    return value


def _duration(duration: timedelta) -> str:
    """ISO 8601, in seconds."""
    span = abs(duration)
    seconds = f"{span.days * 86_400 + span.seconds}.{span.microseconds:06d}".rstrip("0").rstrip(".")
    return f"{'-' if duration < timedelta(0) else ''}PT{seconds}S"
