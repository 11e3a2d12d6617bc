"""A task may start processes, by whatever means. None of them outlives a task that is killed."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from celeriac import states
from tests.faults.stack import Stack
from tests.integration.processes import is_alive, wait_for


@pytest.mark.parametrize("pool", [None, "threads"])
def test_a_task_has_children(stack: Stack, tasks: ModuleType, pool: str | None) -> None:
    """``multiprocessing`` refuses them to a daemon, as Celery's pool marks its processes."""
    stack.start_worker(2, pool=pool)
    # Billiard forks, which no process with several threads should do.
    ways = [way for way in tasks.FAMILIES if pool is None or way != "billiard"]
    sent = {way: tasks.with_family.delay(way) for way in ways}

    records = stack.wait_for_all([each.id for each in sent.values()], 60)

    failures = {way: records[each.id].failure for way, each in sent.items()}
    assert {way: failure for way, failure in failures.items() if failure} == {}
    assert {way: each.get() for way, each in sent.items()} == dict.fromkeys(ways, 49)


def test_the_children_of_a_killed_task_are_killed(
    stack: Stack, tasks: ModuleType, tmp_path: Path
) -> None:
    """At its hard time limit: nobody would wait for them."""
    stack.start_worker(1)
    path = tmp_path / "pid"
    result = tasks.abandoning.delay(str(path))

    stack.wait_for_state(result.id, states.FAILURE)

    wait_for(lambda: not is_alive(int(path.read_text())), "the child to end")
