"""Workers whose clocks differ, or step, run each task once and hold none for longer."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType

import pytest

from celeriac import states
from celeriac.local.standin import Fault, Standin
from celeriac.operations.cancelling import cancel
from tests.faults.stack import VISIBILITY, Stack, WorkerProcess
from tests.integration.processes import wait_for

SKEWED = Path(__file__).with_name("skewed")
#: AWS refuses the signatures of a machine whose clock is further off.
SKEW_SECONDS = 300


class Skewed:
    """A worker whose time of day is ahead by so many seconds, or behind."""

    def __init__(self, stack: Stack, file: Path, ahead: float, pool: str | None = None) -> None:
        self._file = file
        self.set(ahead)
        path = os.pathsep.join([str(SKEWED), os.environ.get("PYTHONPATH", "")])
        self.worker: WorkerProcess = stack.start_worker(
            2, pool=pool, CLOCK_AHEAD=str(file), PYTHONPATH=path
        )

    def set(self, ahead: float) -> None:
        """Set the clock, as the time service of a machine does."""
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(str(ahead))
        unfinished.replace(self._file)


@pytest.mark.parametrize("pool", [None, "threads"])
@pytest.mark.parametrize("ahead", [SKEW_SECONDS, -SKEW_SECONDS])
def test_duplicates_are_dropped_by_workers_whose_clocks_differ(
    stack: Stack, aws: Standin, tasks: ModuleType, tmp_path: Path, ahead: float, pool: str | None
) -> None:
    """A live lease looks alive by any worker's clock, so each task runs once."""
    Skewed(stack, tmp_path / "clock", ahead, pool)
    stack.start_worker(2, pool=pool)
    aws.inject(Fault("duplicate", operation=None, probability=0.5))
    name = f"skewed{ahead}{pool}"
    ids = [stack.submit("effect", name, seconds=1) for _ in range(10)]
    records = stack.wait_for_all(ids, seconds=60)
    aws.heal()
    assert tasks.counted(name) == 10
    assert {record.lost for record in records.values()} == {0}


@pytest.mark.parametrize("ahead", [SKEW_SECONDS, -SKEW_SECONDS])
def test_a_killed_worker_whose_clock_was_wrong_frees_its_task_as_soon_as_any(
    stack: Stack, tasks: ModuleType, tmp_path: Path, ahead: float
) -> None:
    """Its lease names a time of AWS's clock, so that others see it end."""
    skewed = Skewed(stack, tmp_path / "clock", ahead)
    name = f"killed{ahead}"
    task_id = stack.submit("effect", name, seconds=3)
    wait_for(lambda: tasks.counted(name) == 1, "the first execution to start")
    skewed.worker.kill()
    killed_at = time.monotonic()
    stack.start_worker(1)
    wait_for(lambda: tasks.counted(name) == 2, "the second execution to start", 40)
    assert time.monotonic() - killed_at < VISIBILITY.total_seconds() + 20
    stack.wait_for_state(task_id, states.SUCCESS)


@pytest.mark.parametrize("step", [SKEW_SECONDS, -SKEW_SECONDS])
def test_a_clock_that_steps_stops_no_renewal_and_no_cancellation(
    stack: Stack, tasks: ModuleType, tmp_path: Path, step: float
) -> None:
    """Intervals are of the monotonic clock: the task runs once, and its cancellation comes."""
    skewed = Skewed(stack, tmp_path / "clock", 0)
    name = f"stepped{step}"
    task_id = stack.submit("stubborn", name, seconds=3 * VISIBILITY.total_seconds())
    cancelled_id = stack.submit("saving", f"{name}-cancelled", seconds=60)
    wait_for(
        lambda: tasks.counted(name) == tasks.counted(f"{name}-cancelled") == 1, "both to start"
    )
    skewed.set(step)
    stack.start_worker(2)
    cancel(cancelled_id, "default")
    stack.wait_for_state(cancelled_id, states.REVOKED, seconds=15)
    record = stack.wait_for_state(task_id, states.SUCCESS, seconds=40)
    assert tasks.counted(name) == 1
    assert record.lost == 0


def test_records_name_the_time_of_aws(stack: Stack, tasks: ModuleType, tmp_path: Path) -> None:
    """What a worker writes with a wrong clock is within seconds of what others write."""
    Skewed(stack, tmp_path / "clock", SKEW_SECONDS)
    record = stack.wait_for_state(stack.submit("effect", "timed"), states.SUCCESS)
    assert record.started_at is not None
    assert record.finished_at is not None
    # A Date header names whole seconds, and a poll may wait for three.
    assert abs(record.started_at / 1000 - time.time()) < 10
    assert abs(record.finished_at / 1000 - time.time()) < 10
