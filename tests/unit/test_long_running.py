from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from celeriac.contract import Cancelled
from celeriac.testing.context import FakeContext
from tasks.long_running import LONGEST_RUN, TIME_LIMIT, LongRunning, long_running
from tasks.queues import DEFAULT


def run(tmp_path: Path, **payload: Any) -> tuple[Any, FakeContext]:
    context = FakeContext(workdir=tmp_path)
    return long_running(LongRunning(step_seconds=0, **payload), context), context


def test_every_item_is_processed_once_in_order(tmp_path: Path) -> None:
    """However items and steps divide, each item has its result, in the items' order."""
    for total_steps, count in [(10, 3), (3, 10), (1, 5), (7, 7), (4, 0)]:
        items = [f"item {number}" for number in range(count)]

        result, _ = run(tmp_path, total_steps=total_steps, items=items)

        assert [each.index for each in result.items] == list(range(count))
        assert [each.normalised for each in result.items] == items
        assert result.steps == total_steps


def test_items_that_only_look_different_are_duplicates(tmp_path: Path) -> None:
    """Text is compared in its canonical form, and other JSON with its keys sorted."""
    result, _ = run(
        tmp_path,
        total_steps=2,
        items=[
            "café  au lait",
            "cafe\u0301 au\tlait ",
            {"a": 1, "b": 2},
            {"b": 2, "a": 1},
            "other",
        ],
    )

    assert [each.duplicate_of for each in result.items] == [None, 0, None, 2, None]
    assert (result.distinct, result.duplicates) == (3, 2)
    assert result.items[1].sha256 == hashlib.sha256("café au lait".encode()).hexdigest()
    assert result.items[3].normalised == '{"a":1,"b":2}'


def test_the_fields_may_stand_under_data(tmp_path: Path) -> None:
    """The tutorial's payload runs with what it asks for, not with defaults."""
    payload = LongRunning.model_validate(
        {"data": {"total_steps": 2, "step_seconds": 0, "items": ["a"]}}
    )

    result = long_running(payload, FakeContext(workdir=tmp_path))

    assert (result.steps, [each.normalised for each in result.items]) == (2, ["a"])


def test_each_step_reports_progress(tmp_path: Path) -> None:
    """The caller sees the start, then every step with what was done in it."""
    _, context = run(tmp_path, total_steps=3, items=list("abcd"))

    assert context.steps == [
        (0, 3, "4 items in 3 steps"),
        (1, 3, "Step 1 of 3: 1 items processed"),
        (2, 3, "Step 2 of 3: 1 items processed"),
        (3, 3, "Step 3 of 3: 2 items processed"),
    ]


def test_a_step_lasts_as_long_as_asked(tmp_path: Path) -> None:
    """The waits are real: two steps of 0.15 s take 0.3 s at least."""
    payload = LongRunning(total_steps=2, step_seconds=0.15)

    result = long_running(payload, FakeContext(workdir=tmp_path))

    assert result.seconds >= 0.3


def test_cancelling_ends_a_long_wait_soon(tmp_path: Path) -> None:
    """A task in the midst of a ten-minute step ends within seconds once it is cancelled."""
    context = FakeContext(workdir=tmp_path)
    threading.Timer(0.2, setattr, (context, "cancelled", True)).start()
    started = time.monotonic()

    with pytest.raises(Cancelled):
        long_running(LongRunning(total_steps=2, step_seconds=600), context)

    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "payload",
    [
        {"total_steps": 0},
        {"total_steps": 1_001},
        {"step_seconds": -1},
        {"step_seconds": float("nan")},
        {"step_seconds": float("inf")},
        {"step_seconds": 601},
        {"items": ["x"] * 10_001},
        {"items": ["\ud800"]},
        {"items": [{"\udfff": 1}]},
        {"total_steps": 1_000, "step_seconds": 600},
    ],
)
def test_a_payload_beyond_its_limits_is_refused(payload: dict[str, Any]) -> None:
    """Limits hold for each field, and for the time that steps take together."""
    with pytest.raises(ValidationError):
        LongRunning(**payload)


def test_the_longest_run_fits_into_the_time_limit() -> None:
    """A payload that validation accepts can end before its time limit does."""
    longest = LongRunning(total_steps=6, step_seconds=600)

    assert longest.total_steps * longest.step_seconds == LONGEST_RUN.total_seconds()
    assert long_running.time_limit == TIME_LIMIT > LONGEST_RUN
    assert (long_running.name, long_running.queue) == ("long-running", DEFAULT)
