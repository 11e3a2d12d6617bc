"""The scaling policies, simulated over synthetic and recorded load, with late metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from bench.scaling.__main__ import LAGS
from bench.scaling.cloudwatch import USUAL, Lag
from bench.scaling.fleet import START_SECONDS, STEP, Seldom
from bench.scaling.loads import HOUR, LOADS, MINUTE, Load, departures
from bench.scaling.simulation import (
    GROWN,
    KILLED,
    LEFT_ALONE,
    SHRUNK,
    Outcome,
    outcomes,
    plan_of,
    play,
)
from celeriac.cdk.scaling import WAKE_MINUTES, Scaling, StepPolicy
from celeriac.contract import Catalogue, TaskContext, task
from celeriac.worker.protection import RENEWAL, REST
from tasks.queues import DEFAULT, FILES
from tests.infra.conftest import SAMPLE, Note

NUDGED = pytest.mark.parametrize("nudged", [True, False], ids=["nudged", "by the alarm alone"])
LATE = pytest.mark.parametrize(
    "lag", [*LAGS, Lag(forgotten=True)], ids=lambda lag: f"sqs{lag.sqs}ecs{lag.ecs}{lag.forgotten}"
)
LONG = [each for each in LOADS if each.name.startswith("long tasks")]


@task(queue=DEFAULT, time_limit=timedelta(hours=1))
def ponder(payload: Note, context: TaskContext) -> Note:
    """Think for up to an hour."""
    return payload


PONDER = Catalogue([ponder])


@cache
def played(*, nudged: bool, lag: Lag = USUAL, lenient: bool = False) -> dict[str, Outcome]:
    found = outcomes(SAMPLE, FILES, nudged=nudged, lag=lag, lenient=lenient)
    return {each.name: each for each in found}


@NUDGED
@LATE
def test_nothing_that_must_never_happen_happens(nudged: bool, lag: Lag) -> None:
    """No message waits with no worker on its way, and no busy worker is scaled in.

    Every fleet comes to rest, however late either service's counts are: an idle queue costs
    nothing.
    """
    for each in played(nudged=nudged, lag=lag).values():
        assert (each.name, each.violations, each.at_rest) == (each.name, (), True)


def test_it_does_not_matter_whether_ecs_renews_a_protection_that_is_in_its_way() -> None:
    """AWS documents that it refuses new protection, and not whether it refuses a renewal."""
    for each in played(nudged=True, lenient=True).values():
        assert (each.name, each.violations, each.at_rest) == (each.name, (), True)


def test_evening_out_the_zones_starts_workers_for_nothing() -> None:
    """So it is switched off. It would break no rule: ECS is assumed to spare protected workers."""
    plan, still = plan_of(FILES, SAMPLE), played(nudged=True)
    moving = {each.name: play(FILES, plan, each, rebalances=True) for each in LOADS}

    for name, each in moving.items():
        assert (name, each.violations, each.at_rest) == (name, (), True)
        assert each.longest_wait >= still[name].longest_wait
        assert each.worker_hours >= still[name].worker_hours
        assert each.started >= still[name].started
    assert moving["recorded day"].started >= 1.05 * still["recorded day"].started


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_a_fleet_shrinks_though_each_worker_has_some_work(lenient: bool) -> None:
    """SQS spreads messages over every poller: after a burst, each of many gets a few at times.

    A fleet of twenty takes no more than four times what the tasks themselves do.
    """
    found = played(nudged=True, lenient=lenient)["20k, then 2/s"]

    assert found.worker_hours <= 4 * found.tasks / FILES.fleet.processes / HOUR


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
@pytest.mark.parametrize(
    "load",
    [
        Load(name="short", arrivals=lambda _: 19 * STEP, lasts=3 * HOUR, run_seconds=1),
        Load(
            name="long",
            arrivals=lambda now: 2 * (now % MINUTE == 0),
            lasts=3 * HOUR,
            run_seconds=10 * MINUTE,
        ),
        Load(
            name="both",
            arrivals=lambda _: 2 * STEP,
            lasts=3 * HOUR,
            run_seconds=1,
            seldom=Seldom(every=500, seconds=30 * MINUTE),
        ),
    ],
    ids=lambda load: load.name,
)
def test_a_deployment_ends_while_all_workers_are_busy(load: Load, lenient: bool) -> None:
    """Old workers leave as new ones start, and none is stopped in a task that outlasts a drain.

    CloudFormation waits for three hours.
    """
    plan = plan_of(DEFAULT, SAMPLE)

    undisturbed = play(DEFAULT, plan, load, lenient=lenient)
    found = play(DEFAULT, plan, load, lenient=lenient, deploy_at=HOUR)

    longest = load.seldom.seconds if load.seldom else load.run_seconds
    assert found.violations == ()
    assert found.deployment is not None
    assert found.deployment <= START_SECONDS + (RENEWAL + REST).total_seconds() + longest
    # The new ones work, though they aren't protected while the old ones are.
    assert found.longest_wait <= undisturbed.longest_wait + START_SECONDS


@NUDGED
@LATE
def test_late_counts_stop_no_growth(nudged: bool, lag: Lag) -> None:
    """100,000 one-second tasks take little more than the whole fleet's own time."""
    burst = played(nudged=nudged, lag=lag)["burst of 100k"]
    fleet = FILES.fleet
    least = 100_000 / fleet.processes
    # Until the fleet is whole: SQS's silence, the alarm, the start, growing twice.
    begun = burst.first_start + (15 * MINUTE if lag.forgotten else 0)

    assert burst.tasks == 100_000
    assert burst.took <= least / fleet.max_workers + begun + 10 * MINUTE
    assert least <= burst.worker_hours * HOUR <= 1.5 * least


def test_an_idle_queue_costs_nothing() -> None:
    """Nobody is started for nothing."""
    assert played(nudged=True)["idle"].worker_hours == 0
    assert played(nudged=False)["idle"].worker_hours == 0


def test_the_first_task_waits_for_one_start() -> None:
    """The API's nudge saves what the metric and its alarm take."""
    alone = played(nudged=False)["one message"].first_start

    assert played(nudged=True)["one message"].first_start == START_SECONDS
    assert START_SECONDS < alone <= START_SECONDS + (2 + WAKE_MINUTES) * MINUTE


def test_a_delayed_task_starts_when_it_is_due() -> None:
    """A task that SQS keeps for ten minutes finds its worker running."""
    assert played(nudged=True)["due in ten minutes"].longest_wait == 0


def test_a_queue_that_was_forgotten_waits_for_sqs_to_count_again() -> None:
    """After hours of idling the alarm alone takes a quarter of an hour; the API's nudge doesn't."""
    lag = Lag(forgotten=True)

    assert played(nudged=True, lag=lag)["one message"].first_start == START_SECONDS
    assert played(nudged=False, lag=lag)["one message"].first_start >= 15 * MINUTE


@NUDGED
@LATE
def test_a_recorded_day_meets_its_objective(nudged: bool, lag: Lag) -> None:
    """In a real day's bunches and pauses no task waits for long once workers are awake."""
    day = played(nudged=nudged, lag=lag)["recorded day"]

    assert len(departures()) == 24 * 60
    assert day.tasks == 30 * sum(departures()) == 30_030
    assert day.longest_wait <= day.first_start + 5 * MINUTE


@NUDGED
def test_long_tasks_do_not_wait_for_each_other(nudged: bool) -> None:
    """Twenty tasks of forty minutes all start within ten, if their type says they are long."""
    found = {each.name: each for each in outcomes(PONDER, nudged=nudged, loads=LONG)}

    assert found["long tasks"].longest_wait <= 10 * MINUTE


@pytest.mark.parametrize("load", LONG, ids=lambda each: each.name)
def test_protection_is_what_keeps_busy_workers(load: Load) -> None:
    """ECS may choose any worker that isn't protected: without protection it chooses busy ones."""
    plan = plan_of(DEFAULT, PONDER)

    assert KILLED not in play(DEFAULT, plan, load).violations
    assert KILLED in play(DEFAULT, plan, load, protected=False).violations


class Deaf(Scaling):
    """A fleet that nothing wakes."""

    @property
    def wake(self) -> StepPolicy:
        return replace(super().wake, threshold=2)


def test_a_message_that_is_left_alone_is_found_out() -> None:
    """Where neither policy nor API wakes a fleet, the simulation says so."""
    plan = Deaf(**vars(plan_of(FILES, SAMPLE)))
    (one,) = (each for each in LOADS if each.name == "one message")

    assert play(FILES, plan, one, nudged=False).violations == (LEFT_ALONE,)
    assert play(FILES, plan, one, nudged=True).violations == ()


@NUDGED
def test_a_count_that_stays_away_shrinks_no_fleet(nudged: bool) -> None:
    """With ECS's counts an hour late, the fleet grows by one worker at a time, and works on."""
    (burst,) = (each for each in LOADS if each.name.startswith("burst"))
    plan = plan_of(FILES, SAMPLE)

    found = play(FILES, plan, burst, nudged=nudged, lag=Lag(ecs=60))

    assert not {SHRUNK, GROWN, KILLED} & set(found.violations)
    assert found.tasks == 100_000
    assert found.took < 2 * HOUR
