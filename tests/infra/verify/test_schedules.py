"""Schedules, urgent tasks and pauses."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY

from infra.verify.check import NotHeld, NotShown
from infra.verify.checks import schedules, turns, watching
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    ACCOUNT,
    CLUSTER,
    REGION,
    Aws,
    ScriptedApi,
    accepts,
    task,
)

FIRED = {"task_id": "t1", "fired_at": "2026-11-28T12:00:30Z"}
GONE = ("get_schedule", "ResourceNotFoundException")


def test_a_schedule_is_brought_forward_and_followed_to_its_end(
    aws: Aws, api: ScriptedApi, trial: Trial
) -> None:
    """All of it but the time stays, so that its own target and role are tried."""
    kept: dict[str, Any] = {
        "Name": "t1-1",
        "GroupName": CLUSTER,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:queue",
            "RoleArn": "arn:aws:iam::123456789012:role/s",
            "Input": "{}",
        },
    }
    aws.gives(
        "scheduler", "get_schedule", {**kept, "ScheduleExpression": "at(2026-11-28T13:00:00)"}
    )
    aws.gives(
        "scheduler",
        "update_schedule",
        {"ScheduleArn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{CLUSTER}/t1-1"},
        **kept,
        ScheduleExpression=ANY,
        ScheduleExpressionTimezone="UTC",
    )
    for _ in range(2):  # once it has ended, and once it is cleaned up
        aws.stub("scheduler").add_client_error(*GONE)
    api.says("DELETE /tasks/t1", 409)
    accepts(api, task("SUCCESS"))

    assert schedules.schedule_fires.attempt(trial).endswith("the schedule is gone")
    assert trial.clean_up() == []


def asleep(aws: Aws) -> None:
    service = {"desiredCount": 0, "runningCount": 0}
    aws.gives("ecs", "describe_services", {"services": [service]})


@pytest.mark.parametrize("times", [1, 2])
def test_a_schedule_that_fires_twice_is_not_held(
    aws: Aws, api: ScriptedApi, trial: Trial, times: int
) -> None:
    """Its history has the tasks that it fired, and one is what its time is for."""
    asleep(aws)
    api.says("POST /schedules", 201, {"schedule_id": "s1"})
    api.says("GET /schedules/s1/history", 200, {"data": [FIRED] * times})
    api.says("GET /tasks/t1", 200, task("SUCCESS"))
    aws.stub("scheduler").add_client_error(*GONE)

    if times == 1:
        assert schedules.schedule_wakes.attempt(trial).startswith("one task, ")
    else:
        with pytest.raises(NotHeld, match="it fired 2 tasks"):
            schedules.schedule_wakes.attempt(trial)

    api.says("DELETE /schedules/s1", 204)
    api.says("DELETE /tasks/t1", 409)
    assert trial.clean_up() == []


@pytest.mark.parametrize(
    ("expressions", "fault"),
    [
        (("cron(0 6 ? * MON-FRI *)", "rate(2 hours)"), None),
        (("cron(0 6 ? * MON-FRI *)", "cron(0 6 ? * MON-FRI *)"), "its expressions were"),
    ],
    ids=["followed", "not edited"],
)
def test_what_callers_do_with_a_schedule_is_looked_up_in_aws(
    aws: Aws, api: ScriptedApi, trial: Trial, expressions: tuple[str, str], fault: str | None
) -> None:
    """The API's own answers show nothing of EventBridge Scheduler."""
    api.says("POST /schedules", 201, {"schedule_id": "s1"})
    api.says("PATCH /schedules/s1", 200, {})
    api.says("DELETE /schedules/s1", 204)
    for each in expressions:
        aws.gives("scheduler", "get_schedule", {"Name": "s1", "ScheduleExpression": each})
    aws.stub("scheduler").add_client_error(*GONE)

    if fault is None:
        assert schedules.schedule_kept.attempt(trial).endswith("then gone")
    else:
        with pytest.raises(NotHeld, match=fault):
            schedules.schedule_kept.attempt(trial)


def hourly(aws: Aws, state: str = "ENABLED") -> None:
    target = {"Arn": "arn:fire", "RoleArn": "arn:aws:iam::123456789012:role/s", "Input": "{}"}
    found = {"ScheduleExpression": "rate(1 hour)", "State": state, "Target": target}
    aws.gives("scheduler", "get_schedule", found, Name=f"{CLUSTER}-repair", GroupName=CLUSTER)


@pytest.mark.parametrize("fault", [None, "Unhandled"])
def test_a_repair_that_fails_is_not_held(aws: Aws, trial: Trial, fault: str | None) -> None:
    """Lambda answers 200 for a function that failed, and says so in a member."""
    hourly(aws)
    text = b'{"errorMessage": "AccessDenied"}'
    payload = StreamingBody(io.BytesIO(text), len(text))
    error = {} if fault is None else {"FunctionError": fault}
    answer = {"StatusCode": 200, "Payload": payload, **error}
    aws.gives("lambda", "invoke", answer, FunctionName="arn:fire", Payload=b"{}")

    if fault is None:
        assert schedules.repair.attempt(trial).startswith("rate(1 hour); a repair takes ")
    else:
        with pytest.raises(NotHeld, match="AccessDenied"):
            schedules.repair.attempt(trial)


def test_a_repair_that_is_never_called_is_not_held(aws: Aws, trial: Trial) -> None:
    """Somebody has disabled the schedule, or deleted it."""
    hourly(aws, "DISABLED")
    with pytest.raises(NotHeld, match="DISABLED"):
        schedules.repair.attempt(trial)

    aws.stub("scheduler").add_client_error(*GONE)
    with pytest.raises(NotHeld, match=f"has no schedule {CLUSTER}-repair"):
        schedules.repair.attempt(trial)


def test_an_urgent_task_that_ends_last_is_not_held(api: ScriptedApi, trial: Trial) -> None:
    """Then nothing waits any more."""
    accepts(api, task("SUCCESS"))
    api.says("GET /queues/default", 200, {"waiting": 0})

    with pytest.raises(NotHeld, match="none of 40 normal tasks waited"):
        turns.high_lane.attempt(trial)


def test_a_task_that_starts_in_a_paused_queue_is_not_held(api: ScriptedApi, trial: Trial) -> None:
    """The queue is resumed all the same."""
    api.says("GET /queues/default", 200, {"waiting": 0, "in_flight": 0, "delayed": 0})
    api.says("POST /queues/default/pause", 200, {})
    accepts(api, task("STARTED"))

    with pytest.raises(NotHeld, match="started while its queue was paused"):
        turns.pause.attempt(trial)

    api.says("DELETE /tasks/t1", 202)
    api.says("POST /queues/default/resume", 204)
    assert trial.clean_up() == []


METRICS = [
    *(
        {
            "Id": each,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SQS", "MetricName": each, "Dimensions": []},
                "Stat": "Maximum",
            },
        }
        for each in ("visible", "high_visible", "running")
    ),
    {"Id": "backlog", "Expression": "visible / running", "ReturnData": True},
]


def tracked(aws: Aws, **counts: int) -> None:
    """One fleet with target tracking, whose metrics have so many values each."""
    policy: dict[str, Any] = {
        "PolicyARN": f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:1",
        "PolicyName": "celeriac-dev-default-grow",
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{CLUSTER}/default",
        "ScalableDimension": "ecs:service:DesiredCount",
        "PolicyType": "TargetTrackingScaling",
        "CreationTime": "2026-11-28T12:00:00Z",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 1.0,
            "CustomizedMetricSpecification": {"Metrics": METRICS},
        },
    }
    aws.gives("application-autoscaling", "describe_scaling_policies", {"ScalingPolicies": [policy]})
    results = [{"Id": name, "Values": [1.0] * count} for name, count in counts.items()]
    aws.gives("cloudwatch", "get_metric_data", {"MetricDataResults": results})


def test_the_expression_that_grows_a_fleet_is_asked_for_its_values(aws: Aws, trial: Trial) -> None:
    """CloudWatch takes target tracking's metrics with a period, and computes the expression."""
    tracked(aws, visible=5, high_visible=0, running=5, backlog=5)

    assert watching.grow_fills.attempt(trial) == "celeriac-dev-default-grow has 5 values"


def test_an_expression_without_a_value_is_not_held(aws: Aws, trial: Trial) -> None:
    """A lane that nobody uses would keep the fleet at one worker."""
    tracked(aws, visible=5, high_visible=0, running=5, backlog=0)

    with pytest.raises(NotHeld, match=re.escape("has no value, so it can't grow its fleet")):
        watching.grow_fills.attempt(trial)


@pytest.mark.parametrize(
    "counts",
    [
        {"visible": 5, "high_visible": 5, "running": 5},
        {"visible": 0, "high_visible": 0, "running": 5},
        {"visible": 5, "high_visible": 0, "running": 0},
    ],
    ids=["both lanes", "idle for hours", "asleep"],
)
def test_a_fleet_that_needs_no_filling_shows_nothing(
    aws: Aws, trial: Trial, counts: dict[str, int]
) -> None:
    """The claim is about one lane without a count."""
    tracked(aws, **counts, backlog=5)

    with pytest.raises(NotShown, match="try when a fleet runs"):
        watching.grow_fills.attempt(trial)
