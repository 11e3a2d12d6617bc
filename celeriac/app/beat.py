"""Celery's ``beat_schedule``, as schedules of EventBridge Scheduler.

An entry keeps its meaning, or is refused with what to write:
docs.celeryq.dev/en/stable/userguide/periodic-tasks.html

    the project's app          a file                      the API and the `fire` function
    entries(app) ── write ──►  [{"id": "beat-…", …}] ──►  read

The functions on AWS have no worker's packages, so they can't import the app. The file has all that
they need: each entry's queue and options are those that the app's routes and tasks give it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.app.task import extract_exec_options
from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab
from celery.schedules import schedule as interval_schedule
from pydantic import ValidationError

from celeriac.app import call_options, encoding
from celeriac.app.amqp import UnknownQueueError
from celeriac.app.beat_entry import Entry, entry_of
from celeriac.app.declared_schedule import OF_BEAT, DeclaredSchedule, schedule_id
from celeriac.app.options import OptionRefusedError
from celeriac.contract import Schedule
from celeriac.contract.places import short
from celeriac.contract.queues import HIGH, NORMAL, Priority
from celeriac.contract.schedule import ScheduleError
from celeriac.transport import lanes
from celeriac.transport.call import Call

if TYPE_CHECKING:
    from celeriac.app.sending import CeleriacApp

#: The fields of a crontab in cron's order, with the values that each can have.
_FIELDS = (
    ("minute", range(60)),
    ("hour", range(24)),
    ("day_of_month", range(1, 32)),
    ("month_of_year", range(1, 13)),
    ("day_of_week", range(7)),
)
#: Options of one call, which an entry would give to each.
_OF_ONE_CALL = ("task_id", "countdown", "eta", "delay_seconds", "DelaySeconds")


class BeatScheduleError(ImproperlyConfigured):
    """An entry of ``beat_schedule`` that AWS can't keep exactly. The message says what to write."""


def entries(app: CeleriacApp) -> list[DeclaredSchedule]:
    """The schedules of an app's ``beat_schedule``, and of its ``add_periodic_task`` calls.

    Raises:
        BeatScheduleError: an entry can't be kept exactly.
    """
    app.finalize(auto=True)
    return list(_entries(app))


def write(declared: Iterable[DeclaredSchedule], path: Path) -> None:
    """Keep entries in a file, for processes that don't import the app."""
    path.write_text(json.dumps([_written(each) for each in declared], indent=1), "utf-8")


def read(path: Path) -> list[DeclaredSchedule]:
    """The entries that ``write`` has kept. Raises ``FileNotFoundError``."""
    return [_read(each) for each in json.loads(path.read_text("utf-8"))]


def _entries(app: CeleriacApp) -> Iterator[DeclaredSchedule]:
    given = app.conf.beat_schedule or {}
    if not isinstance(given, Mapping):
        raise BeatScheduleError(
            f"beat_schedule is {short(given)}, which is not a dictionary. Write "
            "{'nightly': {'task': 'shop.add', 'schedule': crontab(hour=3, minute=0)}}."
        )
    seen: dict[str, object] = {}
    for name, entry in given.items():
        where = f"beat_schedule[{name!r}]"
        try:
            found = _of_entry(app, str(name), entry_of(entry), where)
            _check_unique(found, name, seen)
            yield found
        except (
            ScheduleError,
            UnknownQueueError,
            OptionRefusedError,
            encoding.CallNotJsonError,
        ) as error:
            raise BeatScheduleError(f"{where}: {error}") from error


def _check_unique(found: DeclaredSchedule, name: object, seen: dict[str, object]) -> None:
    """Refuse a name that is another's in EventBridge, such as 5 and '5'."""
    if found.schedule_id in seen:
        raise ScheduleError(
            "entry",
            f"it would be the same schedule as the entry {seen[found.schedule_id]!r}",
            "Give one of them another name",
        )
    seen[found.schedule_id] = name


def _of_entry(app: CeleriacApp, name: str, entry: Entry, where: str) -> DeclaredSchedule:
    task, options = entry.task, entry.options
    schedule = replace(
        _schedule(entry.schedule, _timezone(app)),
        priority=_priority(options.get("priority", getattr(app.tasks.get(task), "priority", None))),
    )
    found = DeclaredSchedule(
        schedule_id=schedule_id(f"{OF_BEAT}{name}"),
        type=task,
        schedule=schedule,
        where=where,
        args=entry.args,
        kwargs=entry.kwargs,
        options=options,
    )
    encoding.call_text(Call(found.args, found.kwargs))
    if task not in app.catalogue:
        return replace(found, options=_options(app, task, found.options))
    task_type = app.catalogue[task]
    _check_typed(task, task_type.queue.name, options)
    if len(found.args) + len(found.kwargs) > 1 or found.kwargs.keys() - {"payload"}:
        raise ScheduleError(
            "payload",
            f"{task} takes its payload as the only argument",
            "Write 'args': [{...}], and no kwargs",
        )
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


def _check_typed(name: str, queue: str, options: Mapping[str, Any]) -> None:
    """A typed task is submitted, and takes no options of ``apply_async`` but its priority."""
    of_call = call_options.without_brokers(dict(options))
    for each, value in of_call.items():
        same_queue = each == "queue" and str(getattr(value, "name", value)) == queue
        if each != "priority" and value is not None and not same_queue:
            raise ScheduleError(
                "options",
                f"the option {each} has no meaning for the task type {name}",
                "Leave it out; @task says where and how the type runs",
            )


def _options(app: CeleriacApp, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of each call: the entry's, the task's, and the queue that its route gives."""
    for each in _OF_ONE_CALL:
        if own.get(each) is not None:
            raise ScheduleError(
                "options",
                f"the option {each} would be the same for each task",
                "Leave it out; the schedule says when tasks run",
            )
    task = app.tasks.get(name)
    of_task = {} if task is None else extract_exec_options(task)
    options = call_options.checked(name, None, {**call_options.without_brokers(of_task), **own})
    queue = options.get("queue") or app.queue_of(name)
    queue = str(getattr(queue, "name", queue))
    app.amqp.queues[queue]
    options = {**options, "queue": queue}
    encoding.call_text(Call(options=options))
    return {each: value for each, value in options.items() if value is not None}


def _written(each: DeclaredSchedule) -> dict[str, Any]:
    when = each.schedule.when
    return {
        "id": each.schedule_id,
        "type": each.type,
        "where": each.where,
        "cron": when if isinstance(when, str) else None,
        "seconds": when.total_seconds() if isinstance(when, timedelta) else None,
        "timezone": each.schedule.timezone,
        "payload": dict(each.schedule.payload),
        "priority": each.schedule.priority,
        "call": encoding.call_text(Call(each.args, each.kwargs, each.options)),
    }


def _read(kept: Mapping[str, Any]) -> DeclaredSchedule:
    call = Call.as_json(kept["call"])
    seconds = kept["seconds"]
    return DeclaredSchedule(
        schedule_id=kept["id"],
        type=kept["type"],
        where=kept["where"],
        schedule=Schedule(
            when=kept["cron"] if seconds is None else timedelta(seconds=seconds),
            timezone=kept["timezone"],
            payload=kept["payload"],
            priority=kept["priority"],
        ),
        args=call.args,
        kwargs=call.kwargs,
        options=call.options,
    )


def _timezone(app: CeleriacApp) -> str:
    try:
        return str(app.timezone)
    except (LookupError, ValueError) as error:
        raise ScheduleError(
            "timezone",
            f"there is no time zone {short(app.conf.timezone)}, which app.conf.timezone names",
            "Use an IANA name, such as 'Europe/Moscow'",
        ) from error


def _schedule(given: Any, timezone: str) -> Schedule:
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


def main(path: str) -> None:
    """Write the entries of the project in the current folder to a file."""
    from celeriac.app.factory import project_app

    write(entries(project_app()), Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
