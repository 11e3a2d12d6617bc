"""Delays longer than SQS can keep: a one-time schedule that fires when the task is due.

The schedule names the task and its attempt, and holds nothing else. What is fired reads the record
(``celeriac.operations.firing``): an input of any size stays where the record keeps it, and a task
that was cancelled meanwhile is not sent.

EventBridge Scheduler calls within a minute of a schedule's time, and removes it afterwards:
docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-delete.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celeriac import clock
from celeriac.aws import clients
from celeriac.transport.message import attempt_of


def fire_later(headers: Mapping[str, Any], delay: timedelta) -> None:
    """Have a task's attempt fired after ``delay``. ``headers`` are those of its message.

    The schedule is named by the task and its attempt, so asking twice makes one. Its time is a
    whole second, and never before the task is due. AWS refuses a time that has passed; a delay of
    this length can't have passed before the call arrives.

    Raises:
        botocore.exceptions.BotoCoreError: EventBridge Scheduler can't be reached.
        botocore.exceptions.ClientError: it refused.
    """
    settings = clients().settings
    scheduler = clients().scheduler
    task_id, attempt = headers["id"], attempt_of(headers)
    due_at = clock.to_datetime(clock.now() + 999) + delay
    try:
        scheduler.create_schedule(
            Name=_name(f"{task_id}-{attempt}"),
            GroupName=settings.schedule_group,
            ScheduleExpression=f"at({due_at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": settings.schedule_target_arn,
                "RoleArn": settings.schedule_role_arn,
                "Input": json.dumps({"celeriac": "due", "task_id": task_id, "attempt": attempt}),
                "DeadLetterConfig": {"Arn": settings.schedule_dead_letter_arn},
            },
        )
    except scheduler.exceptions.ConflictException:
        return  # made before: the answer was lost, or the message is sent again


def _name(task_and_attempt: str) -> str:
    """A schedule's name: an id that a caller chose may be longer, or of other characters.

    docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    """
    if re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", task_and_attempt):
        return task_and_attempt
    return hashlib.sha256(task_and_attempt.encode()).hexdigest()
