"""The numbers of the scaling policies, and that the template has just those."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cdk.scaling import GROW, MOST_STEPS, WAKE, scaling, sizes_up_to
from tasks.contract import Queue
from tests.infra.conftest import SAMPLE, Synthesized

POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"


def policy(dev: Synthesized, queue: Queue, kind: str) -> dict[str, Any]:
    return dev.one("workers", POLICY, PolicyName=f"celeriac-dev-{queue.queue_name}-{kind}")


def alarm(dev: Synthesized, queue: Queue, kind: str) -> dict[str, Any]:
    return dev.one(
        "workers", "AWS::CloudWatch::Alarm", AlarmName=f"celeriac-dev-{queue.queue_name}-{kind}"
    )


def expression(queries: list[dict[str, Any]]) -> str:
    return next(each["Expression"] for each in queries if "Expression" in each)


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_a_fleet_is_between_nothing_and_its_most(dev: Synthesized, queue: Queue) -> None:
    """Each service may have 0 to ``max_workers`` workers."""
    target = dev.one(
        "workers",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ResourceId=f"service/celeriac-dev/{queue.queue_name}",
    )

    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, queue.fleet.max_workers)


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_the_first_message_wakes_one_worker(dev: Synthesized, queue: Queue) -> None:
    """One visible message with nobody running asks for exactly one worker, within a minute."""
    wake, step = alarm(dev, queue, "wake"), policy(dev, queue, "wake")
    configuration = step["StepScalingPolicyConfiguration"]

    assert expression(wake["Metrics"]) == WAKE
    assert (wake["Threshold"], wake["EvaluationPeriods"]) == (1, 1)
    assert configuration["AdjustmentType"] == "ExactCapacity"
    assert configuration["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
    ]
    assert len(wake["AlarmActions"]) == 1


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_a_backlog_grows_the_fleet_and_never_shrinks_it(dev: Synthesized, queue: Queue) -> None:
    """Growth tracks the messages waiting for each running worker, at the computed target."""
    plan = scaling(queue, SAMPLE, oldest_age=dev.environment.oldest_age, idle=dev.environment.idle)
    tracking = policy(dev, queue, "grow")["TargetTrackingScalingPolicyConfiguration"]

    assert tracking["TargetValue"] == plan.backlog_per_worker
    assert tracking["DisableScaleIn"] is True
    assert expression(tracking["CustomizedMetricSpecification"]["Metrics"]) == GROW


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_workers_leave_only_when_what_is_left_fits_fewer(dev: Synthesized, queue: Queue) -> None:
    """Fit counts what is visible, in flight and delayed, over all of the idle time."""
    plan = scaling(queue, SAMPLE, oldest_age=dev.environment.oldest_age, idle=dev.environment.idle)
    fit = alarm(dev, queue, "fit")
    steps = policy(dev, queue, "fit")["StepScalingPolicyConfiguration"]["StepAdjustments"]
    names = {
        each["MetricStat"]["Metric"]["MetricName"]
        for each in fit["Metrics"]
        if "MetricStat" in each
    }

    assert expression(fit["Metrics"]) == plan.fit
    assert names == {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
        "CPUUtilization",
    }
    (period,) = {each["MetricStat"]["Period"] for each in fit["Metrics"] if "MetricStat" in each}
    assert timedelta(seconds=period * fit["EvaluationPeriods"]) == dev.environment.idle
    assert fit["Threshold"] == queue.fleet.max_workers
    assert [each["ScalingAdjustment"] for each in steps] == list(plan.sizes)


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_each_number_of_needed_workers_meets_one_step(dev: Synthesized, queue: Queue) -> None:
    """The steps leave no gap: any number of needed workers below the most is answered by enough."""
    steps = policy(dev, queue, "fit")["StepScalingPolicyConfiguration"]["StepAdjustments"]
    most = queue.fleet.max_workers
    plan = scaling(queue, SAMPLE, oldest_age=dev.environment.oldest_age, idle=dev.environment.idle)

    for needed in range(most):
        answers = [
            step["ScalingAdjustment"]
            for step in steps
            if step.get("MetricIntervalLowerBound", -most - 1)
            < needed - most
            <= step["MetricIntervalUpperBound"]
        ]
        assert answers == [plan.size_for(needed)]
        assert answers[0] >= needed


@given(most=st.integers(1, 5000), needed=st.integers(0, 5000))
def test_any_fleet_fits_the_steps_that_aws_allows(most: int, needed: int) -> None:
    """At most 20 sizes, from none to the most, and always one that is enough."""
    sizes = sizes_up_to(most)

    assert len(sizes) <= MOST_STEPS
    assert (sizes[0], sizes[-1]) == (0, most)
    assert list(sizes) == sorted(set(sizes))
    assert needed > most or any(size >= needed for size in sizes)


def test_long_tasks_get_a_smaller_backlog_each_worker() -> None:
    """Two minutes of ``shrink`` leave room for 2.5 tasks a process within five minutes."""
    plan = scaling(Queue.FILES, SAMPLE, oldest_age=timedelta(minutes=5), idle=timedelta(minutes=10))

    assert plan.backlog_per_worker == Queue.FILES.fleet.processes * 2.5
