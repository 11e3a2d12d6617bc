"""An entry of Celery's ``beat_schedule`` as its author wrote it, checked for its form.

docs.celeryq.dev/en/stable/userguide/periodic-tasks.html#available-fields
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.schedules import BaseSchedule, maybe_schedule
from kombu import Producer

from celeriac.contract.places import short
from celeriac.contract.rates import LONGEST_RATE
from celeriac.contract.schedule import ScheduleError

#: What an entry may have: celery.beat.ScheduleEntry.
_FIELDS = ("task", "schedule", "args", "kwargs", "options", "relative")
#: The options of ``apply_async``: Celery hands each on to one of these. The rest are kombu's for
#: SQS: kombu/transport/SQS/__init__.py.
_OPTIONS = frozenset(
    name
    for function in (Celery.send_task, AMQP.as_task_v2, Producer.publish)
    for name in inspect.signature(function).parameters
) - {"self", "name", "args", "kwargs", "body", "options", "properties"} | {
    "DelaySeconds",
    "MessageDeduplicationId",
    "MessageGroupId",
    "delay_seconds",
    "message_attributes",
    "queue",
}


@dataclass(frozen=True)
class Entry:
    """What an entry says. ``schedule`` is a text, or a schedule of Celery's."""

    task: str
    schedule: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]


def entry_of(given: object) -> Entry:
    """The entry. Raises ``ScheduleError`` for what is none: its field is what to correct."""
    if not isinstance(given, Mapping):
        raise ScheduleError(
            "entry",
            f"{short(given)} is not a dictionary",
            "Write {'task': 'shop.add', 'schedule': crontab(minute=0)}",
        )
    for each in ("task", "schedule"):
        if given.get(each) is None:
            raise ScheduleError(each, f"it has no {each}", f"Give it a {each!r}")
    for each in given:
        if each not in _FIELDS:
            raise ScheduleError(
                "entry",
                f"{short(each)} is nothing that an entry has",
                f"Write one of {', '.join(_FIELDS)}",
            )
    task = given["task"]
    if not isinstance(task, str):
        raise ScheduleError(
            "task", f"the task {short(task)} is not a name", "Write a name, such as 'shop.add'"
        )
    args = given.get("args")
    if not isinstance(args, list | tuple | None):
        raise ScheduleError("args", f"args {short(args)} is not a list", "Write 'args': [1, 2]")
    options = _named(given, "options", "{'queue': 'default'}")
    _check_options(options)
    return Entry(
        task=task,
        schedule=_schedule(given["schedule"], relative=bool(given.get("relative"))),
        args=tuple(args or ()),
        kwargs=_named(given, "kwargs", "{'days': 7}"),
        options=options,
    )


def _named(entry: Mapping[Any, Any], field: str, example: str) -> dict[str, Any]:
    """A dictionary whose keys are names."""
    given = entry.get(field)
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(each, str) for each in given):
        raise ScheduleError(
            field,
            f"{field} {short(given)} is not a dictionary of names",
            f"Write {field!r}: {example}",
        )
    return dict(given)


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse a misspelt option, which Celery would send as a property of the message."""
    stamped = options.get("stamped_headers") or ()
    if not isinstance(stamped, list | tuple) or not all(isinstance(each, str) for each in stamped):
        raise ScheduleError(
            "options",
            f"stamped_headers {short(stamped)} is not a list of names",
            "Write 'stamped_headers': ['of'], and an option of each name",
        )
    known = _OPTIONS.union(stamped)
    for each in options:
        if each not in known:
            near = difflib.get_close_matches(each, _OPTIONS, n=2)
            raise ScheduleError(
                "options",
                f"{short(each)} is no option of apply_async",
                f"Did you mean {' or '.join(near)}" if near else "Leave it out",
            )


def _schedule(given: Any, *, relative: bool) -> Any:
    """A number and a ``timedelta`` as Celery's schedule. A text is left to be refused."""
    match given:
        case bool():
            raise _no_schedule(given)
        case int() | float():
            given = _seconds(given)
        case str() | timedelta() | BaseSchedule():
            pass
        case _:
            raise _no_schedule(given)
    return given if isinstance(given, str) else maybe_schedule(given, relative)


def _no_schedule(given: object) -> ScheduleError:
    return ScheduleError(
        "schedule",
        f"the schedule {short(given)} has no counterpart in EventBridge Scheduler",
        "Write crontab(...) or timedelta(...)",
    )


def _seconds(number: int | float) -> timedelta:
    """A number of seconds, which a ``timedelta`` would round to microseconds."""
    if isinstance(number, float) and not number.is_integer():
        raise ScheduleError(
            "rate",
            f"a schedule of {short(number)} seconds is not a whole number of them",
            "Write timedelta(minutes=...)",
        )
    if abs(number) > LONGEST_RATE / timedelta(seconds=1):
        raise ScheduleError(
            "rate",
            f"a schedule of {short(number)} seconds is longer than {LONGEST_RATE.days} days",
            "Write crontab(...), such as crontab(minute=0, hour=6, day_of_month=1) for each month",
        )
    return timedelta(seconds=number)
