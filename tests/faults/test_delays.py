"""Delays are SQS's, or EventBridge Scheduler's, to keep; never a worker's."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from celeriac import states
from celeriac.local.standin import Standin
from celeriac.storage.services import services
from tests.faults.stack import VISIBILITY, Stack
from tests.integration.processes import wait_for


def schedules() -> list[dict[str, Any]]:
    """All schedules there are."""
    scheduler = services().scheduler
    return [
        dict(scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"]))
        for each in scheduler.list_schedules()["Schedules"]
    ]


def fire(schedule: dict[str, Any]) -> None:
    """What EventBridge Scheduler does when a one-time schedule is due."""
    target = schedule["Target"]
    queue = target["Arn"].removeprefix(services().settings.queue_arn_prefix)
    services().sqs.send_message(
        QueueUrl=services().settings.queue_url_prefix + queue, MessageBody=target["Input"]
    )
    services().scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])


def test_a_delay_of_twenty_seconds_is_kept_by_sqs_and_executed_once(
    stack: Stack, tasks: ModuleType
) -> None:
    """A delay of several visibilities is not received meanwhile, and not run again after."""
    worker = stack.start_worker(1)
    began_at = time.monotonic()
    task_id = stack.submit("effect", "delayed", delay=timedelta(seconds=20))
    assert stack.depth() == {"visible": 0, "in_flight": 0, "delayed": 1}
    # A worker that is stopped would have to hand back what it held.
    worker.stop()
    worker.wait()
    assert stack.depth()["delayed"] == 1
    stack.start_worker(1)
    stack.wait_for_state(task_id, states.SUCCESS, seconds=30)
    assert time.monotonic() - began_at >= 19.5
    wait_for(lambda: not any(stack.depth().values()), "the message to be acknowledged")
    assert tasks.counted("delayed") == 1


def test_a_delay_of_sixteen_minutes_is_a_schedule_and_executed_once(
    stack: Stack, aws: Standin, tasks: ModuleType
) -> None:
    """SQS keeps fifteen minutes at most; what the schedule sends is what a worker would run."""
    stack.start_worker(1)
    before = datetime.now(UTC)
    task_id = stack.submit("effect", "far", delay=timedelta(minutes=16))
    (schedule,) = schedules()
    due = datetime.fromisoformat(schedule["ScheduleExpression"][3:-1]).replace(tzinfo=UTC)
    off = due - before - timedelta(minutes=16)
    assert abs(off) < timedelta(seconds=5)
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert not any(stack.depth().values())
    assert aws.calls()["sqs.SendMessage"] == 0
    fire(schedule)
    stack.wait_for_state(task_id, states.SUCCESS)
    assert tasks.counted("far") == 1


def test_eta_and_countdown_of_plain_celery_code_are_kept_the_same_way(
    stack: Stack, tasks: ModuleType
) -> None:
    """Short ones by SQS, long ones by a schedule; the worker holds neither."""
    near = tasks.counting.apply_async(("countdown", 1), countdown=2)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    tasks.counting.apply_async(("eta", 2), eta=soon)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    far = tasks.counting.apply_async(("tomorrow", 3), eta=tomorrow)
    assert stack.depth() == {"visible": 0, "in_flight": 0, "delayed": 2}
    stack.start_worker(1)
    assert near.get(timeout=20) == 1
    wait_for(lambda: tasks.counted("eta") == 1, "the other to run")
    (schedule,) = schedules()
    fire(schedule)
    assert far.get(timeout=20) == 3
    for name in ("countdown", "eta", "tomorrow"):
        assert tasks.counted(name) == 1


def test_a_retrys_delay_is_kept_by_sqs(stack: Stack, tasks: ModuleType) -> None:
    """While a retry waits, no worker holds it, whatever becomes of the worker that asked."""
    first = stack.start_worker(1)
    delay = 2 * VISIBILITY.total_seconds()
    result = tasks.retrying.delay("retry-later", 1, countdown=delay)
    wait_for(lambda: stack.depth()["delayed"] == 1, "the retry to wait")
    first.kill()
    assert stack.record(result.id).state == states.RETRY
    stack.start_worker(1)
    assert result.get(timeout=30) == 1
    assert tasks.counted("retry-later") == 2


def test_a_long_retry_delay_becomes_a_schedule_of_the_next_attempt(
    stack: Stack, tasks: ModuleType
) -> None:
    """A retry in an hour is the scheduler's too."""
    stack.start_worker(1)
    result = tasks.retrying.delay("retry-hour", 1, countdown=3600)
    stack.wait_for_state(result.id, states.RETRY)
    wait_for(lambda: not any(stack.depth().values()), "the first message to be acknowledged")
    (schedule,) = schedules()
    assert json.loads(schedule["Target"]["Input"])["headers"]["id"] == result.id
    fire(schedule)
    assert result.get(timeout=20) == 1
