"""Long tasks run once, and a dead worker's tasks soon run elsewhere."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from types import ModuleType

from celeriac import states
from celeriac.local.standin import Fault, Standin
from celeriac.storage.services import services
from tests.faults.stack import VISIBILITY, Stack
from tests.integration.processes import wait_for


def test_a_task_longer_than_its_visibility_runs_once(stack: Stack, tasks: ModuleType) -> None:
    """Visibility and lease are renewed: of two workers one runs a task of three visibilities."""
    stack.start_worker(1)
    stack.start_worker(1)
    task_id = stack.submit("effect", "long", seconds=3 * VISIBILITY.total_seconds())
    record = stack.wait_for_state(task_id, states.SUCCESS, seconds=30)
    assert tasks.counted("long") == 1
    assert record.lost == 0


def test_messages_stay_hidden_while_dynamodb_does_not_answer(
    stack: Stack, aws: Standin, tasks: ModuleType
) -> None:
    """What waits for DynamoDB doesn't keep the worker from telling SQS that it is at work."""
    stack.start_worker(1)
    seconds = 3 * VISIBILITY.total_seconds()
    task_id = stack.submit("effect", "hidden", seconds=seconds)
    wait_for(lambda: tasks.counted("hidden") == 1, "the task to run")
    aws.inject(Fault("hold", service="dynamodb"))
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        assert stack.depth() == {"visible": 0, "in_flight": 1, "delayed": 0}
        time.sleep(0.25)  # between two looks
    aws.heal()
    stack.wait_for_state(task_id, states.SUCCESS, seconds=60)
    assert tasks.counted("hidden") == 1


def test_a_killed_workers_task_runs_elsewhere_within_visibility_and_half_a_minute(
    stack: Stack, tasks: ModuleType
) -> None:
    """SIGKILL in the middle of a task: another worker takes it over, once."""
    first = stack.start_worker(1)
    task_id = stack.submit("effect", "taken-over", seconds=4)
    wait_for(lambda: tasks.counted("taken-over") == 1, "the first execution to start")
    first.kill()
    killed_at = time.monotonic()
    stack.start_worker(1)
    wait_for(lambda: tasks.counted("taken-over") == 2, "the second execution to start", 40)
    assert time.monotonic() - killed_at < (VISIBILITY + timedelta(seconds=30)).total_seconds()
    record = stack.wait_for_state(task_id, states.SUCCESS)
    assert tasks.counted("taken-over") == 2
    assert record.lost == 1


def test_a_frozen_worker_cannot_overwrite_what_its_successor_did(
    stack: Stack, tasks: ModuleType
) -> None:
    """A worker that was stopped for longer than its lease and wakes up changes nothing."""
    frozen = stack.start_worker(1)
    task_id = stack.submit("effect", "frozen", seconds=2)
    wait_for(lambda: tasks.counted("frozen") == 1, "the first execution to start")
    for pid in (frozen.pid, *frozen.children):
        os.kill(pid, signal.SIGSTOP)
    try:
        stack.start_worker(1)
        ended = stack.wait_for_state(task_id, states.SUCCESS, seconds=40)
    finally:
        for pid in (*frozen.children, frozen.pid):
            os.kill(pid, signal.SIGCONT)
    other = stack.submit("effect", "after-the-frost")
    stack.wait_for_state(other, states.SUCCESS)
    wait_for(lambda: "no longer holds" in frozen.log, "the woken worker to find its lease lost")
    assert stack.record(task_id) == ended


def test_a_child_that_dies_alone_has_its_task_run_again_at_once(
    stack: Stack, tasks: ModuleType
) -> None:
    """The main process knows of its child's death and waits for no time-out."""
    worker = stack.start_worker(1)
    task_id = stack.submit("effect", "orphan", seconds=3)
    wait_for(lambda: tasks.counted("orphan") == 1, "the first execution to start")
    os.kill(worker.children[0], signal.SIGKILL)
    stack.wait_for_state(task_id, states.SUCCESS, seconds=VISIBILITY.total_seconds() + 5)
    assert tasks.counted("orphan") == 2


def test_duplicated_deliveries_run_once_each(stack: Stack, aws: Standin, tasks: ModuleType) -> None:
    """When every message comes twice, every task still runs once."""
    aws.inject(Fault("duplicate", operation=None, probability=0.5))
    stack.start_worker(2)
    stack.start_worker(2)
    ids = [stack.submit("effect", "doubled", seconds=0.2) for _ in range(30)]
    stack.wait_for_all(ids, seconds=40)
    aws.heal()
    assert aws.stats()["duplicates"] > 0
    assert tasks.counted("doubled") == 30
    wait_for(lambda: not any(stack.depth().values()), "every duplicate to be dropped", 40)
    assert services().records.get(ids[0]) is not None
