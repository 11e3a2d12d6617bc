"""Limits hold, whatever dies and fails, and what they refuse runs later."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

from celeriac import states
from celeriac.operations.submission import submit
from tests.faults.limited import evidence, most_at_once, most_within
from tests.faults.stack import Stack


def submit_all(stack: Stack, type_name: str, count: int, **payload: object) -> list[str]:
    return [
        submit(type_name, {"name": f"{number}", **payload}, app=stack.caller).record.task_id
        for number in range(count)
    ]


def start_workers(stack: Stack) -> None:
    for _ in range(2):
        stack.start_worker(4, wait=False)


def test_a_freed_slot_is_used_soon(
    stack: Stack, tasks: ModuleType, record_property: Callable[[str, object], None]
) -> None:
    """200 tasks of 100 ms, five at once: 4 s of work for five."""
    start_workers(stack)
    began = time.monotonic()
    submitted = submit_all(stack, "five-at-once", 200, series="soon", seconds=0.1)

    records = stack.wait_for_all(submitted, 90)

    took = time.monotonic() - began
    record_property("seconds", took)
    print("TOOK", took)
    assert {each.state for each in records.values()} == {states.SUCCESS}
    runs = evidence("soon")
    assert len(runs) == 200
    assert most_at_once(runs, {}) <= 5


def test_a_rate_holds_in_every_window(
    stack: Stack, tasks: ModuleType, record_property: Callable[[str, object], None]
) -> None:
    """One start, and ten in each second after it; with a small room for how long starting takes."""
    start_workers(stack)
    submitted = submit_all(stack, "ten-a-second", 100, series="paced")

    began = time.monotonic()
    stack.wait_for_all(submitted, 90)

    print("TOOK", time.monotonic() - began)
    runs = evidence("paced")
    print("most in 1 s", most_within(runs, 1), "in 2s", most_within(runs, 2))
    assert len(runs) == 100
