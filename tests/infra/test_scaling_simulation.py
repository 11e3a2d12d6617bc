"""The scaling policies, played over idle, sparse, steady, bursting, daily and long load."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import pytest

from bench.scaling import METRIC_DELAY, MINUTE, START_SECONDS, Outcome, outcomes
from tasks.contract import Catalogue, Queue, TaskContext, task
from tests.infra.conftest import SAMPLE, Note

NUDGED = pytest.mark.parametrize("nudged", [True, False], ids=["nudged", "by the alarm alone"])


@task(queue=Queue.DEFAULT, time_limit=timedelta(hours=1))
def ponder(payload: Note, context: TaskContext) -> Note:
    """Think for up to an hour."""
    return payload


@cache
def played(*, nudged: bool) -> dict[str, Outcome]:
    return {each.name: each for each in outcomes(SAMPLE, Queue.FILES, nudged=nudged)}


@NUDGED
def test_nothing_that_must_never_happen_happens(nudged: bool) -> None:
    """No message waits with no worker on its way, and no busy worker is scaled in."""
    for each in played(nudged=nudged).values():
        assert each.violations == ()


@NUDGED
def test_every_fleet_comes_to_rest(nudged: bool) -> None:
    """When nothing is left, nobody runs: an idle queue costs nothing."""
    found = played(nudged=nudged)

    assert all(each.at_rest for each in found.values())
    assert found["idle"].worker_hours == 0


def test_the_first_task_waits_for_one_start() -> None:
    """The API's nudge saves the metric's delay."""
    assert played(nudged=True)["one message"].first_start == START_SECONDS
    assert (
        played(nudged=False)["one message"].first_start <= START_SECONDS + METRIC_DELAY + 2 * MINUTE
    )


@NUDGED
def test_a_burst_uses_the_whole_fleet_and_lets_it_go(nudged: bool) -> None:
    """100,000 one-second tasks take little more than the fleet's own time."""
    burst = played(nudged=nudged)["burst of 100k"]
    fleet = Queue.FILES.fleet
    least_hours = 100_000 / fleet.processes / 3600

    assert burst.tasks == 100_000
    assert least_hours <= burst.worker_hours <= 1.5 * least_hours


@NUDGED
def test_long_tasks_do_not_wait_for_each_other(nudged: bool) -> None:
    """Twenty tasks of forty minutes all start within ten, if their type says they are long."""
    found = {
        each.name: each for each in outcomes(Catalogue([ponder]), Queue.DEFAULT, nudged=nudged)
    }

    assert found["long tasks"].longest_wait <= 10 * MINUTE
