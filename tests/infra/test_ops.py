"""The stack of the dashboard, the alarms and the budget."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.metrics import METRICS, NAMESPACE, task_dimensions
from celeriac.settings import LONGEST_WAIT
from infra.cdk.environments import DEV, Environment, GitHub
from tasks.contract import Queue
from tests.architecture.pages import anchors
from tests.infra.conftest import ROOT, SAMPLE, Synthesize, Synthesized
from tests.infra.readings import ALARM, by_alarms, by_dashboard, dashboard, expressions

RUNBOOK = ROOT / "docs" / "runbook.md"

# Each alarm of the system as a whole, by the value at which it goes off.
SYSTEM_ALARMS = {
    "api-errors": 1,
    "api-throttles": 1,
    "api-slow": 27_000,
    "api-5xx": 5,
    "table-throttles": 1,
    "schedule-failures": 1,
    "schedules-dead-letter": 1,
}

# The dimensions that AWS documents for each metric that is read, in sets that name one metric.
_QUEUE = [{"QueueName"}]
_API = [{"ApiId"}, {"ApiId", "Stage"}]
_FUNCTION = [{"FunctionName"}, {"FunctionName", "Resource"}]
_TABLE = [{"TableName"}, {"TableName", "GlobalSecondaryIndexName"}]
_GROUP = [{"ScheduleGroup"}]
DOCUMENTED = {
    # docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
    # sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage": _QUEUE,
        "ApproximateNumberOfMessagesDelayed": _QUEUE,
        "ApproximateNumberOfMessagesNotVisible": _QUEUE,
        "ApproximateNumberOfMessagesVisible": _QUEUE,
        "NumberOfMessagesReceived": _QUEUE,
        "NumberOfMessagesSent": _QUEUE,
    },
    # docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
    "AWS/ECS": {"CPUUtilization": [{"ClusterName"}, {"ClusterName", "ServiceName"}]},
    # docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {"Duration": _FUNCTION, "Errors": _FUNCTION, "Throttles": _FUNCTION},
    # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    "AWS/ApiGateway": {"4xx": _API, "5xx": _API, "Count": _API, "Latency": _API},
    # docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": {"ReadThrottleEvents": _TABLE, "WriteThrottleEvents": _TABLE},
    # docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
    "AWS/Scheduler": {
        "InvocationDroppedCount": _GROUP,
        "InvocationsFailedToBeSentToDeadLetterCount": _GROUP,
        "TargetErrorCount": _GROUP,
    },
}

# What can be told of a metric by its unit.
STATISTICS = {"Count": {"Sum"}, "Milliseconds": {"p50", "p99", "Maximum"}}


def topic(synthesized: Synthesized) -> dict[str, str]:
    """A reference to the one topic there is."""
    [name] = [
        name
        for name, each in synthesized.template("ops")["Resources"].items()
        if each["Type"] == "AWS::SNS::Topic"
    ]
    return {"Ref": name}


def chapter(anchor: str) -> str:
    """What the runbook says of an alarm, in one line."""
    return " ".join(
        RUNBOOK.read_text().partition(f"## {anchor}\n")[2].partition("\n## ")[0].split()
    )


def alarm(synthesized: Synthesized, name: str) -> dict[str, Any]:
    prefix = synthesized.environment.prefix
    return synthesized.one("ops", ALARM, AlarmName=f"{prefix}-{name}")


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_each_queue_is_watched(dev: Synthesized, queue: Queue) -> None:
    """Work that nobody takes, dead letters, and work without a worker each have an alarm."""
    for kind in ("oldest-age", "dead-letter", "no-worker"):
        assert alarm(dev, f"{queue.queue_name}-{kind}")["Threshold"] == 1
    assert alarm(dev, f"{queue.queue_name}-no-worker")["EvaluationPeriods"] == 5


def test_nothing_taken_for_as_long_as_a_task_may_wait_is_an_alarm(synthesize: Synthesize) -> None:
    """A message that is there all the time and that nobody takes has waited for so long.

    How old the oldest message is says nothing: that of a task that runs for an hour is an hour old.
    """
    quarter = synthesize(replace(DEV, oldest_age=timedelta(minutes=15)))
    stuck = alarm(quarter, "files-oldest-age")
    [expression] = [each["Expression"] for each in stuck["Metrics"] if "Expression" in each]
    read = {
        each["MetricStat"]["Metric"]["MetricName"]: each["MetricStat"]["Period"]
        for each in stuck["Metrics"]
        if "MetricStat" in each
    }

    assert expression == "IF(visible > 0 AND received == 0, 1, 0)"
    assert read == {"ApproximateNumberOfMessagesVisible": 60, "NumberOfMessagesReceived": 60}
    assert stuck["EvaluationPeriods"] == 15


def test_a_task_that_begins_too_late_is_an_alarm(dev: Synthesized) -> None:
    """The longest wait that a type's workers have measured, against what the environment allows."""
    for name in SAMPLE:
        late = alarm(dev, f"{name}-late")
        [query] = late["Metrics"]
        assert query["MetricStat"]["Metric"]["MetricName"] == "QueueWait"
        assert query["MetricStat"]["Stat"] == "Maximum"
        assert query["MetricStat"]["Unit"] == "Milliseconds"
        assert late["Threshold"] == dev.environment.oldest_age / timedelta(milliseconds=1)


def test_each_task_type_has_its_failure_rate_watched(dev: Synthesized) -> None:
    """An alarm for each type in the catalogue reads that type's own counts."""
    for name in SAMPLE:
        metrics = alarm(dev, f"{name}-failure-rate")["Metrics"]
        read = {
            each["MetricStat"]["Metric"]["MetricName"] for each in metrics if "MetricStat" in each
        }
        assert read == {"TaskFailed", "TaskSucceeded"}


def test_the_system_is_watched(dev: Synthesized) -> None:
    """The API, the table and the schedules have their alarms, each with its threshold."""
    found = {name: alarm(dev, name)["Threshold"] for name in SYSTEM_ALARMS}

    assert found == SYSTEM_ALARMS


def test_a_slow_api_is_slower_than_a_long_poll(dev: Synthesized) -> None:
    """A poll that waits its longest is no alarm; one that Lambda is about to end is."""
    slow = alarm(dev, "api-slow")["Threshold"] / 1000
    function = dev.one("api", "AWS::Lambda::Function")

    assert LONGEST_WAIT.total_seconds() < slow < function["Timeout"]
    assert f"{LONGEST_WAIT.seconds} s" in alarm(dev, "api-slow")["AlarmDescription"]
    assert f"{LONGEST_WAIT.seconds} seconds" in chapter("api-slow")
    assert f"{LONGEST_WAIT.seconds} seconds" in chapter("api-throttles")


def test_a_lost_schedule_is_a_failure(dev: Synthesized) -> None:
    """What could be sent to no queue at all is counted with what failed and what was given up."""
    failures = alarm(dev, "schedule-failures")
    names = {
        each["Id"]: each["MetricStat"]["Metric"]["MetricName"]
        for each in failures["Metrics"]
        if "MetricStat" in each
    }
    [expression] = [each["Expression"] for each in failures["Metrics"] if "Expression" in each]

    assert "InvocationsFailedToBeSentToDeadLetterCount" in names.values()
    assert all(f"FILL({name}, 0)" in expression for name in names)


def test_every_alarm_tells_the_topic(dev: Synthesized) -> None:
    """Each alarm of Ops goes to the one topic, on and off, and treats silence as quiet."""
    told = topic(dev)
    alarms = dev.properties("ops", ALARM)

    assert alarms
    for each in alarms:
        assert each["AlarmActions"] == each["OKActions"] == [told]
        assert each["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize(
    ("environment", "page"),
    [
        (DEV, "docs/runbook.md"),
        (
            replace(DEV, github=GitHub(repository="celeriac/celeriac", create_provider=True)),
            "https://github.com/celeriac/celeriac/blob/main/docs/runbook.md",
        ),
        (
            replace(
                DEV,
                runbook="https://wiki.celeriac.dev/runbook",
                github=GitHub(repository="celeriac/celeriac", create_provider=True),
            ),
            "https://wiki.celeriac.dev/runbook",
        ),
    ],
    ids=["nowhere", "repository", "configured"],
)
def test_every_alarm_links_its_chapter(
    synthesize: Synthesize, environment: Environment, page: str
) -> None:
    """The mail leads to the heading named as the alarm ends; every heading has an alarm."""
    linked = set()
    for each in synthesize(environment).properties("ops", ALARM):
        link, _, anchor = each["AlarmDescription"].rpartition(" ")[2].partition("#")
        assert link == page
        assert each["AlarmName"].endswith(f"-{anchor}")
        linked.add(anchor)
    chapters = set(re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE))

    assert linked <= anchors(RUNBOOK)
    assert chapters == linked | {"budget"}


def test_a_months_money_is_watched(dev: Synthesized, prod: Synthesized) -> None:
    """80% spent and 100% forecast of the environment's budget go to the same topic."""
    for synthesized in (dev, prod):
        budget = synthesized.one("ops", "AWS::Budgets::Budget")
        limit = budget["Budget"]["BudgetLimit"]
        assert limit == {"Amount": synthesized.environment.monthly_budget_usd, "Unit": "USD"}
        told = {
            each["Notification"]["NotificationType"]: each["Notification"]["Threshold"]
            for each in budget["NotificationsWithSubscribers"]
        }
        assert told == {"ACTUAL": 80, "FORECASTED": 100}
        for each in budget["NotificationsWithSubscribers"]:
            [subscriber] = each["Subscribers"]
            assert subscriber == {"Address": topic(synthesized), "SubscriptionType": "SNS"}


def test_alarms_and_budget_may_publish(dev: Synthesized) -> None:
    """The topic lets CloudWatch and Budgets in, for this account only."""
    policy = dev.one("ops", "AWS::SNS::TopicPolicy")
    [publishers] = [
        each for each in policy["PolicyDocument"]["Statement"] if each.get("Sid") == "Publishers"
    ]

    assert policy["Topics"] == [topic(dev)]
    assert publishers["Principal"]["Service"] == [
        "budgets.amazonaws.com",
        "cloudwatch.amazonaws.com",
    ]
    assert publishers["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_the_dashboard_has_a_row_for_each_queue_and_lines_for_each_task_type(
    dev: Synthesized,
) -> None:
    """Depth, oldest age, running workers, throughput, failures and times, queue by queue."""
    titles = [widget["properties"].get("title", "") for widget in dashboard(dev)["widgets"]]
    text = json.dumps(dashboard(dev))

    for queue in Queue:
        assert sum(title.startswith(f"{queue.queue_name}:") for title in titles) == 5
    for name in SAMPLE:
        for line in ("succeeded", "failed", "wait p50", "wait p99", "run p50", "run p99"):
            assert f'"{name} {line}"' in text
    assert any("cost" in title for title in titles)
    assert "HTTP API" in titles


def test_the_cost_of_a_queue_that_slept_is_known(dev: Synthesized) -> None:
    """Each queue's cost is in its row, and all together on top; no samples count as nothing."""
    costs = [(title, drawn) for title, drawn in expressions(dev) if "dollars a day" in title]

    assert {title for title, _ in costs} == {
        "Estimated cost, dollars a day (list prices of us-east-1)",
        *(f"{queue.queue_name}: dollars a day" for queue in Queue),
    }
    for title, drawn in costs:
        terms = drawn["expression"].split(" + ")
        assert len(terms) == (1 if title.endswith("dollars a day") else len(Queue))
        assert all(re.fullmatch(r"FILL\(\w+, 0\) \* 0\.\d+", term) for term in terms)


def test_every_metric_of_ours_that_is_read_is_one_the_code_emits(dev: Synthesized) -> None:
    """Name, all dimensions and unit are those that the code writes, and the statistic fits them."""
    units = {metric.name: metric.unit for metric in METRICS}
    emitted = {
        (
            metric.name,
            frozenset(
                task_dimensions(
                    environment="dev", queue=each.queue.queue_name, task_type=each.name
                ).items()
            ),
        )
        for metric in METRICS
        for each in SAMPLE.values()
    }
    by_alarm = [each for each in by_alarms(dev) if each.namespace == NAMESPACE]
    on_dashboard = [each for each in by_dashboard(dev) if each.namespace == NAMESPACE]

    assert by_alarm
    assert on_dashboard
    for each in (*by_alarm, *on_dashboard):
        assert each.metric in emitted
        assert each.statistic in STATISTICS[units[each.name]]
    for each in by_alarm:
        assert each.unit == units[each.name]


def test_every_metric_of_aws_that_is_read_has_the_documented_dimensions(
    with_options: Synthesized, dev: Synthesized
) -> None:
    """Another set of dimensions is another metric, and one that nobody writes is never there."""
    for synthesized in (dev, with_options):
        read = [
            each
            for each in (*by_alarms(synthesized), *by_dashboard(synthesized))
            if each.namespace != NAMESPACE
        ]
        assert {each.namespace for each in read} == DOCUMENTED.keys()
        for each in read:
            assert set(each.dimensions) in DOCUMENTED[each.namespace][each.name]
            # AWS's own units are AWS's: one that is named wrongly would find nothing.
            assert each.unit is None
