"""EventBridge Scheduler's copy of a schedule: when it fires, and what it calls then.

docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.contract import Schedule
from celeriac.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

#: How often, and for how long, EventBridge calls the target again if it can't be called.
RETRY_POLICY = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185}


#: The schedule that each deployment has, whatever its code declares: it repairs lost tasks.
REPAIR = "repair"
REPAIRED = Schedule.rate(timedelta(hours=1))
#: How long a task may be overdue before its message counts as lost.
GRACE = timedelta(minutes=15)


def envelope(schedule_id: str, times: str | None = None) -> str:
    """The target's input. EventBridge puts in the two values of a schedule that submits tasks.

    ``times`` are those of a caller's schedule, so that its firing knows whether an edit has reached
    EventBridge. Code's own schedules are deployed with the code.

    docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    if schedule_id == REPAIR:
        return json.dumps({"celeriac": REPAIR, "grace_seconds": GRACE // timedelta(seconds=1)})
    return json.dumps(
        {
            "celeriac": "schedule",
            "schedule_id": schedule_id,
            "scheduled_time": "<aws.scheduler.scheduled-time>",
            "execution_id": "<aws.scheduler.execution-id>",
            **({} if times is None else {"times": times}),
        }
    )


def times_of(schedule: Schedule) -> str:
    """Everything that says when a schedule fires, as the table keeps it."""
    bounds = ("-" if each is None else each.isoformat() for each in (schedule.start, schedule.end))
    return " ".join((schedule.expression, schedule.timezone, *bounds))


@dataclass(frozen=True)
class EventBridge:
    """The schedules of a deployment's group."""

    client: EventBridgeSchedulerClient
    settings: Settings

    def create(self, name: str, schedule: Schedule, known_as: str) -> bool:
        """Make a schedule, which fires as ``known_as``; False if there is one of this name."""
        try:
            self.client.create_schedule(**self._values(name, schedule, known_as))
        except self.client.exceptions.ConflictException:
            return False
        return True

    def update(self, name: str, schedule: Schedule, known_as: str) -> None:
        """Change a schedule; make it if it has ended and so been deleted."""
        try:
            self.client.update_schedule(**self._values(name, schedule, known_as))
        except self.client.exceptions.ResourceNotFoundException:
            if not self.create(name, schedule, known_as):  # made by another meanwhile
                self.client.update_schedule(**self._values(name, schedule, known_as))

    def holds(self, name: str, schedule: Schedule, known_as: str) -> bool:
        """Whether the schedule is there, and is exactly this one."""
        try:
            there = self.client.get_schedule(GroupName=self.settings.schedule_group, Name=name)
        except self.client.exceptions.ResourceNotFoundException:
            return False
        wanted = {"StartDate": None, "EndDate": None, **self._values(name, schedule, known_as)}
        return all(there.get(each) == value for each, value in wanted.items())

    def delete(self, name: str) -> None:
        """Remove a schedule, if it is there."""
        try:
            self.client.delete_schedule(GroupName=self.settings.schedule_group, Name=name)
        except self.client.exceptions.ResourceNotFoundException:
            return

    def _values(self, name: str, schedule: Schedule, known_as: str) -> dict[str, Any]:
        times = None if known_as == name else times_of(schedule)
        bounds = {"StartDate": start_of(schedule), "EndDate": schedule.end}
        return {
            "GroupName": self.settings.schedule_group,
            "Name": name,
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.timezone,
            **{each: moment for each, moment in bounds.items() if moment is not None},
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self.settings.schedule_target_arn,
                "RoleArn": self.settings.schedule_role_arn,
                "Input": envelope(known_as, times),
                "DeadLetterConfig": {"Arn": self.settings.schedule_dead_letter_arn},
                "RetryPolicy": RETRY_POLICY,
            },
        }


def start_of(schedule: Schedule) -> datetime | None:
    """From when AWS may fire. It refuses a start that lies more than 5 minutes back.

    rate   start ── fired ── fired ── now ── next    the next keeps the rhythm
    cron   start ── now                              it needs none any more
    """
    now = clock.to_datetime(clock.now())
    if schedule.start is None or schedule.start > now - timedelta(minutes=1):
        return schedule.start
    return next(schedule.fire_times(now), None) if schedule.kind == "rate" else None
