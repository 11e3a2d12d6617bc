"""Delays longer than SQS can keep: a one-time schedule that sends the message when it is due.

EventBridge Scheduler keeps it, calls within a minute of its time, and removes it afterwards:
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


def send_later(queue_url: str, message: Mapping[str, Any], delay: timedelta) -> None:
    """Have a message sent after ``delay``.

    The schedule is named by the task and its attempt, so sending twice makes one.

    Raises:
        botocore.exceptions.BotoCoreError: EventBridge Scheduler can't be reached.
        botocore.exceptions.ClientError: it refused.
    """
    settings = clients().settings
    scheduler = clients().scheduler
    headers = message["headers"]
    queue_name = queue_url.removeprefix(settings.queue_url_prefix)
    due_at = clock.to_datetime(clock.now()) + delay
    try:
        scheduler.create_schedule(
            Name=_name(f"{headers['id']}-{attempt_of(headers)}"),
            GroupName=settings.schedule_group,
            ScheduleExpression=f"at({due_at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": settings.queue_arn_prefix + queue_name,
                "RoleArn": settings.schedule_role_arn,
                "Input": json.dumps(message),
                "DeadLetterConfig": {"Arn": settings.schedule_dead_letter_arn},
            },
        )
    except scheduler.exceptions.ConflictException:
        return  # made before: the answer was lost, or the message is sent again


def _name(task_and_attempt: str) -> str:
    """A schedule's name: an id that a caller made up may be longer, or of other characters.

    docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    """
    if re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", task_and_attempt):
        return task_and_attempt
    return hashlib.sha256(task_and_attempt.encode()).hexdigest()
