"""The limits that ``@task`` is given: their types, and whether their keys are fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from celeriac.contract.errors import DeclarationError
from celeriac.contract.limits import MOST_LIMITS, Debounce, Limit, Unique, missing_field
from celeriac.contract.places import Place, short

T = TypeVar("T")


@dataclass(frozen=True)
class Limited:
    """What limits a task type."""

    limits: tuple[Limit, ...]
    unique: Unique | None
    debounce: Debounce | None


def read(
    place: Place,
    payload: type[BaseModel],
    max_running: object,
    rate: object,
    limits: object,
    unique_for: object,
    debounce: object,
) -> Limited:
    """What limits a task type with this payload.

    Raises:
        DeclarationError: naming the first wrong option.
    """
    found = []
    if max_running is not None:
        found.append(_made(place, lambda: Limit(max_running=_any(max_running))))
    if rate is not None:
        found.append(_made(place, lambda: Limit(rate=_any(rate))))
    found += _limits(place, limits)
    _refuse_twice(place, found)
    unique = _duration_or(place, "unique_for", unique_for, Unique, lambda each: Unique(period=each))
    series = _duration_or(place, "debounce", debounce, Debounce, Debounce)
    if unique is not None and series is not None:
        raise DeclarationError(
            place,
            "unique_for keeps the first of the same submissions, and debounce keeps the last",
            "Leave one of them out",
        )
    keyed: list[Limit | Unique | Debounce] = [*found]
    keyed += [each for each in (unique, series) if each is not None]
    for each in keyed:
        _check_fields(place, payload, each)
    return Limited(tuple(found), unique, series)


def _any(value: Any) -> Any:
    """A value whose type is checked when it is used."""
    return value


def _made(place: Place, make: Callable[[], T]) -> T:
    try:
        return make()
    except (TypeError, ValueError) as error:
        fault, _, fix = str(error).rstrip(".").partition(": ")
        raise DeclarationError(place, fault, f"{fix[:1].upper()}{fix[1:]}") from None


def _limits(place: Place, limits: object) -> list[Limit]:
    if isinstance(limits, Limit):
        raise DeclarationError(
            place, f"limits={short(limits)} is not a tuple", "Write limits=(Limit(...),)"
        )
    if not isinstance(limits, tuple) or not all(isinstance(each, Limit) for each in limits):
        raise DeclarationError(
            place,
            f"limits={short(limits)} is not a tuple of Limit",
            "Write limits=(Limit(max_running=2, per='tenant'),)",
        )
    return list(limits)


def _refuse_twice(place: Place, limits: list[Limit]) -> None:
    if len(limits) > MOST_LIMITS:
        raise DeclarationError(
            place,
            f"the type has {len(limits)} limits, each of which costs every task writes",
            f"Give at most {MOST_LIMITS}",
        )
    kinds = [(each.kind, each.per, each.key) for each in limits]
    for each, kind in zip(limits, kinds, strict=True):
        if kinds.count(kind) > 1:
            raise DeclarationError(
                place, f"two limits count the same: one is {each}", "Leave out the weaker one"
            )


def _duration_or(
    place: Place, name: str, value: object, kind: type[T], make: Callable[[timedelta], T]
) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    if not isinstance(value, timedelta):
        raise DeclarationError(
            place,
            f"{name}={short(value)} is neither a timedelta nor a {kind.__name__}",
            f"Write {name}=timedelta(minutes=5), or {name}={kind.__name__}(...)",
        )
    return _made(place, lambda: make(value))


def _check_fields(place: Place, payload: type[BaseModel], limit: Limit | Unique | Debounce) -> None:
    for field in limit.key:
        found = missing_field(payload, field)
        if found is None:
            continue
        part, near = found
        within = f" ({part!r})" if part != field else ""
        fields = ", ".join(payload.model_fields) or "none"
        raise DeclarationError(
            place,
            f"key={limit.key!r} names {field!r}{within}, which is no field of {payload.__name__}",
            f"Write {' or '.join(map(repr, near))}" if near else f"Its fields are {fields}",
        )
