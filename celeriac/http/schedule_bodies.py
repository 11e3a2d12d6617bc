"""What callers send to make or edit a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from celeriac.contract import Schedule
from celeriac.contract.payloads import Payloads
from celeriac.contract.queues import Priority
from celeriac.contract.schedule import Overlap, ScheduleError
from celeriac.http import times
from celeriac.http.errors import invalid_payload
from celeriac.http.problems import Problem, ProblemType, WrongValue
from celeriac.http.routes.submit import MOST_TAGS, Tag

WHEN = ("cron", "rate", "at")


def _moment(given: Any) -> datetime | None:
    """Not pydantic's reading, for which a number is a time, and a date its midnight."""
    return None if given is None else times.moment(given)


def _duration(given: Any) -> timedelta | None:
    """Not pydantic's reading, which has years of 365 days, and rounds to microseconds."""
    if given is None:
        return None
    found = times.duration(given) if isinstance(given, str) else times.seconds(given)
    if found is None:
        raise ValueError(
            "Input should be a duration of ISO 8601 without years and months and without "
            "fractions, as PT15M or P7D, or a whole number of seconds"
        )
    return found


Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Interval = Annotated[timedelta | None, BeforeValidator(_duration)]


class ScheduleTimes(BaseModel):
    """When a task is submitted, and with what."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any] = Field({}, description="As POST /tasks/{type} takes it.")
    cron: str | None = Field(
        None, description="Five fields: minute, hour, day of month, month, day of week."
    )
    rate: Interval = Field(
        None, description="An interval of whole minutes: ISO 8601 up to days, or seconds."
    )
    at: Moment = Field(None, description="One time. Without an offset it is one of `timezone`.")
    timezone: str = Field("UTC", description="An IANA name, such as Europe/Moscow.")
    start: Moment = Field(None, description="The earliest time.")
    end: Moment = Field(None, description="The latest time.")
    tags: list[Tag] = Field([], max_length=MOST_TAGS, description="Words to find its tasks by.")
    overlap: Overlap = Field(
        "allow",
        description="If the last task hasn't ended: submit another all the same, skip this time, "
        "or cancel the last.",
    )
    priority: Priority | None = Field(
        None,
        description="`high` has workers take its tasks before the `normal` ones of their queue. "
        "`normal` unless given.",
    )


class NewSchedule(ScheduleTimes):
    """A task type, and exactly one of `cron`, `rate` and `at`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "generate-report",
                    "payload": {"report": "sales"},
                    "cron": "0 6 * * MON-FRI",
                    "timezone": "Europe/Moscow",
                    "overlap": "skip",
                }
            ]
        }
    )

    type: str = Field(max_length=255, description="A task type, or an alias of one.")


class ScheduleEdit(ScheduleTimes):
    """What is to change; all else stays. One of `cron`, `rate` and `at` replaces another."""


def read(model: type[ScheduleTimes], body: Any) -> Any:
    """A caller's body. Raises ``Problem`` (422)."""
    try:
        return Payloads(model).read(body)
    except ValidationError as error:
        raise invalid_payload(error, body) from None


def new_schedule(given: NewSchedule) -> Schedule:
    """The schedule that a caller wants. Raises ``Problem`` (422) and ``ScheduleError``."""
    when = _when(given)
    if when is None:
        raise _invalid("", f"Give one of {', '.join(WHEN)}")
    return Schedule(
        when=when,
        timezone=given.timezone,
        start=given.start,
        end=given.end,
        overlap=given.overlap,
        priority=given.priority,
        payload=given.payload,
    )


def edited_schedule(given: ScheduleEdit, before: Schedule) -> Schedule:
    """A schedule with what a caller changes. Raises ``Problem`` (422) and ``ScheduleError``."""
    when = _when(given)
    if when is None and before.kind == "at" and "timezone" in given.model_fields_set:
        raise _invalid("/timezone", "The one time is kept in UTC. Give at too")
    named = given.model_fields_set & {"timezone", "start", "end", "overlap", "priority", "payload"}
    changes: dict[str, Any] = {name: getattr(given, name) for name in named}
    if when is not None:
        changes["when"] = when
        if not isinstance(when, type(before.when)):
            # The other's bounds may make no sense for it: a rate's start is its rhythm.
            changes = {"start": None, "end": None, **changes}
    values: Mapping[str, Any] = {
        "when": before.when,
        "timezone": before.timezone,
        "start": before.start,
        "end": before.end,
        "overlap": before.overlap,
        "priority": before.priority,
        "payload": before.payload,
        **changes,
    }
    return Schedule(**values)


def wrong(error: ScheduleError) -> Problem:
    """The problem for a schedule that can't be."""
    return _invalid(f"/{error.field}", f"{error.fault}. {error.fix}", list(error.near) or None)


def _when(given: ScheduleTimes) -> str | timedelta | datetime | None:
    named = [name for name in WHEN if getattr(given, name) is not None]
    if len(named) > 1:
        raise _invalid(f"/{named[1]}", f"Give one of {', '.join(WHEN)}, not {' and '.join(named)}")
    found: str | timedelta | datetime | None = getattr(given, named[0]) if named else None
    return found


def _invalid(path: str, detail: str, near: list[str] | None = None) -> Problem:
    where = f"#{path}"
    value = WrongValue(pointer=where, detail=detail, near=near)
    mark = "" if detail.endswith("?") else "."
    return Problem(ProblemType.INVALID, f"{where}: {detail}{mark}", errors=[value])
