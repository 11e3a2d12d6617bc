"""Delays are SQS's, or EventBridge Scheduler's, to keep; never a worker's."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from celeriac import states
from celeriac.app.declared_schedule import PREFIXES
from celeriac.app.sending import CeleriacApp
from celeriac.local.standin import Standin
from celeriac.operations import firing
from celeriac.operations.cancelling import cancel
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.faults.stack import VISIBILITY, Stack
from tests.integration.processes import wait_for


def schedules() -> list[dict[str, Any]]:
    """The schedules of delayed tasks: all but those that the code declares."""
    scheduler = services().scheduler
    return [
        dict(scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"]))
        for each in scheduler.list_schedules()["Schedules"]
        if not each["Name"].startswith(PREFIXES)
    ]


def fire(schedule: dict[str, Any], *, times: int = 1) -> None:
    """What EventBridge Scheduler and the function do when a one-time schedule is due."""
    assert schedule["Target"]["Arn"] == services().settings.schedule_target_arn
    for _ in range(times):
        firing.fire(json.loads(schedule["Target"]["Input"]))
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
    """SQS keeps fifteen minutes at most; what the schedule fires sends the record's message."""
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
    assert json.loads(schedule["Target"]["Input"]) == {
        "celeriac": "due",
        "task_id": result.id,
        "attempt": 2,
    }
    fire(schedule)
    assert result.get(timeout=20) == 1


def test_a_task_that_is_fired_twice_runs_once(stack: Stack, tasks: ModuleType) -> None:
    """EventBridge Scheduler fires at least once: the second message finds the task claimed."""
    task_id = stack.submit("effect", "twice", delay=timedelta(hours=1))
    (schedule,) = schedules()
    fire(schedule, times=2)
    stack.start_worker(1)
    stack.wait_for_state(task_id, states.SUCCESS)
    firing.fire(json.loads(schedule["Target"]["Input"]))
    wait_for(lambda: not any(stack.depth().values()), "the messages to be acknowledged")
    assert tasks.counted("twice") == 1


def test_a_task_that_was_cancelled_before_it_is_due_is_not_sent(stack: Stack) -> None:
    """Its schedule fires all the same, and finds the record REVOKED."""
    task_id = stack.submit("effect", "cancelled", delay=timedelta(hours=1))
    cancel(task_id, stack.record(task_id).tenant)
    (schedule,) = schedules()
    fire(schedule)
    assert stack.record(task_id).state == states.REVOKED
    assert not any(stack.depth().values())


def test_what_was_to_be_fired_for_an_earlier_attempt_sends_nothing(stack: Stack) -> None:
    """A firing that comes late is of an attempt that is over, or of a task that is gone."""
    task_id = stack.submit("effect", "late", delay=timedelta(hours=1))
    (schedule,) = schedules()
    event = json.loads(schedule["Target"]["Input"])
    firing.fire({**event, "attempt": 2})
    firing.fire({**event, "task_id": "gone"})
    assert not any(stack.depth().values())
    assert stack.record(task_id).state == states.PENDING
    cancel(task_id, stack.record(task_id).tenant)
    fire(schedule)


def test_a_function_that_dies_before_it_has_sent_is_called_again(
    stack: Stack, tasks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of the record and the message nothing is written: it begins again."""
    task_id = stack.submit("effect", "dies", delay=timedelta(hours=1))
    (schedule,) = schedules()

    def die(*_: Any, **__: Any) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patched:
        patched.setattr(CeleriacApp, "publish_kept", die)
        with pytest.raises(SystemExit):
            firing.fire(json.loads(schedule["Target"]["Input"]))
    assert not any(stack.depth().values())
    fire(schedule)
    stack.start_worker(1)
    stack.wait_for_state(task_id, states.SUCCESS)
    assert tasks.counted("dies") == 1


def test_a_large_input_headers_and_attributes_wait_with_their_task(
    stack: Stack, tasks: ModuleType
) -> None:
    """What a message would have carried is kept by the record, at any size, until it is due."""
    attributes = {"city": {"DataType": "String", "StringValue": "Paris"}}
    large = "x" * 300_000
    result = tasks.counting.apply_async(
        ("large", large),
        countdown=3600,
        headers={"x-source": "test"},
        message_attributes=attributes,
    )
    (schedule,) = schedules()
    assert len(schedule["Target"]["Input"]) < 200
    fire(schedule)
    received = services().sqs.receive_message(
        QueueUrl=services().settings.queue_url(DEFAULT),
        MessageAttributeNames=["All"],
        VisibilityTimeout=0,
    )
    (message,) = received["Messages"]
    assert json.loads(message["Body"])["headers"]["x-source"] == "test"
    stack.start_worker(1)
    assert result.get(timeout=30) == large
