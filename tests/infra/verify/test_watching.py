"""Alarms, metrics, logs and mails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from infra.verify.check import NotHeld, NotShown
from infra.verify.checks import watching
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    ACCOUNT,
    REGION,
    Aws,
    ScriptedApi,
    accepts,
    alarm_of,
    stubbed,
    task,
)


def template(aws: Aws, *names: str) -> None:
    """The templates of ops and workers: these alarms are the first's."""
    alarms = {
        f"A{place}": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"AlarmName": name}}
        for place, name in enumerate(names)
    }
    for resources in (alarms, {}):
        body = json.dumps({"Resources": resources})
        aws.gives("cloudformation", "get_template", {"TemplateBody": body})


def test_alarms_are_awaited_until_all_are_evaluated(aws: Aws, trial: Trial) -> None:
    """One that target tracking made for itself may have no data: it isn't the templates'."""
    template(aws, "celeriac-dev-late")
    for state in ("INSUFFICIENT_DATA", "OK", "OK"):
        others = alarm_of("celeriac-dev-TargetTracking", "INSUFFICIENT_DATA")
        found = {"MetricAlarms": [alarm_of("celeriac-dev-late", state), others]}
        aws.gives("cloudwatch", "describe_alarms", found)

    evidence = watching.alarms_evaluated.attempt(trial)

    assert evidence == "1 evaluated; in ALARM: none"


def wake_alarm(aws: Aws, *, visible: list[float], running: list[float], wakes: list[float]) -> None:
    def metric(id: str, namespace: str) -> dict[str, Any]:
        stat = {
            "Metric": {"Namespace": namespace, "MetricName": "M", "Dimensions": []},
            "Period": 60,
            "Stat": "Maximum",
        }
        return {"Id": id, "MetricStat": stat, "ReturnData": False}

    metrics = [
        {"Id": "expr_1", "Expression": "IF(visible > FILL(running, 0), 1, 0)", "ReturnData": True},
        metric("visible", "AWS/SQS"),
        metric("running", "AWS/ECS"),
    ]
    alarm = {"AlarmName": "celeriac-dev-default-wake", "Metrics": metrics}
    aws.gives("cloudwatch", "describe_alarms", {"MetricAlarms": [alarm]})
    values = {"expr_1": wakes, "visible": visible, "running": running}
    results = [{"Id": id, "Values": found} for id, found in values.items()]
    aws.gives("cloudwatch", "get_metric_data", {"MetricDataResults": results})


@pytest.mark.parametrize(
    ("visible", "running", "wakes", "outcome"),
    [
        ([0.0, 0.0], [], [0.0, 0.0], "celeriac-dev-default-wake has 2 values"),
        ([0.0, 0.0], [], [], NotHeld),
        ([0.0, 0.0], [1.0], [0.0], NotShown),
        ([], [], [], NotShown),
    ],
)
def test_a_wake_expression_without_values_is_found(
    visible: list[float],
    running: list[float],
    wakes: list[float],
    outcome: Any,
    aws: Aws,
    trial: Trial,
) -> None:
    """A fleet with a worker, or a queue without a count, shows nothing of FILL."""
    wake_alarm(aws, visible=visible, running=running, wakes=wakes)

    if isinstance(outcome, str):
        assert watching.wake_fills.attempt(trial) == outcome
    else:
        with pytest.raises(outcome):
            watching.wake_fills.attempt(trial)


@pytest.mark.parametrize("arn", [f"arn:aws:sns:{REGION}:{ACCOUNT}:t:1", "PendingConfirmation"])
def test_a_subscription_that_waits_is_found(arn: str, aws: Aws, trial: Trial) -> None:
    """Nobody would get the alarms' mails."""
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:celeriac-dev-alarms"
    policy = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:wake"
    alarms = [{"AlarmName": "a", "AlarmActions": [each]} for each in (topic, policy, topic)]
    aws.gives("cloudwatch", "describe_alarms", {"MetricAlarms": alarms})
    subscription = {"SubscriptionArn": arn, "Endpoint": "on-call@celeriac.dev"}
    aws.gives(
        "sns",
        "list_subscriptions_by_topic",
        {"Subscriptions": [subscription]},
        TopicArn=topic,
    )

    if arn == "PendingConfirmation":
        with pytest.raises(NotHeld, match="answer AWS's mail"):
            watching.alarm_mail.attempt(trial)
    else:
        assert watching.alarm_mail.attempt(trial) == "on-call@celeriac.dev is subscribed"


def test_a_metric_that_never_comes_is_found(aws: Aws, api: ScriptedApi) -> None:
    """Each of the four is asked for, with the dimensions that the code emits."""
    accepts(api, task("SUCCESS"))
    client = aws.client("cloudwatch")
    asked: list[Mapping[str, Any]] = []

    class Silent:
        def get_metric_statistics(self, **arguments: Any) -> Any:
            client.meta.service_model.operation_model("GetMetricStatistics")
            asked.append(arguments)
            return {"Datapoints": []}

    deployment = stubbed(aws, api)
    object.__setattr__(deployment, "client", lambda service: Silent())

    with pytest.raises(NotHeld, match="no value of each metric"):
        watching.metrics.attempt(Trial(deployment, "key", timedelta(seconds=0)))

    assert {each["MetricName"] for each in asked} == {
        "TaskSubmitted",
        "TaskSucceeded",
        "QueueWait",
        "RunTime",
    }
    dimensions = {each["Name"]: each["Value"] for each in asked[0]["Dimensions"]}
    assert dimensions == {"Environment": "dev", "Queue": "default", "TaskType": "long-running"}


def test_a_tasks_lines_are_awaited_in_the_workers_log(
    aws: Aws, api: ScriptedApi, trial: Trial
) -> None:
    """They come some seconds late."""
    accepts(api, task("SUCCESS"))
    for events in ([], [{"message": "t1"}]):
        aws.gives("logs", "filter_log_events", {"events": events})

    assert watching.worker_log.attempt(trial) == "1 lines in /celeriac/dev/workers"
