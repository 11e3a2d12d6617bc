"""``delay`` and ``run_at`` as callers write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from celeriac.topology import FURTHEST_DUE

_SECONDS = re.compile(r"[0-9]{1,9}")
#: ISO 8601 without years and months, whose lengths differ.
_DURATION = re.compile(
    r"P(?=.)(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,9})S)?)?"
)
#: RFC 3339, section 5.6. A naive time is told apart, so that its error can say so.
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?"
)
#: What is left of an offset whose plus sign a URL has turned into a space.
_LOST_PLUS = re.compile(r".*\d \d\d:\d\d")

_FURTHEST_SECONDS = FURTHEST_DUE // timedelta(seconds=1)


def _read_delay(value: Any) -> timedelta:
    duration = None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        if value.startswith("-"):
            raise ValueError("It is negative: give zero or more")
        if _SECONDS.fullmatch(value):
            duration = timedelta(seconds=int(value))
        elif found := _DURATION.fullmatch(value):
            parts = {name: int(digits) for name, digits in found.groupdict().items() if digits}
            duration = timedelta(**parts)
    if duration is None:
        raise ValueError("Write seconds, such as 90, or an ISO 8601 duration, such as PT2H or P1D")
    if duration > FURTHEST_DUE:
        raise ValueError(
            f"It is over {FURTHEST_DUE.days} days ({_FURTHEST_SECONDS} seconds), which is the "
            "longest"
        )
    return duration


def _read_run_at(value: Any) -> datetime:
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        if isinstance(value, str) and _LOST_PLUS.fullmatch(value):
            raise ValueError("Its offset has lost its plus sign: in a URL, write + as %2B")
        raise ValueError("Write a time as RFC 3339 has it, such as 2027-01-31T06:00:00+03:00")
    if not found["offset"]:
        raise ValueError(
            "It has no offset from UTC, so it could be several times. Write "
            "2027-01-31T06:00:00Z or 2027-01-31T06:00:00+03:00"
        )
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError("There is no such time: look at its day, hour and minute") from None


Delay = Annotated[
    timedelta | None,
    BeforeValidator(_read_delay),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": _FURTHEST_SECONDS},
                {"type": "string", "format": "duration"},
            ]
        }
    ),
    Field(
        description="How long the task waits before it may start: seconds, or an ISO 8601 duration "
        "such as `PT2H`. At most 366 days. Over 15 minutes, it may start up to a minute later.",
        examples=[90, "PT2H"],
    ),
]

RunAt = Annotated[
    datetime | None,
    BeforeValidator(_read_run_at),
    WithJsonSchema({"type": "string", "format": "date-time"}),
    Field(
        description="When the task may start, with an offset from UTC, in place of `delay`. At "
        "most 366 days ahead. In a URL, write `+` as `%2B`.",
        examples=["2027-01-31T06:00:00+03:00"],
    ),
]
