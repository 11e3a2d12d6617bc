"""SIGTERM: nothing is lost, nothing runs twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import ModuleType

import pytest

from celeriac import states
from celeriac.local.standin import Standin
from tests.faults.stack import Stack, WorkerProcess
from tests.integration.processes import wait_for


def to_the_main_process(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGTERM)


def to_the_process_group(worker: WorkerProcess) -> None:
    os.killpg(worker.pid, signal.SIGTERM)


@pytest.mark.parametrize("terminate", [to_the_main_process, to_the_process_group])
def test_a_worker_told_to_stop_ends_what_runs_and_hands_back_the_rest(
    stack: Stack, tasks: ModuleType, terminate: Callable[[WorkerProcess], None]
) -> None:
    """Running tasks end here; prefetched and arriving messages are visible again at once."""
    name = terminate.__name__
    worker = stack.start_worker(2)
    running = [stack.submit("effect", f"{name}-running", seconds=4) for _ in range(2)]
    wait_for(lambda: tasks.counted(f"{name}-running") == 2, "both tasks to run")
    waiting = [stack.submit("effect", f"{name}-waiting") for _ in range(5)]
    terminate(worker)
    arriving = [stack.submit("effect", f"{name}-waiting") for _ in range(5)]
    assert worker.wait() == 0
    for task_id in running:
        assert stack.record(task_id).state == states.SUCCESS
    assert tasks.counted(f"{name}-running") == 2
    # Nothing is hidden by a worker that is gone: a new one needn't wait for it.
    assert stack.depth() == {"visible": 10, "in_flight": 0, "delayed": 0}
    stack.start_worker(2)
    stack.wait_for_all([*waiting, *arriving], seconds=10)
    assert tasks.counted(f"{name}-waiting") == 10


def test_short_tasks_in_full_flow_all_run_once_over_a_restart(
    stack: Stack, tasks: ModuleType
) -> None:
    """Messages that were prefetched when the signal came are not lost with it."""
    ids = [stack.submit("effect", "flow", seconds=0.02) for _ in range(150)]
    first = stack.start_worker(2)
    wait_for(lambda: tasks.counted("flow") >= 20, "the tasks to flow")
    first.stop()
    assert first.wait() == 0
    assert stack.depth()["in_flight"] == 0
    stack.start_worker(2)
    records = stack.wait_for_all(ids, seconds=30)
    assert {each.state for each in records.values()} == {states.SUCCESS}
    assert tasks.counted("flow") == 150


def test_a_task_whose_process_has_not_begun_when_the_worker_is_told_to_stop_is_not_lost(
    stack: Stack, tasks: ModuleType
) -> None:
    """A process that is slow to begin is waited for, and what came of its task is stored."""
    worker = stack.start_worker(1)
    (process,) = worker.children
    os.kill(process, signal.SIGSTOP)
    task_id = stack.submit("effect", "slow-to-begin")
    # It has been claimed ahead, and lies in the pipe of the process.
    stack.wait_for_state(task_id, states.STARTED)
    worker.stop()
    wait_for(lambda: "Warm shutdown" in worker.log, "the worker to hear of it")
    os.kill(process, signal.SIGCONT)
    assert worker.wait(10) == 0
    assert stack.record(task_id).state == states.SUCCESS
    assert tasks.counted("slow-to-begin") == 1
    assert stack.depth() == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_what_outlasts_the_drain_window_is_handed_back_claimable(
    stack: Stack, tasks: ModuleType
) -> None:
    """A task that is not done in time is killed, and another worker begins with it at once."""
    worker = stack.start_worker(1, CELERIAC_DRAIN_WINDOW="PT2S")
    task_id = stack.submit("effect", "outlasting", seconds=6)
    wait_for(lambda: tasks.counted("outlasting") == 1, "the task to run")
    worker.stop()
    worker.wait(10)
    assert stack.depth() == {"visible": 1, "in_flight": 0, "delayed": 0}
    stack.start_worker(1)
    wait_for(lambda: tasks.counted("outlasting") == 2, "the task to begin again", 4)
    record = stack.wait_for_state(task_id, states.SUCCESS)
    # To stop is no fault of the task's.
    assert record.lost == 0


def test_a_drained_worker_keeps_renewing_what_still_runs(
    stack: Stack, aws: Standin, tasks: ModuleType
) -> None:
    """A drain longer than the visibility doesn't let another worker begin with the task."""
    worker = stack.start_worker(1)
    task_id = stack.submit("effect", "drained-long", seconds=12)
    wait_for(lambda: tasks.counted("drained-long") == 1, "the task to run")
    worker.stop()
    stack.start_worker(1)
    assert worker.wait() == 0
    assert stack.record(task_id).state == states.SUCCESS
    assert tasks.counted("drained-long") == 1
