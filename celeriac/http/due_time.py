"""``delay`` and ``run_at`` as callers write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from celeriac.http import times
from celeriac.topology import FURTHEST_DUE

_SECONDS = re.compile(r"-?[0-9]{1,9}")

_FURTHEST_SECONDS = FURTHEST_DUE // timedelta(seconds=1)


def _read_delay(value: Any) -> timedelta:
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = int(value)
    delay = times.duration(value) if isinstance(value, str) else times.seconds(value)
    if delay is None:
        raise ValueError("Write seconds, such as 90, or an ISO 8601 duration, such as PT2H or P1D")
    if delay < timedelta(0):
        raise ValueError("It is negative: give zero or more")
    if delay > FURTHEST_DUE:
        raise ValueError(
            f"It is over {FURTHEST_DUE.days} days ({_FURTHEST_SECONDS} seconds), which is the "
            "longest"
        )
    return delay


def _read_run_at(value: Any) -> datetime:
    moment = times.moment(value)
    if moment.tzinfo is None:
        raise ValueError(
            "It has no offset from UTC, so it could be several times. Write "
            f"{moment.isoformat()}Z or {moment.isoformat()}+03:00"
        )
    return moment


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
