"""The scaling policies: what they come to, and that the template has just those."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scaling.autoscaling import SteppedPolicy
from bench.scaling.expressions import evaluate
from celeriac.cdk import Mail, most_workers
from celeriac.cdk.scaling import GROW, MOST_STEPS, PERIOD, Scaling, StepPolicy, scaling, sizes_below
from celeriac.contract import Fleet, Queue, catalogue
from tasks.queues import FILES
from tests.infra.conftest import SAMPLE, Synthesized

QUEUES = catalogue().queues


POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"


def policy(dev: Synthesized, queue: Queue, kind: str) -> dict[str, Any]:
    return dev.one("workers", POLICY, PolicyName=f"celeriac-dev-{queue.name}-{kind}")


def alarm(dev: Synthesized, queue: Queue, kind: str) -> dict[str, Any]:
    return dev.one(
        "workers", "AWS::CloudWatch::Alarm", AlarmName=f"celeriac-dev-{queue.name}-{kind}"
    )


def expressions(queries: list[dict[str, Any]]) -> list[str]:
    return [each["Expression"] for each in queries if "Expression" in each]


def plan_of(dev: Synthesized, queue: Queue) -> Scaling:
    environment = dev.environment
    return scaling(queue, SAMPLE, oldest_age=environment.oldest_age, idle=environment.idle)


def fleet_of(most: int, processes: int = 4) -> Scaling:
    return Scaling(
        max_workers=most,
        processes=processes,
        backlog_per_worker=10,
        fit_window=timedelta(minutes=5),
        sizes=sizes_below(most),
    )


def watched(plan: StepPolicy, **points: float | None) -> float | None:
    """What a policy's alarm sees where the counts are these."""
    # Nothing waits in the high lane unless it is said.
    high: dict[str, float | None] = {name: 0.0 for name in plan.counts if name.startswith("high_")}
    known: dict[str, float | None] = {**dict.fromkeys(plan.counts), **high, **points}
    for name, expression in plan.expressions.items():
        known[name] = evaluate(expression, known)
    return known[name]


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_a_fleet_is_between_nothing_and_its_most(dev: Synthesized, queue: Queue) -> None:
    """Each service may have 0 to ``max_workers`` workers."""
    target = dev.one(
        "workers",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ResourceId=f"service/celeriac-dev/{queue.name}",
    )

    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, queue.fleet.max_workers)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
@pytest.mark.parametrize("kind", ["wake", "fit"])
def test_the_template_has_what_is_played(dev: Synthesized, queue: Queue, kind: str) -> None:
    """Alarm and policy are made of the very plan that the simulation carries out."""
    plan: StepPolicy = getattr(plan_of(dev, queue), kind)
    found = alarm(dev, queue, kind)
    configuration = policy(dev, queue, kind)["StepScalingPolicyConfiguration"]
    bounds = ("MetricIntervalLowerBound", "MetricIntervalUpperBound", "ScalingAdjustment")

    assert sorted(expressions(found["Metrics"])) == sorted(plan.expressions.values())
    (returned,) = (each for each in found["Metrics"] if each["ReturnData"])
    assert returned["Expression"] == list(plan.expressions.values())[-1]
    assert {each["MetricStat"]["Period"] for each in found["Metrics"] if "MetricStat" in each} == {
        plan.window.total_seconds()
    }
    assert (found["Threshold"], found["EvaluationPeriods"]) == (plan.threshold, plan.windows)
    assert found["ComparisonOperator"] == (
        "LessThanThreshold" if plan.below else "GreaterThanOrEqualToThreshold"
    )
    assert found["TreatMissingData"] == "notBreaching"
    assert len(found["AlarmActions"]) == 1
    assert configuration["AdjustmentType"] == plan.adjustment
    assert configuration["Cooldown"] == plan.cooldown.total_seconds()
    assert [
        tuple(step.get(name) for name in bounds) for step in configuration["StepAdjustments"]
    ] == [(step.lower, step.upper, step.adjustment) for step in plan.steps]


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_each_name_in_an_expression_is_the_metric_it_says(dev: Synthesized, queue: Queue) -> None:
    """Visible, in flight and delayed are SQS's counts, and running the number of CPU samples."""
    wanted = {
        "visible": ("ApproximateNumberOfMessagesVisible", "Maximum"),
        "in_flight": ("ApproximateNumberOfMessagesNotVisible", "Maximum"),
        "delayed": ("ApproximateNumberOfMessagesDelayed", "Maximum"),
        "running": ("CPUUtilization", "SampleCount"),
    }
    wanted |= {f"high_{name}": wanted[name] for name in ("visible", "in_flight", "delayed")}
    tracking = policy(dev, queue, "grow")["TargetTrackingScalingPolicyConfiguration"]
    queries = [
        *alarm(dev, queue, "wake")["Metrics"],
        *alarm(dev, queue, "fit")["Metrics"],
        *tracking["CustomizedMetricSpecification"]["Metrics"],
    ]
    read = [each for each in queries if "MetricStat" in each]
    found = {
        (each["Id"], each["MetricStat"]["Metric"]["MetricName"], each["MetricStat"]["Stat"])
        for each in read
    }
    high = {each["Id"] for each in read if "High" in str(each["MetricStat"]["Metric"])}

    assert found == {(name, *metric) for name, metric in wanted.items()}
    assert high == {name for name in wanted if name.startswith("high_")}


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_a_backlog_grows_the_fleet_and_never_shrinks_it(dev: Synthesized, queue: Queue) -> None:
    """Growth tracks the messages waiting for each running worker, at the computed target."""
    tracking = policy(dev, queue, "grow")["TargetTrackingScalingPolicyConfiguration"]

    assert tracking["TargetValue"] == plan_of(dev, queue).backlog_per_worker
    assert tracking["DisableScaleIn"] is True
    assert expressions(tracking["CustomizedMetricSpecification"]["Metrics"]) == [GROW]


def test_growth_waits_for_a_count_that_is_late() -> None:
    """Without a count of workers, or of either lane, there is no backlog, and not one of nought.

    A lane that SQS publishes nothing of holds nothing.
    """
    assert evaluate(GROW, {"visible": 100.0, "high_visible": 0, "running": None}) is None
    assert evaluate(GROW, {"visible": None, "high_visible": None, "running": 4.0}) is None
    assert evaluate(GROW, {"visible": 60.0, "high_visible": 40.0, "running": 4.0}) == 25
    assert evaluate(GROW, {"visible": None, "high_visible": 40.0, "running": 4.0}) == 10
    assert evaluate(GROW, {"visible": 40.0, "high_visible": None, "running": 4.0}) == 10


def test_the_first_message_wakes_a_worker() -> None:
    """Without workers any message is too much; running workers may have their share waiting."""
    wake = fleet_of(10).wake

    assert watched(wake, visible=1, running=None) == 1
    assert watched(wake, visible=0, running=None) == 0
    assert watched(wake, visible=10, running=1) == 0
    assert watched(wake, visible=None, running=None) == 0
    assert watched(wake, visible=None, high_visible=None, running=None) is None
    assert watched(wake, visible=None, high_visible=1, running=None) == 1
    assert watched(wake, visible=1, high_visible=None, running=None) == 1


def test_waking_cannot_shrink_a_fleet(dev: Synthesized) -> None:
    """It adds to what there is, so that a count which is late costs one worker, and no fleet."""
    for queue in QUEUES:
        wake = plan_of(dev, queue).wake
        assert wake.adjustment == "ChangeInCapacity"
        assert [step.adjustment for step in wake.steps] == [1]


def test_workers_leave_only_after_all_of_the_idle_time(dev: Synthesized) -> None:
    """Fit's windows together are ``idle``."""
    for queue in QUEUES:
        fit = plan_of(dev, queue).fit
        assert fit.window * fit.windows == dev.environment.idle


@given(most=st.integers(1, 5000))
def test_any_fleet_fits_the_steps_that_aws_allows(most: int) -> None:
    """At most 20 sizes, from none to fewer than the most; the small ones are all there."""
    sizes = sizes_below(most)

    assert len(sizes) <= MOST_STEPS
    assert list(sizes) == sorted(set(sizes))
    assert sizes[:10] == tuple(range(min(most, 10)))
    assert sizes[-1] < most


@given(
    most=st.integers(1, 5000),
    processes=st.integers(1, 16),
    running=st.integers(0, 5000),
    visible=st.integers(0, 100_000),
    in_flight=st.integers(0, 100_000),
    delayed=st.integers(0, 10),
)
def test_fit_takes_away_and_leaves_enough(
    most: int, processes: int, running: int, visible: int, in_flight: int, delayed: int
) -> None:
    """It acts only where its one step is fewer workers than run, and as many as the work fills."""
    fit = fleet_of(most, processes).fit
    running = min(running, most)

    value = watched(
        fit, visible=visible, in_flight=in_flight, delayed=delayed, running=running * 5 or None
    )

    assert value is not None
    if value < fit.threshold:
        size = SteppedPolicy(fit).step(value).adjustment
        assert size < running
        assert size * processes >= visible + in_flight
        assert size >= min(1, visible + in_flight + delayed)


@given(most=st.integers(2, 5000), share=st.floats(0, 1))
def test_a_fleet_with_little_to_do_keeps_one_worker(most: int, share: float) -> None:
    """Of any number that runs, one stays for one message, in flight or only delayed."""
    running = 2 + int(share * (most - 2))
    for counts in ({"visible": 0.0, "in_flight": 1.0, "delayed": 0.0}, {"delayed": 1.0}):
        known = {"visible": 0.0, "in_flight": 0.0, **counts}
        fit = fleet_of(most).fit
        value = watched(fit, running=running * 5, **known)
        assert value is not None
        assert SteppedPolicy(fit).step(value).adjustment == 1


@pytest.mark.parametrize(
    "late",
    [
        ("running",),
        ("visible", "in_flight", "delayed"),
        ("high_visible", "high_in_flight", "high_delayed"),
    ],
)
def test_fit_removes_no_worker_on_late_counts(late: tuple[str, ...]) -> None:
    """Whichever counts of a whole window are missing, the alarm is quiet."""
    fit = fleet_of(10).fit
    idle: dict[str, float | None] = {"visible": 0, "in_flight": 0, "delayed": 0, "running": 50}

    assert watched(fit, **idle) == 0
    assert watched(fit, **{**idle, **dict.fromkeys(late)}) == fit.threshold


def test_long_tasks_get_a_smaller_backlog_each_worker() -> None:
    """Two minutes of ``shrink`` leave room for 2.5 tasks a process within five minutes."""
    plan = scaling(FILES, SAMPLE, oldest_age=timedelta(minutes=5), idle=timedelta(minutes=10))

    assert plan.backlog_per_worker == FILES.fleet.processes * 2.5


@given(
    st.data(),
    st.integers(min_value=1, max_value=60),
    st.integers(min_value=0, max_value=500),
    st.integers(min_value=0, max_value=500),
)
def test_a_fleet_that_keeps_warm_is_never_fitted_below_its_least(
    data: st.DataObject, most: int, visible: int, in_flight: int
) -> None:
    """Whatever the work and the number of workers; without work it rests at just that size."""
    least = data.draw(st.integers(min_value=1, max_value=most))
    running = data.draw(st.integers(min_value=1, max_value=most))
    plan = replace(fleet_of(most), min_workers=least)
    samples = running * int(plan.fit_window / PERIOD)

    fitted = watched(plan.fit, visible=visible, in_flight=in_flight, delayed=0, running=samples)
    assert fitted is not None
    assert fitted >= least
    assert fitted == most or fitted < running

    quiet = watched(plan.fit, visible=0, in_flight=0, delayed=0, running=samples)
    exact = min(size for size in (*plan.sizes, most) if size >= least)
    assert quiet == (exact if exact < running else most)


def test_ses_takes_no_worker_away_that_is_to_be_kept_warm() -> None:
    """Its rate lowers how many there may be, and never how many there are to be at least."""
    queue = Queue("email", fleet=Fleet(min_workers=3, max_workers=8))
    mail = Mail(sender="tasks@celeriac.dev", per_second=1)
    assert most_workers(queue, catalogue(), mail) == 3
