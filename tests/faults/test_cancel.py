"""Cancelling: queued, running, running and deaf, already over."""

from __future__ import annotations

import resource
import time
from datetime import timedelta
from types import ModuleType

import pytest

from celeriac import states
from celeriac.operations.cancelling import cancel
from celeriac.records import Cancellation
from celeriac.storage.services import services
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

#: Within so many seconds a running task is told.
TOLD_SECONDS = 10


def artifacts(task_id: str) -> list[str]:
    return [each.key for each in services().artifacts.list("default", f"tasks/{task_id}/")]


def cancelled(task_id: str) -> Cancellation:
    return cancel(task_id, "default")[0]


def test_a_queued_task_is_revoked_at_once_and_never_runs(stack: Stack, tasks: ModuleType) -> None:
    """No worker needs to be alive; the message is dropped when one comes."""
    task_id = stack.submit("effect", "cancelled-queued")
    assert cancelled(task_id) is Cancellation.ENDED
    assert stack.record(task_id).state == states.REVOKED
    stack.start_worker(1)
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    wait_for(lambda: not any(stack.depth().values()), "the message to be dropped")
    assert tasks.counted("cancelled-queued") == 0


def test_a_running_task_ends_within_ten_seconds_and_leaves_no_artifacts(
    stack: Stack, tasks: ModuleType
) -> None:
    """It is told by an exception; its process lives on and its half-made artifacts go."""
    worker = stack.start_worker(1)
    task_id = stack.submit("saving", "cancelled-running", seconds=60)
    wait_for(lambda: tasks.counted("cancelled-running") == 1, "the task to run")
    assert len(artifacts(task_id)) == 1
    children = worker.children
    assert cancelled(task_id) is Cancellation.STOPPING
    stack.wait_for_state(task_id, states.REVOKED, seconds=TOLD_SECONDS)
    assert artifacts(task_id) == []
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    assert worker.children == children
    wait_for(lambda: not any(stack.depth().values()), "the message to be acknowledged")


def test_a_full_disk_does_not_keep_a_running_task_from_being_told(
    stack: Stack, tasks: ModuleType
) -> None:
    """What the task has filled it may free again: it ends in its own way, and isn't killed."""
    worker = stack.start_worker(1)
    task_id = stack.submit("effect", "cancelled-full", seconds=60)
    wait_for(lambda: tasks.counted("cancelled-full") == 1, "the task to run")
    children = worker.children
    for pid in (worker.pid, *children):
        # As on a full disk: nothing can be written to any file.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    assert cancelled(task_id) is Cancellation.STOPPING
    stack.wait_for_state(task_id, states.REVOKED, seconds=TOLD_SECONDS)
    assert worker.children == children


def test_a_running_task_that_ignores_the_exception_is_killed(
    stack: Stack, tasks: ModuleType
) -> None:
    """After its grace period its process is killed and replaced; it doesn't run again."""
    stack.start_worker(1)
    task_id = stack.submit("stubborn", "cancelled-deaf", seconds=90)
    wait_for(lambda: tasks.counted("cancelled-deaf") == 1, "the task to run")
    assert cancelled(task_id) is Cancellation.STOPPING
    wait_for(lambda: tasks.counted("cancelled-deaf-asked") == 1, "it to be asked", TOLD_SECONDS)
    grace = tasks.stubborn.kill_after.total_seconds()
    stack.wait_for_state(task_id, states.REVOKED, seconds=grace + TOLD_SECONDS)
    wait_for(lambda: artifacts(task_id) == [], "its artifacts to go")
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    wait_for(lambda: not any(stack.depth().values()), "the message to be acknowledged")
    assert tasks.counted("cancelled-deaf") == 1


def test_a_task_that_is_over_stays_as_it_is(stack: Stack, tasks: ModuleType) -> None:
    """SUCCESS is never taken back."""
    stack.start_worker(1)
    task_id = stack.submit("effect")
    ended = stack.wait_for_state(task_id, states.SUCCESS)
    assert cancelled(task_id) is Cancellation.OVER
    assert stack.record(task_id) == ended


def test_a_cancelled_task_whose_worker_dies_is_buried_by_the_next(
    stack: Stack, tasks: ModuleType
) -> None:
    """The caller's wish outlives the worker that should have followed it."""
    worker = stack.start_worker(1)
    task_id = stack.submit("stubborn", "cancelled-orphan", seconds=60)
    wait_for(lambda: tasks.counted("cancelled-orphan") == 1, "the task to run")
    cancelled(task_id)
    worker.kill()
    stack.start_worker(1)
    stack.wait_for_state(task_id, states.REVOKED, seconds=40)
    assert tasks.counted("cancelled-orphan") == 1


def test_a_plain_celery_task_can_be_cancelled_too(stack: Stack, tasks: ModuleType) -> None:
    """``AsyncResult.get`` says that it was revoked."""
    from celery.exceptions import TaskRevokedError

    stack.start_worker(1)
    result = tasks.sleeping.delay("cancelled-plain", 60)
    wait_for(lambda: tasks.counted("cancelled-plain") == 1, "the task to run")
    began_at = time.monotonic()
    cancelled(result.id)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=TOLD_SECONDS)
    assert time.monotonic() - began_at < timedelta(seconds=TOLD_SECONDS).total_seconds()
