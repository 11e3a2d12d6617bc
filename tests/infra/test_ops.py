"""The stack of the dashboard, the alarms' topic and the budget."""

from __future__ import annotations

import json
import re

from celeriac.contract import catalogue
from celeriac.metrics import METRICS, NAMESPACE, task_dimensions
from tests.infra.conftest import SAMPLE, Synthesized
from tests.infra.readings import ALARM, by_alarms, by_dashboard, dashboard, expressions

QUEUES = catalogue().queues


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
    "AWS/Lambda": {
        "AsyncEventsDropped": _FUNCTION,
        "DestinationDeliveryFailures": _FUNCTION,
        "Duration": _FUNCTION,
        "Errors": _FUNCTION,
        "Throttles": _FUNCTION,
    },
    # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    "AWS/ApiGateway": {"4xx": _API, "5xx": _API, "Count": _API, "Latency": _API},
    # docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": {"ReadThrottleEvents": _TABLE, "WriteThrottleEvents": _TABLE},
    # docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
    "AWS/Scheduler": {
        "InvocationDroppedCount": _GROUP,
        "InvocationThrottleCount": _GROUP,
        "InvocationsFailedToBeSentToDeadLetterCount": _GROUP,
        "TargetErrorCount": _GROUP,
    },
}

# Normal and high.
LANES = 2

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


def test_every_alarm_tells_the_topic(dev: Synthesized) -> None:
    """Each alarm of Ops goes off at its threshold or above, and treats silence as quiet.

    It tells the one topic, when it goes on and when it goes off.
    """
    told = topic(dev)
    alarms = dev.properties("ops", ALARM)

    assert alarms
    for each in alarms:
        assert each["AlarmActions"] == each["OKActions"] == [told]
        assert each["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert each["TreatMissingData"] == "notBreaching"


def test_a_months_money_is_watched(dev: Synthesized, prod: Synthesized) -> None:
    """80% spent and 100% forecast of the environment's budget go to the same topic."""
    for synthesized in (dev, prod):
        budget = synthesized.one("ops", "AWS::Budgets::Budget")
        limit = budget["Budget"]["BudgetLimit"]
        assert limit == {"Amount": synthesized.environment.monthly_budget_usd, "Unit": "USD"}
        # Other systems of the account, and its other deployments, aren't counted.
        tagged = [f"user:celeriac:environment${synthesized.environment.title}"]
        assert budget["Budget"]["CostFilters"] == {"TagKeyValue": tagged}
        told = {
            each["Notification"]["NotificationType"]: each["Notification"]["Threshold"]
            for each in budget["NotificationsWithSubscribers"]
        }
        assert told == {"ACTUAL": 80, "FORECASTED": 100}
        for each in budget["NotificationsWithSubscribers"]:
            [subscriber] = each["Subscribers"]
            assert subscriber == {"Address": topic(synthesized), "SubscriptionType": "SNS"}


def test_an_environment_may_be_deployed_to_two_regions_of_an_account(dev: Synthesized) -> None:
    """Budgets and dashboards are the account's, so their names tell one region's from another's.

    docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    """
    here = {"Fn::Join": ["", ["celeriac-dev-", {"Ref": "AWS::Region"}]]}

    assert dev.one("ops", "AWS::Budgets::Budget")["Budget"]["BudgetName"] == here
    assert dev.one("ops", "AWS::CloudWatch::Dashboard")["DashboardName"] == here


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

    for queue in QUEUES:
        assert sum(title.startswith(f"{queue.name}:") for title in titles) == 5
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
        *(f"{queue.name}: dollars a day" for queue in QUEUES),
    }
    for title, drawn in costs:
        terms = drawn["expression"].split(" + ")
        queues = 1 if title.endswith("dollars a day") else len(QUEUES)
        assert len(terms) == queues * (LANES if drawn["label"] == "tasks" else 1)
        assert all(re.fullmatch(r"FILL\(\w+, 0\) \* 0\.\d+", term) for term in terms)


def test_every_metric_of_ours_that_is_read_is_one_the_code_emits(dev: Synthesized) -> None:
    """Name, all dimensions and unit are those that the code writes, and the statistic fits them."""
    units = {metric.name: metric.unit for metric in METRICS}
    emitted = {
        (
            metric.name,
            frozenset(
                task_dimensions(
                    environment="dev", queue=each.queue.name, task_type=each.name
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
    """Another set of dimensions is another metric, and one that isn't written never exists."""
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
