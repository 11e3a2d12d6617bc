"""Time limits, and messages that no worker should be given again."""

from __future__ import annotations

import json
import signal
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from celeriac import states
from celeriac.http import views
from celeriac.operations.submission import submit
from celeriac.records.record import WITH_ITS_WORKER
from celeriac.storage.services import services
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

DEAD = "default-dead-letter"


def send(stack: Stack, body: str) -> None:
    """A message that no sender of ours made."""
    services().sqs.send_message(
        QueueUrl=services().settings.queue_url_prefix + "default", MessageBody=body
    )


def dead_letters() -> list[dict[str, Any]]:
    """The messages of the dead-letter queue, and why they are there."""
    answer = services().sqs.receive_message(
        QueueUrl=services().settings.queue_url_prefix + DEAD,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
    )
    return [dict(each) for each in answer.get("Messages", [])]


def expect_one_dead_letter(stack: Stack, body: str | None = None) -> dict[str, Any]:
    wait_for(lambda: stack.depth(DEAD)["visible"] == 1, "the message to be dead-lettered")
    wait_for(lambda: not any(stack.depth().values()), "the message to leave its queue")
    (message,) = dead_letters()
    assert body is None or message["Body"] == body
    # The worker is unharmed.
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    return message


def test_a_soft_limit_raises_in_the_task_and_fails_it(stack: Stack, tasks: ModuleType) -> None:
    """A task type without attempts left ends in FAILURE, with the limit as its reason."""
    worker = stack.start_worker(1)
    children = worker.children
    task_id = stack.submit("dawdling", "dawdling", seconds=30)
    record = stack.wait_for_state(task_id, states.FAILURE)
    assert record.failure is not None
    assert record.failure.type == "TimeLimitExceeded"
    assert worker.children == children


def test_a_hard_limit_kills_and_the_policy_gives_another_attempt(
    stack: Stack, tasks: ModuleType
) -> None:
    """A task that ignored its soft limit is killed, and tried again while attempts are left."""
    stack.start_worker(1)
    task_id = stack.submit("overlong", "overlong", seconds=60)
    record = stack.wait_for_state(task_id, states.SUCCESS, seconds=40)
    assert record.attempt == 2
    assert tasks.counted("overlong-soft") == 1
    assert tasks.counted("overlong") == 1


def test_a_hard_limit_without_attempts_left_is_a_failure(stack: Stack, tasks: ModuleType) -> None:
    """Killed, FAILURE, acknowledged; it doesn't run again."""
    stack.start_worker(1)
    task_id = stack.submit("overlong-once", "overlong-once", seconds=60)
    record = stack.wait_for_state(task_id, states.FAILURE, seconds=40)
    assert record.failure is not None
    assert record.failure.type == "TimeLimitExceeded"
    wait_for(lambda: not any(stack.depth().values()), "the message to be acknowledged")
    assert tasks.counted("overlong-once") == 1


def test_an_undecodable_body_goes_to_the_dead_letter_queue(stack: Stack, tasks: ModuleType) -> None:
    """It never stops the worker, and stays for people to look at."""
    stack.start_worker(1)
    body = "this is no JSON {"
    send(stack, body)
    expect_one_dead_letter(stack, body)


def test_json_that_is_no_task_message_goes_to_the_dead_letter_queue(
    stack: Stack, tasks: ModuleType
) -> None:
    """JSON alone doesn't make a task."""
    stack.start_worker(1)
    for body in ('{"hello": "world"}', "[1, 2]", "17", '{"body": 3, "properties": null}'):
        send(stack, body)
    wait_for(lambda: stack.depth(DEAD)["visible"] == 4, "all to be dead-lettered")
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)


def test_an_unknown_type_goes_to_the_dead_letter_queue_and_its_record_says_why(
    stack: Stack, tasks: ModuleType
) -> None:
    """A caller who waits for it hears FAILURE."""
    stack.start_worker(1)
    result = tasks.app.send_task("no-such-type", queue="default")
    record = stack.wait_for_state(result.id, states.FAILURE)
    assert record.failure is not None
    assert record.failure.type == "unknown-task-type"
    expect_one_dead_letter(stack)


def test_a_payload_that_no_longer_validates_is_dead_lettered(
    stack: Stack, tasks: ModuleType
) -> None:
    """The type has changed since it was accepted."""
    stack.start_worker(1)
    result = tasks.app.send_task("effect", args=({"nom": "x"},), queue="default")
    record = stack.wait_for_state(result.id, states.FAILURE)
    assert record.failure is not None
    assert record.failure.type == "invalid-payload"
    expect_one_dead_letter(stack)


def test_a_message_of_a_newer_version_is_dead_lettered(stack: Stack, tasks: ModuleType) -> None:
    """A worker refuses what it can't be sure to understand."""
    task_id = stack.submit("effect", "newer")
    url = services().settings.queue_url_prefix + "default"
    (message,) = services().sqs.receive_message(QueueUrl=url)["Messages"]
    services().sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    body = json.loads(message["Body"])
    body["headers"]["celeriac"]["v"] = 99
    send(stack, json.dumps(body))
    stack.start_worker(1)
    record = stack.wait_for_state(task_id, states.FAILURE)
    assert record.failure is not None
    assert record.failure.type == "unknown-version"
    assert tasks.counted("newer") == 0
    expect_one_dead_letter(stack)


def test_a_task_that_kills_its_worker_three_times_is_given_up(
    stack: Stack, tasks: ModuleType
) -> None:
    """FAILURE and dead letter, instead of one worker after another."""
    stack.start_worker(1)
    task_id = stack.submit("fatal", "fatal")
    record = stack.wait_for_state(task_id, states.FAILURE, seconds=40)
    assert record.failure is not None
    assert record.failure.type == "worker-lost"
    assert record.failure.message == (
        "Of its attempts, 3 ended with the death of their process, 0 with the loss of their "
        "worker. The latest: signal 9 (SIGKILL)."
    )
    assert tasks.counted("fatal") == 3
    expect_one_dead_letter(stack)


@pytest.mark.parametrize(
    ("by", "loss"),
    [
        (3, "exit code 3"),
        (0, "exit code 0"),
        (-signal.SIGKILL, "signal 9 (SIGKILL)"),
        (-signal.SIGSEGV, "signal 11 (SIGSEGV)"),
        (-signal.SIGABRT, "signal 6 (SIGABRT)"),
    ],
)
def test_the_record_says_how_a_process_died(
    stack: Stack, tasks: ModuleType, by: int, loss: str
) -> None:
    """The attempt counts, and the next one, which succeeds, keeps what is known of it."""
    stack.start_worker(1)
    task_id = submit("dying", {"by": by}, app=stack.caller).record.task_id
    record = stack.wait_for_state(task_id, states.SUCCESS, seconds=40)
    assert (record.crashes, record.lost, record.loss) == (1, 0, loss)
    assert (record.attempt, record.attempts) == (1, 2)
    shown = views.summarize(record)
    assert (shown.attempt, shown.lost_attempts, shown.latest_loss) == (2, 1, loss)


def _has_run(tasks: ModuleType, name: str, times: int) -> bool:
    return bool(tasks.counted(name) == times)


def test_the_loss_of_whole_workers_is_not_the_tasks_fault(stack: Stack, tasks: ModuleType) -> None:
    """Three workers that end under a healthy task, as Spot ends them, make no poison of it."""
    task_id = stack.submit("effect", "unlucky", seconds=3)
    for number in (1, 2, 3):
        worker = stack.start_worker(1)
        wait_for(partial(_has_run, tasks, "unlucky", number), "the task to run", 40)
        worker.kill()
    stack.start_worker(1)
    record = stack.wait_for_state(task_id, states.SUCCESS, seconds=40)
    assert (record.crashes, record.lost, record.attempts) == (0, 3, 4)
    assert record.loss == WITH_ITS_WORKER


def test_a_task_at_which_too_many_workers_were_lost_is_given_up(
    stack: Stack, tasks: ModuleType
) -> None:
    """It may be what ends them: the limit is a setting."""
    task_id = stack.submit("effect", "suspect", seconds=3)
    first = stack.start_worker(1)
    wait_for(lambda: tasks.counted("suspect") == 1, "the task to run")
    first.kill()
    stack.start_worker(1, CELERIAC_MOST_WORKERS_LOST="1")
    record = stack.wait_for_state(task_id, states.FAILURE, seconds=40)
    assert record.failure is not None
    assert record.failure.type == "worker-lost"
    assert "0 ended with the death of their process, 1 with" in record.failure.message
    assert tasks.counted("suspect") == 1
    expect_one_dead_letter(stack)
