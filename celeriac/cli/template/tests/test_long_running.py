"""A task is a function: a test calls it with a payload and a context that keeps what it did."""

from pathlib import Path

import pytest
from celeriac import Cancelled
from celeriac.testing import FakeContext
from tasks.long_running import LongRunning, long_running


def test_every_item_is_processed(tmp_path: Path) -> None:
    """Each item has its result, and each step reports progress."""
    context = FakeContext(workdir=tmp_path)

    result = long_running(
        LongRunning(items=["a", "b", "a"], total_steps=2, step_seconds=0), context
    )

    assert [item.duplicate_of for item in result.items] == [None, None, 0]
    assert [step[:2] for step in context.steps] == [(0, 2), (1, 2), (2, 2)]


def test_a_cancelled_task_stops(tmp_path: Path) -> None:
    """The next progress report of a cancelled task raises Cancelled."""
    context = FakeContext(workdir=tmp_path, cancelled=True)

    with pytest.raises(Cancelled):
        long_running(LongRunning(items=["a"], step_seconds=0), context)
