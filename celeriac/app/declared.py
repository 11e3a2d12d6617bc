"""The schedules that code declares: ``@task(schedule=…)``, and Celery's ``beat_schedule``.

They are deployed with the code. Celery's entries keep their meaning, or are refused with what to
write: ``celery beat`` is not needed.
docs.celeryq.dev/en/stable/userguide/periodic-tasks.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab, maybe_schedule
from celery.schedules import schedule as interval_schedule
from pydantic import ValidationError

from celeriac.contract import Catalogue, Schedule
from celeriac.contract.places import short
from celeriac.contract.queues import HIGH, NORMAL, Priority
from celeriac.contract.schedule import ScheduleError
from celeriac.transport import lanes
from celeriac.transport.call import Call

if TYPE_CHECKING:
    from celeriac.app.sending import CeleriacApp

#: docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_LONGEST_ID = 64
_DIGEST = 8
_OF_TYPE, _OF_BEAT = PREFIXES = ("type-", "beat-")
#: The fields of a crontab in cron's order, with the values that each can have.
_FIELDS = (
    ("minute", range(60)),
    ("hour", range(24)),
    ("day_of_month", range(1, 32)),
    ("month_of_year", range(1, 13)),
    ("day_of_week", range(7)),
)


class BeatScheduleError(ImproperlyConfigured):
    """An entry of ``beat_schedule`` that AWS can't keep exactly. The message says what to write."""


@dataclass(frozen=True, kw_only=True)
class DeclaredSchedule:
    """A schedule that belongs to the deployment's own tenant. ``where`` is its place in the code.

    A typed task is called with ``schedule.payload``, a plain one with ``args``, ``kwargs`` and the
    ``options`` of ``apply_async``.
    """

    schedule_id: str
    type: str
    schedule: Schedule
    where: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


def declared(app: CeleriacApp) -> list[DeclaredSchedule]:
    """The schedules of an app's task types, then those of its ``beat_schedule``.

    Raises:
        BeatScheduleError: an entry of ``beat_schedule`` can't be kept exactly.
    """
    app.finalize(auto=True)
    return [*of_types(app.catalogue), *_of_beat(app)]


def of_types(catalogue: Catalogue) -> Iterator[DeclaredSchedule]:
    """The schedules of these task types."""
    for each in catalogue.values():
        for number, schedule in enumerate(each.schedules, 1):
            suffix = "" if number == 1 else f"-{number}"
            yield DeclaredSchedule(
                schedule_id=_id(f"{_OF_TYPE}{each.name}{suffix}"),
                type=each.name,
                schedule=schedule,
                where=str(each.place),
            )


def _of_beat(app: CeleriacApp) -> Iterator[DeclaredSchedule]:
    for name, entry in (app.conf.beat_schedule or {}).items():
        where = f"beat_schedule[{name!r}]"
        try:
            yield _of_entry(app, str(name), entry, where)
        except ScheduleError as error:
            raise BeatScheduleError(f"{where}: {error}") from error


def _of_entry(
    app: CeleriacApp, name: str, entry: Mapping[str, Any], where: str
) -> DeclaredSchedule:
    task, args, kwargs = entry["task"], entry.get("args") or (), entry.get("kwargs") or {}
    options = dict(entry.get("options") or {})
    schedule = replace(
        _schedule(entry["schedule"], str(app.timezone)),
        priority=_priority(options.get("priority", getattr(app.tasks.get(task), "priority", None))),
    )
    found = DeclaredSchedule(
        schedule_id=_id(f"{_OF_BEAT}{name}"),
        type=task,
        schedule=schedule,
        where=where,
        args=tuple(args),
        kwargs=dict(kwargs),
        options=options,
    )
    if task not in app.catalogue:
        return found
    task_type = app.catalogue[task]
    payload = Call(found.args, found.kwargs).payload or {}
    try:
        task_type.payloads.read(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ScheduleError(
            "payload",
            f"its payload isn't valid for {task}: "
            f"{'.'.join(map(str, first['loc'])) or 'payload'}: {first['msg']}",
            "Give it as the only argument: 'args': [{...}]",
        ) from None
    return replace(found, type=task_type.name, schedule=replace(schedule, payload=payload))


def _schedule(given: Any, timezone: str) -> Schedule:
    if not isinstance(given, str):
        given = maybe_schedule(given)
    match given:
        case crontab():
            return Schedule.cron(_cron(given), timezone=timezone)
        case interval_schedule(relative=False):
            return Schedule.rate(given.run_every)
        case interval_schedule():
            raise ScheduleError(
                "rate",
                "a schedule with relative=True has no counterpart in EventBridge Scheduler",
                "Write crontab(minute='*/15') for times that are rounded",
            )
        case str():
            raise ScheduleError(
                "cron", f"{short(given)} is no schedule", "Write crontab(...) or timedelta(...)"
            )
    raise ScheduleError(
        "cron",
        f"a {type(given).__name__} schedule has no counterpart in EventBridge Scheduler",
        "Write crontab(...) or timedelta(...), or let a task submit the others with run_at",
    )


def _priority(number: object) -> Priority | None:
    """What Celery's ``priority=`` means here."""
    if number is None:
        return None
    if not lanes.is_number(number):
        raise ScheduleError(
            "priority",
            f"priority {short(number)} is not a number from 0 to 9",
            "Write 'options': {'priority': 9} for an urgent task",
        )
    return HIGH if lanes.is_high(number) else NORMAL


def _cron(given: crontab) -> str:
    """The five fields, from the values that Celery has read."""
    fields = {name: set(getattr(given, name)) for name, _ in _FIELDS}
    whole = {name: fields[name] >= set(values) for name, values in _FIELDS}
    if not whole["day_of_month"] and not whole["day_of_week"]:
        raise ScheduleError(
            "cron",
            "day_of_month and day_of_week must both fit, and EventBridge Scheduler takes one",
            "Leave out one of them, and have the task look at the date for the other",
        )
    return " ".join(
        "*" if whole[name] else ",".join(map(str, sorted(fields[name]))) for name, _ in _FIELDS
    )


def _id(name: str) -> str:
    """A name for EventBridge. One that is changed for it ends in a digest, and so stays unique."""
    plain = re.sub(r"[^0-9A-Za-z_.-]+", "-", name)
    if plain == name and len(name) <= _LONGEST_ID:
        return name
    digest = hashlib.blake2s(name.encode(), digest_size=_DIGEST // 2).hexdigest()
    return f"{plain[: _LONGEST_ID - _DIGEST - 1].rstrip('-')}-{digest}"
