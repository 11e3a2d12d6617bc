"""What watches the deployment: alarms, metrics, logs, the dashboard, the topic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac import catalogue
from infra.verify.check import NotHeld, NotShown, check
from infra.verify.checks.tasks import SHORT
from infra.verify.trial import Trial

_TYPE = "long-running"
#: SQS and ECS publish once a minute. What a day shows holds for nights, when queues are idle.
_LOOKBACK = timedelta(minutes=30)
_PERIOD = timedelta(minutes=1)
_NO_ALARMS = "moto evaluates no alarm."
_NO_METRICS = "moto makes no metric of a log line."
_NO_LOGS = "Nothing carries log lines to moto."


@check(
    "alarms",
    claims="Every alarm of the templates exists.",
    proves="runbook.md",
)
def alarms(trial: Trial) -> str:
    found = {each["AlarmName"] for each in _alarms(trial)}
    wanted = _wanted(trial)
    if missing := sorted(wanted - found):
        raise NotHeld(f"{len(missing)} don't, such as {missing[0]}")
    return f"{len(wanted)} alarms"


@check(
    "alarms-evaluated",
    claims="CloudWatch evaluates every alarm: none has insufficient data.",
    proves="runbook.md",
    only_aws=_NO_ALARMS,
    limit=timedelta(minutes=15),
)
def alarms_evaluated(trial: Trial) -> str:
    wanted = _wanted(trial)

    def states() -> dict[str, str]:
        return {
            each["AlarmName"]: each["StateValue"]
            for each in _alarms(trial)
            if each["AlarmName"] in wanted
        }

    def evaluated() -> bool:
        return "INSUFFICIENT_DATA" not in states().values()

    trial.until(evaluated, "end of INSUFFICIENT_DATA", every=15)
    on = sorted(name for name, state in states().items() if state == "ALARM")
    return f"{len(wanted)} evaluated; in ALARM: {', '.join(on) or 'none'}"


@check(
    "wake-fills",
    claims="The expression that wakes a fleet has a value while the fleet has no worker.",
    proves="decisions/0004-three-scaling-policies.md",
    only_aws="moto has no metric math.",
)
def wake_fills(trial: Trial) -> str:
    cloudwatch = trial.deployment.client("cloudwatch")
    now = datetime.now(UTC)
    asleep = []
    for alarm in _alarms(trial):
        if not alarm["AlarmName"].endswith("-wake"):
            continue
        # With the numbers that the expression is computed from: ECS has none of a sleeping fleet.
        queries = [{**each, "ReturnData": True} for each in alarm["Metrics"]]
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=queries, StartTime=now - _LOOKBACK, EndTime=now
        )
        values = {each["Id"]: len(each["Values"]) for each in answer["MetricDataResults"]}
        (wakes,) = (each["Id"] for each in alarm["Metrics"] if each.get("ReturnData", True))
        # SQS has no value for a queue that was idle for hours, ECS none for a fleet that sleeps.
        if values["running"] or not values["visible"]:
            continue
        if not values[wakes]:
            raise NotHeld(f"{alarm['AlarmName']} has no value, so it can't wake its fleet")
        asleep.append(f"{alarm['AlarmName']} has {values[wakes]} values")
    if not asleep:
        raise NotShown(
            f"No queue had a count and no worker within {_LOOKBACK}: try when a fleet has slept "
            "for so long, and its queue for less than six hours."
        )
    return "; ".join(asleep)


@check(
    "grow-fills",
    claims="The expression that grows a fleet has a value while its urgent lane has none.",
    proves="priorities.md",
    only_aws="moto has no metric math.",
)
def grow_fills(trial: Trial) -> str:
    cloudwatch = trial.deployment.client("cloudwatch")
    autoscaling = trial.deployment.client("application-autoscaling")
    pages = autoscaling.get_paginator("describe_scaling_policies").paginate(ServiceNamespace="ecs")
    prefix = f"service/{trial.deployment.setting('CLUSTER_NAME')}/"
    now = datetime.now(UTC)
    grown = []
    for policy in (each for page in pages for each in page["ScalingPolicies"]):
        if policy["PolicyType"] != "TargetTrackingScaling" or not policy["ResourceId"].startswith(
            prefix
        ):
            continue
        tracked = policy["TargetTrackingScalingPolicyConfiguration"]
        metrics = tracked["CustomizedMetricSpecification"]["Metrics"]
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=[_asked(each) for each in metrics],
            StartTime=now - _LOOKBACK,
            EndTime=now,
        )
        values = {each["Id"]: len(each["Values"]) for each in answer["MetricDataResults"]}
        (grows,) = (each["Id"] for each in metrics if each.get("ReturnData", True))
        if not (values["running"] and values["visible"]) or values["high_visible"]:
            continue
        if not values[grows]:
            raise NotHeld(f"{policy['PolicyName']} has no value, so it can't grow its fleet")
        grown.append(f"{policy['PolicyName']} has {values[grows]} values")
    if not grown:
        raise NotShown(
            f"No fleet ran within {_LOOKBACK} whose urgent lane has no count: try when a fleet "
            "runs, and has had no urgent task for some six hours."
        )
    return "; ".join(grown)


@check(
    "metrics",
    claims="CloudWatch makes metrics of a task that ended: submitted, succeeded, wait, run time.",
    proves="architecture.md#in-aws",
    only_aws=_NO_METRICS,
    limit=timedelta(minutes=10),
)
def metrics(trial: Trial) -> str:
    began = datetime.now(UTC) - _PERIOD
    trial.ends(trial.submit(_TYPE, SHORT))
    wanted = ("TaskSubmitted", "TaskSucceeded", "QueueWait", "RunTime")
    dimensions = [
        {"Name": "Environment", "Value": trial.deployment.setting("ENVIRONMENT")},
        {"Name": "Queue", "Value": catalogue()[_TYPE].queue.name},
        {"Name": "TaskType", "Value": _TYPE},
    ]

    def found() -> dict[str, float]:
        return {
            name: sum(each["SampleCount"] for each in points)
            for name in wanted
            if (
                points := trial.deployment.client("cloudwatch").get_metric_statistics(
                    Namespace="Celeriac",
                    MetricName=name,
                    Dimensions=dimensions,
                    StartTime=began,
                    EndTime=datetime.now(UTC) + _PERIOD,
                    Period=int(_PERIOD.total_seconds()),
                    Statistics=["SampleCount"],
                )["Datapoints"]
            )
        }

    trial.until(lambda: found().keys() == set(wanted), "value of each metric", every=15)
    return ", ".join(f"{name} {count:g}" for name, count in found().items())


@check(
    "worker-log",
    claims="The workers' log has a task's lines, each with its id.",
    proves="runbook.md#oldest-age",
    only_aws=_NO_LOGS,
    limit=timedelta(minutes=5),
)
def worker_log(trial: Trial) -> str:
    id = trial.submit(_TYPE, SHORT)
    trial.ends(id)
    return _logged(trial, "workers", f'"{id}"')


@check(
    "api-log",
    claims="The function's log has its requests.",
    proves="runbook.md#api-errors",
    only_aws=_NO_LOGS,
    limit=timedelta(minutes=5),
)
def api_log(trial: Trial) -> str:
    trial.ask("GET", "/health")
    return _logged(trial, "api", "REPORT")


@check(
    "dashboard",
    claims="The dashboard exists, under the deployment's name and region.",
    proves="runbook.md#late",
)
def dashboard(trial: Trial) -> str:
    deployment = trial.deployment
    name = f"{deployment.environment.prefix}-{deployment.region}"
    body = deployment.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    return f"{name}, {len(body):,} bytes"


@check(
    "alarm-mail",
    claims="The address for alarms has confirmed its subscription.",
    proves="deploying.md#the-first-deployment",
    only_aws="moto confirms every subscription by itself.",
)
def alarm_mail(trial: Trial) -> str:
    deployment = trial.deployment
    if not (address := deployment.environment.alarm_email):
        raise NotShown("The deployment has no `alarm_email`: its alarms go to the topic only.")
    name = f":{deployment.environment.prefix}-alarms"
    (topic,) = {
        action
        for alarm in _alarms(trial)
        for action in alarm["AlarmActions"]
        if action.endswith(name)
    }
    found = deployment.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    arns = [each["SubscriptionArn"] for each in found if each["Endpoint"] == address]
    if not arns or "PendingConfirmation" in arns:
        raise NotHeld(f"{address} has not confirmed: answer AWS's mail")
    return f"{address} is subscribed"


def _wanted(trial: Trial) -> set[str]:
    """The names of the alarms in the templates. Target tracking makes others for itself."""
    return {
        str(each["AlarmName"])
        for stack in ("ops", "workers")
        for each in trial.deployment.resources(stack, "AWS::CloudWatch::Alarm")
    }


def _alarms(trial: Trial) -> list[dict[str, Any]]:
    pages = (
        trial.deployment.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmNamePrefix=f"{trial.deployment.environment.prefix}-")
    )
    return [each for page in pages for each in page["MetricAlarms"]]


def _logged(trial: Trial, group: str, pattern: str) -> str:
    """Wait for a line of a log group that has this in it."""
    name = trial.deployment.environment.log_group(group)
    since = int((time.time() - _LOOKBACK.total_seconds()) * 1000)

    def lines() -> list[Any]:
        pages = (
            trial.deployment.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=name, filterPattern=pattern, startTime=since)
        )
        return [event for page in pages for event in page["events"]]

    return f"{len(trial.until(lines, f'line with {pattern} in {name}', every=5))} lines in {name}"


def _asked(tracked: Mapping[str, Any]) -> dict[str, Any]:
    """A query of target tracking as CloudWatch takes it: a metric has a period there.

    docs.aws.amazon.com/autoscaling/application/APIReference/API_TargetTrackingMetricStat.html
    """
    query = {**tracked, "ReturnData": True}
    if "MetricStat" in query:
        query["MetricStat"] = {**query["MetricStat"], "Period": int(_PERIOD.total_seconds())}
    return query


CHECKS = (alarms, alarms_evaluated, dashboard, alarm_mail, worker_log, api_log, metrics, grow_fills)
BEFORE = (wake_fills,)
