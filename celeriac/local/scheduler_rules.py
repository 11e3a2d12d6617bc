"""What EventBridge Scheduler refuses to keep, for the AWS of this machine.

moto keeps any schedule, so a wrong one would pass here and fail in a deployment.
docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from celeriac.contract.schedule import ScheduleError
from celeriac.local.expressions import ExpressionError, read

_NAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_QUEUE = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9-_]+")
_FUNCTION = re.compile(r"arn:aws[a-z-]*:lambda:.+")
_LONGEST_ARN = 1600
_LONGEST_EXPRESSION = 256
_LONGEST_ZONE = 50
_LONGEST_DESCRIPTION = 512
_LARGEST_INPUT = 256 * 1024
_WINDOW = range(1, 1441)
_RETRIES = {"MaximumEventAgeInSeconds": range(60, 86_401), "MaximumRetryAttempts": range(186)}
#: AWS's own words: "The StartDate you specify cannot be earlier than 5 minutes ago."
_EARLIEST_START = timedelta(minutes=5)


def refusal(name: str, request: Mapping[str, Any], now: datetime) -> str | None:
    """Why AWS would answer a ValidationException; None if it would keep this schedule.

    ``request`` has the members of CreateSchedule and UpdateSchedule, by AWS's names.
    """
    return next(_faults(name, request, now), None)


def _faults(name: str, request: Mapping[str, Any], now: datetime) -> Iterator[str]:
    for member in ("Name", "GroupName"):
        value = name if member == "Name" else request.get("GroupName") or "default"
        if not _NAME.fullmatch(value):
            yield f"{member} {value!r} does not match {_NAME.pattern}."
    for member, allowed in (
        ("State", ("ENABLED", "DISABLED")),
        ("ActionAfterCompletion", ("NONE", "DELETE")),
    ):
        if request.get(member) not in (None, *allowed):
            yield f"{member} {request[member]!r} is none of {', '.join(allowed)}."
    if len(request.get("Description") or "") > _LONGEST_DESCRIPTION:
        yield f"Description is longer than {_LONGEST_DESCRIPTION} characters."
    yield from _times(request, now)
    yield from _window(request.get("FlexibleTimeWindow") or {})
    yield from _target(request.get("Target") or {})


def _times(request: Mapping[str, Any], now: datetime) -> Iterator[str]:
    expression = request.get("ScheduleExpression") or ""
    zone = request.get("ScheduleExpressionTimezone") or "UTC"
    if not 1 <= len(expression) <= _LONGEST_EXPRESSION:
        yield f"ScheduleExpression must have 1 to {_LONGEST_EXPRESSION} characters."
    if len(zone) > _LONGEST_ZONE:
        yield f"ScheduleExpressionTimezone is longer than {_LONGEST_ZONE} characters."
    try:
        read(expression, zone)
    except ExpressionError as error:
        yield str(error)
    except ScheduleError as error:
        yield f"Invalid ScheduleExpressionTimezone: {error.fault}."
    if expression.startswith("at("):
        # AWS ignores both dates for one time. It documents no refusal of one that has passed:
        # docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#one-time
        return
    start, end = _date(request.get("StartDate")), _date(request.get("EndDate"))
    if start is not None and start < now - _EARLIEST_START:
        yield "The StartDate you specify cannot be earlier than 5 minutes ago."
    if end is not None and end < now:
        yield "The EndDate you specify is in the past."
    if start is not None and end is not None and start >= end:
        yield "The StartDate must be before the EndDate."


def _date(value: Any) -> datetime | None:
    """A timestamp of JSON: seconds since 1970."""
    return None if value is None else datetime.fromtimestamp(float(value), UTC)


def _window(window: Mapping[str, Any]) -> Iterator[str]:
    mode, longest = window.get("Mode"), window.get("MaximumWindowInMinutes")
    if mode not in ("OFF", "FLEXIBLE"):
        yield f"FlexibleTimeWindow.Mode {mode!r} is none of OFF, FLEXIBLE."
    elif mode == "OFF" and longest is not None:
        yield "FlexibleTimeWindow.MaximumWindowInMinutes is only for the mode FLEXIBLE."
    elif mode == "FLEXIBLE" and longest not in _WINDOW:
        yield f"FlexibleTimeWindow.MaximumWindowInMinutes {longest!r} is not from 1 to 1440."


def _target(target: Mapping[str, Any]) -> Iterator[str]:
    arn, role, text = target.get("Arn", ""), target.get("RoleArn", ""), target.get("Input")
    if not arn.startswith("arn:") or len(arn) > _LONGEST_ARN:
        yield f"Target.Arn {arn!r:.200} is no ARN."
    if not _ROLE.fullmatch(role):
        yield f"Target.RoleArn {role!r:.200} is no ARN of a role."
    if text is not None:
        if len(text.encode()) > _LARGEST_INPUT:
            yield "Target.Input is larger than 256 KiB."
        if _FUNCTION.fullmatch(arn) and not _is_json(text):
            yield "Target.Input is not JSON, which a Lambda function needs."
    dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    if dead_letters is not None and not _QUEUE.fullmatch(dead_letters):
        yield f"Target.DeadLetterConfig.Arn {dead_letters!r:.200} is no ARN of a queue."
    for name, allowed in _RETRIES.items():
        value = (target.get("RetryPolicy") or {}).get(name)
        if value is not None and value not in allowed:
            yield f"Target.RetryPolicy.{name} is not from {allowed[0]} to {allowed[-1]}."


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def enforce_in_moto() -> None:
    """Patch moto in this process: it then refuses what AWS refuses. Doing it again is harmless."""
    from moto.scheduler import models
    from moto.scheduler.exceptions import ScheduleGroupNotFound, ValidationException

    backend = models.EventBridgeSchedulerBackend
    for name in ("create_schedule", "update_schedule"):
        kept = getattr(backend, name)
        if not hasattr(kept, "__wrapped__"):
            setattr(backend, name, _checked(kept, ScheduleGroupNotFound, ValidationException))


#: moto serves each request in a thread, and looks for a schedule before it keeps another.
_one_at_a_time = threading.Lock()


def _checked(kept: Any, no_group: type[Exception], invalid: type[Exception]) -> Any:
    @wraps(kept)
    def checked(self: Any, **values: Any) -> Any:
        # moto names the members in snake case.
        request = {
            "".join(word.capitalize() for word in name.split("_")): value
            for name, value in values.items()
        }
        if (fault := refusal(values["name"], request, datetime.now(UTC))) is not None:
            raise invalid(fault)
        if (group := values["group_name"] or "default") not in self.schedule_groups:
            raise no_group(group)
        with _one_at_a_time:
            return kept(self, **values)

    return checked
