"""The stack of the dashboard, the alarms and the budget."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.metrics import METRICS, NAMESPACE, task_dimensions
from tasks.contract import Queue
from tests.infra.conftest import ROOT, SAMPLE, Synthesized

ALARM = "AWS::CloudWatch::Alarm"
QUEUE_ALARMS = ("oldest-age", "dead-letter", "no-worker")
SYSTEM_ALARMS = (
    "api-errors",
    "api-throttles",
    "api-slow",
    "api-5xx",
    "table-throttles",
    "schedule-failures",
    "schedules-dead-letter",
)


def alarm(synthesized: Synthesized, name: str) -> dict[str, Any]:
    prefix = synthesized.environment.prefix
    return synthesized.one("ops", ALARM, AlarmName=f"{prefix}-{name}")


def dashboard(synthesized: Synthesized) -> dict[str, Any]:
    """The dashboard's body, with a name in angle brackets for each reference."""
    body = synthesized.one("ops", "AWS::CloudWatch::Dashboard")["DashboardBody"]
    text = "".join(
        part if isinstance(part, str) else f"<{next(iter(part.values()))}>".replace('"', "'")
        for part in body["Fn::Join"][1]
    )
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_each_queue_is_watched(dev: Synthesized, queue: Queue) -> None:
    """Waiting too long, dead letters, and work without a worker each have an alarm."""
    for kind in QUEUE_ALARMS:
        assert alarm(dev, f"{queue.queue_name}-{kind}")
    age = alarm(dev, f"{queue.queue_name}-oldest-age")
    assert age["Threshold"] == dev.environment.oldest_age.total_seconds()
    assert alarm(dev, f"{queue.queue_name}-dead-letter")["Threshold"] == 1
    assert alarm(dev, f"{queue.queue_name}-no-worker")["EvaluationPeriods"] == 5


def test_each_task_type_has_its_failure_rate_watched(dev: Synthesized) -> None:
    """An alarm for each type in the catalogue reads that type's own counts."""
    for name in SAMPLE:
        metrics = alarm(dev, f"{name}-failure-rate")["Metrics"]
        read = {
            each["MetricStat"]["Metric"]["MetricName"] for each in metrics if "MetricStat" in each
        }
        assert read == {"TaskFailed", "TaskSucceeded"}


def test_the_system_is_watched(dev: Synthesized) -> None:
    """The API, the table and the schedules have their alarms."""
    for name in SYSTEM_ALARMS:
        assert alarm(dev, name)


def test_every_alarm_tells_the_topic_and_says_what_to_do(dev: Synthesized) -> None:
    """Each alarm of Ops notifies, treats silence as quiet, and links a chapter of the runbook."""
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    chapters = set(re.findall(r"^## ([a-z0-9-]+)$", runbook, re.MULTILINE))
    linked = set()
    for each in dev.properties("ops", ALARM):
        assert len(each["AlarmActions"]) == 1
        assert each["TreatMissingData"] == "notBreaching"
        description = each["AlarmDescription"]
        linked.add(description.rpartition("docs/runbook.md#")[2])
    assert linked <= chapters
    assert chapters == linked | {"budget"}


def test_a_months_money_is_watched(dev: Synthesized, prod: Synthesized) -> None:
    """80% spent and 100% forecast of the environment's budget go to the same topic."""
    for synthesized in (dev, prod):
        budget = synthesized.one("ops", "AWS::Budgets::Budget")
        limit = budget["Budget"]["BudgetLimit"]
        assert limit == {"Amount": synthesized.environment.monthly_budget_usd, "Unit": "USD"}
        kinds = {
            each["Notification"]["NotificationType"]
            for each in budget["NotificationsWithSubscribers"]
        }
        assert kinds == {"ACTUAL", "FORECASTED"}
    assert dev.all("ops", "AWS::SNS::Topic") != []


def test_the_dashboard_has_a_row_for_each_queue_and_lines_for_each_task_type(
    dev: Synthesized,
) -> None:
    """Depth, oldest age, running workers, throughput, failures and times, queue by queue."""
    titles = [widget["properties"].get("title", "") for widget in dashboard(dev)["widgets"]]
    text = json.dumps(dashboard(dev))

    for queue in Queue:
        assert sum(title.startswith(f"{queue.queue_name}:") for title in titles) == 4
    for name in SAMPLE:
        for line in ("succeeded", "failed", "wait p50", "wait p99", "run p50", "run p99"):
            assert f'"{name} {line}"' in text
    assert any("cost" in title for title in titles)
    assert "HTTP API" in titles


def test_every_metric_that_is_read_is_one_the_code_emits(dev: Synthesized) -> None:
    """Name, unit and dimensions of what alarms and dashboard read are those of the shared list."""
    known = {metric.name: metric for metric in METRICS}
    dimensions = [
        task_dimensions(environment="dev", queue=each.queue.queue_name, task_type=each.name)
        for each in SAMPLE.values()
    ]
    read = [*_read_by_alarms(dev), *_read_by_dashboard(dev)]

    assert read
    for name, unit, values in read:
        assert name in known
        assert values in dimensions
        assert tuple(values) == known[name].dimensions
        assert unit in (known[name].unit, None)


def _read_by_alarms(dev: Synthesized) -> Iterator[tuple[str, str | None, dict[str, str]]]:
    for each in dev.properties("ops", ALARM):
        for query in each.get("Metrics", []):
            stat = query.get("MetricStat")
            if stat and stat["Metric"]["Namespace"] == NAMESPACE:
                metric = stat["Metric"]
                values = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
                # CloudFormation sorts them; the shared list's order is what the code writes.
                order = task_dimensions(environment="", queue="", task_type="")
                yield metric["MetricName"], stat["Unit"], {name: values[name] for name in order}


def _read_by_dashboard(dev: Synthesized) -> Iterator[tuple[str, str | None, dict[str, str]]]:
    order = task_dimensions(environment="", queue="", task_type="")
    for widget in dashboard(dev)["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if line[0] == NAMESPACE:
                names = [part for part in line[2:] if isinstance(part, str)]
                values = dict(zip(names[::2], names[1::2], strict=True))
                yield line[1], None, {name: values[name] for name in order}
