"""EventBridge Scheduler on this machine: moto keeps schedules, and this sends those that are due.

One-time schedules only (``at(...)``): they carry delays that are too long for SQS.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.storage.services import Services

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import GetScheduleOutputTypeDef

INTERVAL = timedelta(seconds=1)
AT_FORMAT = "at(%Y-%m-%dT%H:%M:%S)"

Now = Callable[[], datetime]


@dataclass(frozen=True)
class OneTime:
    """A one-time schedule: its target and input, when it is due, and whether it is deleted then."""

    name: str
    due_at: datetime
    target: Mapping[str, Any]
    deleted_afterwards: bool


class Schedules:
    """Sends due schedules, once a second, in a thread that runs while this is entered.

    ``say`` gets a line for each failure.
    """

    def __init__(
        self,
        services: Services,
        say: Callable[[str], None],
        now: Now = lambda: datetime.now(UTC),
    ) -> None:
        self._services = services
        self._say = say
        self._now = now
        # AWS's list doesn't say when a schedule is due, so each is read once. None stands for a
        # schedule of another kind.
        self._known: dict[tuple[str, datetime], OneTime | None] = {}
        self._fired: set[tuple[str, datetime]] = set()
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

    def fire_due(self) -> list[str]:
        """Send due schedules, and return their names.

        Each is sent, then deleted: a crash in between sends it twice, as EventBridge may.

        Raises:
            botocore.exceptions.BotoCoreError: AWS can't be reached.
            botocore.exceptions.ClientError: AWS refused.
        """
        group = self._services.settings.schedule_group
        now = self._now()
        fired = []
        known = self._read_all(group)
        for version, schedule in known.items():
            if schedule is None or version in self._fired or schedule.due_at > now:
                continue
            self._send(schedule)
            self._fired.add(version)
            if schedule.deleted_afterwards:
                self._services.scheduler.delete_schedule(GroupName=group, Name=schedule.name)
            fired.append(schedule.name)
        self._known = known
        self._fired &= known.keys()
        return fired

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL.total_seconds()):
            try:
                self.fire_due()
            except (BotoCoreError, ClientError) as error:
                if not self._ended.is_set():
                    self._say(f"Sending due schedules failed, and is tried again: {error}")

    def _read_all(self, group: str) -> dict[tuple[str, datetime], OneTime | None]:
        scheduler = self._services.scheduler
        pages = scheduler.get_paginator("list_schedules").paginate(GroupName=group, State="ENABLED")
        found: dict[tuple[str, datetime], OneTime | None] = {}
        for each in (each for page in pages for each in page["Schedules"]):
            version = (each["Name"], each["LastModificationDate"])
            if version in self._known:
                found[version] = self._known[version]
                continue
            try:
                found[version] = _one_time(
                    scheduler.get_schedule(GroupName=group, Name=each["Name"])
                )
            except scheduler.exceptions.ResourceNotFoundException:
                continue  # it was deleted after it was listed
        return found

    def _send(self, schedule: OneTime) -> None:
        sqs = self._services.sqs
        target = schedule.target
        try:
            sqs.send_message(QueueUrl=self._url(target["Arn"]), MessageBody=target["Input"])
        except sqs.exceptions.QueueDoesNotExist:
            dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
            self._say(f"The schedule {schedule.name} sends to a queue that does not exist.")
            if dead_letters is not None:
                url = self._url(dead_letters)
                sqs.send_message(QueueUrl=url, MessageBody=target["Input"])

    def _url(self, arn: str) -> str:
        settings = self._services.settings
        return settings.queue_url_prefix + arn.removeprefix(settings.queue_arn_prefix)


def _one_time(schedule: GetScheduleOutputTypeDef) -> OneTime | None:
    try:
        local = datetime.strptime(schedule["ScheduleExpression"], AT_FORMAT)  # noqa: DTZ007 (below)
    except ValueError:
        return None
    zone = ZoneInfo(schedule.get("ScheduleExpressionTimezone", "UTC"))
    return OneTime(
        name=schedule["Name"],
        due_at=local.replace(tzinfo=zone),
        target=schedule["Target"],
        deleted_afterwards=schedule.get("ActionAfterCompletion") == "DELETE",
    )
