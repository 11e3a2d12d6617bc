"""EventBridge Scheduler on this machine: moto keeps schedules, and this fires those that are due.

Each fires its input, as AWS would call the function of ``celeriac.operations.fire_function`` with
it. One that fails is fired again, and then leaves a dead letter, as Lambda does:
docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.local.expressions import AT_FORMAT, read
from celeriac.storage.services import Services

INTERVAL = timedelta(seconds=1)
#: How long Lambda waits before it calls a function again that has raised, each time.
REPEATED_AFTER = (timedelta(minutes=1), timedelta(minutes=2))

Now = Callable[[], datetime]
#: Fires inputs; for each what went wrong, or None.
Fire = Callable[[Sequence[str]], Sequence[str | None]]
_Version = tuple[str, datetime]


@dataclass
class _Kept:
    """A schedule as it was read, and when it fires next: never again where that is None."""

    read: Mapping[str, Any]
    times: Iterator[datetime]
    next_at: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        self.advance()

    def advance(self) -> None:
        self.next_at = next(self.times, None)
        end = self.read.get("EndDate")
        recurs = not self.read["ScheduleExpression"].startswith("at(")
        if self.next_at and end is not None and recurs and self.next_at > end:
            self.next_at = None

    def input_at(self, moment: datetime) -> str:
        """What is sent, with AWS's context attributes filled in.

        docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
        """
        text: str = self.read["Target"].get("Input", "{}")
        for name, value in (
            ("schedule-arn", self.read["Arn"]),
            ("scheduled-time", f"{moment:{AT_FORMAT}}Z"),
            ("execution-id", str(uuid.uuid4())),
            ("attempt-number", "1"),
        ):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return text


@dataclass
class _Firing:
    """One firing that is to be made, at ``due_at`` or after it has failed."""

    kept: _Kept
    input: str
    due_at: datetime
    failed: int = 0


class Schedules:
    """Fires due schedules, once a second, in a thread that runs while this is entered.

    ``say`` gets a line for each failure.
    """

    def __init__(
        self,
        services: Services,
        fire: Fire,
        say: Callable[[str], None],
        now: Now = lambda: datetime.now(UTC),
    ) -> None:
        self._services = services
        self._fire = fire
        self._say = say
        self._now = now
        self._started_at = now()
        # AWS's list doesn't say when a schedule is due, so each version is read once.
        self._known: dict[_Version, _Kept] = {}
        self._waiting: list[_Firing] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not joined: if AWS has ended first, a call in progress takes long to fail.
        self._ended.set()

    @property
    def next_at(self) -> datetime | None:
        """When there is something to fire, as far as was seen; None if there is nothing."""
        times = [each.next_at for each in self._known.values() if each.next_at]
        return min([*times, *(each.due_at for each in self._waiting)], default=None)

    def fire_due(self) -> list[str]:
        """Fire what is due, and return the names of the schedules that have fired.

        A crash between a firing and the deletion of a one-time schedule fires it twice, as
        EventBridge may. Times that passed while the machine slept fire once.

        Raises:
            botocore.exceptions.BotoCoreError: AWS can't be reached.
            botocore.exceptions.ClientError: AWS refused.
        """
        now = self._now()
        self._known = self._read_all(now)
        for kept in self._known.values():
            moment = None
            while kept.next_at and kept.next_at <= now:
                moment = kept.next_at
                kept.advance()
            if moment is not None:
                self._waiting.append(_Firing(kept, kept.input_at(moment), moment))
        due = sorted((each for each in self._waiting if each.due_at <= now), key=_due_at)
        if not due:
            return []
        fired = []
        for firing, fault in zip(due, self._fire([each.input for each in due]), strict=True):
            if fault is None:
                fired.append(firing.kept.read["Name"])
                self._end(firing)
            else:
                self._fail(firing, fault, now)
        return fired

    def _fail(self, firing: _Firing, fault: str, now: datetime) -> None:
        name = firing.kept.read["Name"]
        if firing.failed < len(REPEATED_AFTER):
            firing.due_at = now + REPEATED_AFTER[firing.failed]
            firing.failed += 1
            self._say(f"The schedule {name} could not fire, and is tried again: {fault}")
            return
        self._say(f"The schedule {name} could not fire, and leaves a dead letter: {fault}")
        dead_letters = firing.kept.read["Target"].get("DeadLetterConfig", {}).get("Arn")
        if dead_letters is not None:
            settings = self._services.settings
            url = settings.queue_url_prefix + dead_letters.removeprefix(settings.queue_arn_prefix)
            self._services.sqs.send_message(QueueUrl=url, MessageBody=firing.input)
        self._end(firing)

    def _end(self, firing: _Firing) -> None:
        self._waiting.remove(firing)
        read, scheduler = firing.kept.read, self._services.scheduler
        over = firing.kept.next_at is None
        if over and read.get("ActionAfterCompletion") == "DELETE":
            try:
                scheduler.delete_schedule(GroupName=read["GroupName"], Name=read["Name"])
            except scheduler.exceptions.ResourceNotFoundException:
                return  # what it fired has deleted it

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL.total_seconds()):
            try:
                self.fire_due()
            except (BotoCoreError, ClientError) as error:
                if not self._ended.is_set():
                    self._say(f"Firing due schedules failed, and is tried again: {error}")

    def _read_all(self, now: datetime) -> dict[_Version, _Kept]:
        scheduler = self._services.scheduler
        group = self._services.settings.schedule_group
        pages = scheduler.get_paginator("list_schedules").paginate(GroupName=group, State="ENABLED")
        found: dict[_Version, _Kept] = {}
        for each in (each for page in pages for each in page["Schedules"]):
            version = (each["Name"], each["LastModificationDate"])
            if version in self._known:
                found[version] = self._known[version]
                continue
            try:
                kept = scheduler.get_schedule(GroupName=group, Name=each["Name"])
            except scheduler.exceptions.ResourceNotFoundException:
                continue  # it was deleted after it was listed
            found[version] = self._kept(kept, now)
        return found

    def _kept(self, schedule: Mapping[str, Any], now: datetime) -> _Kept:
        created = schedule["CreationDate"]
        # What was due before this began isn't fired late: it may have been fired by then.
        is_new = created >= self._started_at
        after = created - timedelta(seconds=1) if is_new else now
        start = schedule.get("StartDate")
        if start is not None:
            after = max(after, start - timedelta(seconds=1))
        zone = schedule.get("ScheduleExpressionTimezone", "UTC")
        expression = read(schedule["ScheduleExpression"], zone)
        times = expression.fire_times(base=created if start is None else start, after=after)
        return _Kept(schedule, times)


def _due_at(firing: _Firing) -> datetime:
    return firing.due_at
