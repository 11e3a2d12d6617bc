"""How many tasks may run at once, how many may start in a time, and which submissions are one task.

@task(max_running=5, rate="100/m")
@task(limits=(Limit(max_running=2, per="tenant"), Limit(rate="10/s", key=("account",))))
@task(unique_for=Unique(key=("invoice",)))
@task(debounce=Debounce(timedelta(seconds=30), key=("document",)))
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from celeriac.contract.places import short, whole

#: One item of DynamoDB names all that run under one limit, and each start and end writes it.
MOST_RUNNING = 200
#: In starts a second. A partition takes 1,000 writes a second, and a start that waits costs three:
#: docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
MOST_STARTS = 300
#: A task waits for each of its limits, and each costs writes of its own.
MOST_LIMITS = 5
LONGEST_DEBOUNCE = timedelta(days=1)
#: A steady stream of submissions puts a debounced task off for so many of its delays.
PATIENCE = 10

_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)/([smhd])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}

Per = Literal["type", "tenant"]
#: Microseconds.
Micros = int


def _check_key(owner: str, key: object) -> None:
    if isinstance(key, str):
        raise TypeError(f"{owner}(key={short(key)}) is not a tuple: write key=({key!r},).")
    if not isinstance(key, tuple) or not all(isinstance(each, str) and each for each in key):
        raise TypeError(
            f"{owner}(key={short(key)}) is not a tuple of field names: write key=('account',)."
        )
    if len(set(key)) < len(key):
        raise ValueError(f"{owner}(key={short(key)}) names a field twice: name each once.")


def _check_per(owner: str, per: object) -> None:
    if per not in ("type", "tenant"):
        raise ValueError(
            f"{owner}(per={short(per)}) is neither 'type' nor 'tenant': write per='tenant' to "
            "count each tenant's tasks by themselves."
        )


def _check_duration(owner: str, name: str, duration: object, longest: timedelta) -> None:
    if not isinstance(duration, timedelta):
        raise TypeError(
            f"{owner}({name}={short(duration)}) is not a timedelta: write "
            f"{name}=timedelta(seconds=...)."
        )
    if not timedelta(0) < duration <= longest:
        raise ValueError(
            f"{owner}({name}={duration}) is out of range: give more than 0 and at most {longest}."
        )


def scope_of(key: tuple[str, ...], content: Any) -> str:
    """A digest of a payload's values at these fields; of the whole payload without any.

    ``content`` is the payload as JSON's types. A dot in a field's name goes into an object.
    """
    if key:
        content = [_at(content, each.split(".")) for each in key]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _at(content: Any, path: list[str]) -> Any:
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How many tasks of a type may run at once, or start in a time.

    ``per`` and ``key`` divide it: each tenant, and each value of these payload fields, has a limit
    of its own. A dot goes into a nested model: ``key=("customer.id",)``.

    ``rate`` is evenly spread: ``100/m`` starts one each 0.6 s. ``burst`` is how many of them may
    start at once after a quiet time. Units are ``s``, ``m``, ``h`` and ``d``.

    Raises:
        ValueError: it limits nothing, or two things, or a number is out of range.
        TypeError: a value has another type.
    """

    max_running: int | None = None
    rate: str | None = None
    per: Per = "type"
    key: tuple[str, ...] = ()
    burst: int = 1

    def __post_init__(self) -> None:
        if (self.max_running is None) == (self.rate is None):
            raise ValueError(
                "Limit needs one of max_running and rate: write a Limit for each, such as "
                "limits=(Limit(max_running=5), Limit(rate='100/m'))."
            )
        _check_per("Limit", self.per)
        _check_key("Limit", self.key)
        if self.max_running is not None and (
            not whole(self.max_running) or self.max_running > MOST_RUNNING
        ):
            raise ValueError(
                f"Limit(max_running={short(self.max_running)}) is out of range: give 1 to "
                f"{MOST_RUNNING}. Fleet(max_workers=...) limits more."
            )
        if not whole(self.burst):
            raise ValueError(f"Limit(burst={short(self.burst)}) is out of range: give 1 or more.")
        if self.burst > 1 and self.rate is None:
            raise ValueError("Limit(burst=...) is for a rate: leave it out with max_running.")
        if self.rate is not None and self.interval == 0:
            raise ValueError(
                f"Limit(rate={short(self.rate)}) is not a rate: write a number and a unit, such as "
                f"'100/m', up to {MOST_STARTS}/s. Units are s, m, h and d."
            )

    @cached_property
    def interval(self) -> Micros:
        """The time from one start to the next; 0 for a text that is no rate."""
        found = _RATE.fullmatch(self.rate) if isinstance(self.rate, str) else None
        if found is None or float(found[1]) == 0:
            return 0
        interval = round(_UNITS[found[2]] / timedelta(microseconds=1) / float(found[1]))
        return interval if interval * MOST_STARTS >= 10**6 else 0

    @property
    def kind(self) -> str:
        """What it counts: a rate by the hour and one by the second count apart."""
        return "running" if self.rate is None else f"rate-{self.rate[-1]}"

    def scope(self, type_name: str, tenant: str, content: Any) -> str:
        """The name of what is counted together. ``content`` is the payload as JSON's types."""
        of_tenant = tenant if self.per == "tenant" else ""
        of_key = scope_of(self.key, content) if self.key else ""
        return "#".join((self.kind, of_tenant, of_key, ",".join(self.key), type_name))

    def __str__(self) -> str:
        text = f"max_running={self.max_running}" if self.rate is None else f"rate={self.rate}"
        parts = [*(["tenant"] if self.per == "tenant" else []), *self.key]
        return f"{text} per {', '.join(parts)}" if parts else text


@dataclass(frozen=True, kw_only=True)
class Unique:
    """A submission while the same task hasn't ended, or within a ``period``, gives that task.

    Tasks of a tenant are the same if these payload fields have the same values: all fields, unless
    a ``key`` names some.

    Raises:
        ValueError: a value is out of range.
        TypeError: a value has another type.
    """

    period: timedelta | None = None
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.period is not None:
            _check_duration("Unique", "period", self.period, timedelta(days=366))
        _check_key("Unique", self.key)


@dataclass(frozen=True)
class Debounce:
    """Of submissions that follow each other within ``delay``, only the last becomes a run.

    Each puts the start off to ``delay`` after itself, but at most to ``max_wait`` after the first:
    ten times the delay unless given. Each value of a ``key`` of payload fields is a series of its
    own; without one, all of a tenant's submissions of the type are one series.

    Raises:
        ValueError: a value is out of range.
        TypeError: a value has another type.
    """

    delay: timedelta
    key: tuple[str, ...] = ()
    max_wait: timedelta | None = None

    def __post_init__(self) -> None:
        _check_duration("Debounce", "delay", self.delay, LONGEST_DEBOUNCE)
        _check_key("Debounce", self.key)
        if self.max_wait is not None:
            _check_duration("Debounce", "max_wait", self.max_wait, PATIENCE * LONGEST_DEBOUNCE)
            if self.max_wait < self.delay:
                raise ValueError(
                    f"Debounce(max_wait={self.max_wait}) is shorter than its delay, {self.delay}."
                )

    @property
    def longest(self) -> timedelta:
        """How long after the first submission of a series its task starts at the latest."""
        return self.max_wait if self.max_wait is not None else PATIENCE * self.delay


def missing_field(model: type[BaseModel], field: str) -> tuple[str, list[str]] | None:
    """The part of a field's dotted name that the model doesn't have, and similar names.

    None if it has the field.
    """
    inside: type[BaseModel] | None = model
    for part in field.split("."):
        fields = inside.model_fields if inside is not None else {}
        if part not in fields:
            return part, difflib.get_close_matches(part, fields, n=2)
        inside = _model_in(fields[part].annotation)
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, if it holds one, or nothing."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType):
        found = [_model_in(each) for each in get_args(annotation)]
        models = [each for each in found if each is not None]
        return models[0] if len(models) == 1 else None
    return None


@cache
def of_celery(rate_limit: object) -> Limit | None:
    """The limit that Celery's ``rate_limit`` asks for: ``100/m``, ``10/s``, or a number a second.

    Raises:
        ValueError: it is none of these.
    """
    if rate_limit is None or rate_limit == 0:
        return None
    number = isinstance(rate_limit, int | float) and not isinstance(rate_limit, bool)
    if number and math.isfinite(rate_limit):  # type: ignore[arg-type]
        text = f"{rate_limit:.3f}/s"
    else:
        text = str(rate_limit)
        text = text if "/" in text else f"{text}/s"
    return Limit(rate=text)
