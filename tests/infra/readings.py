"""What alarms and dashboard read of CloudWatch, as the templates say it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.infra.conftest import Synthesized

ALARM = "AWS::CloudWatch::Alarm"


@dataclass(frozen=True)
class Reading:
    """One metric that is read, for windows of ``seconds``.

    A dashboard names no unit, and its windows follow what is looked at: there both are None.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str
    unit: str | None = None
    seconds: int | None = None

    @property
    def metric(self) -> tuple[str, frozenset[tuple[str, str]]]:
        return self.name, frozenset(self.dimensions.items())


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


def by_dashboard(synthesized: Synthesized) -> Iterator[Reading]:
    """A line is namespace, name, each dimension's name and value, and how it is drawn:
    docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    for widget in dashboard(synthesized)["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if len(line) == 1:  # an expression over others
                continue
            *words, drawn = line
            yield Reading(
                namespace=words[0],
                name=words[1],
                dimensions=dict(zip(words[2::2], words[3::2], strict=True)),
                statistic=drawn["stat"],
            )


def by_alarms(synthesized: Synthesized) -> Iterator[Reading]:
    """Of all stacks, those of the scaling policies included."""
    for stack in ("ops", "workers"):
        for each in synthesized.properties(stack, ALARM):
            yield from watched(synthesized, stack, each).readings.values()


#: The id of an alarm's metric where there is no expression to name it.
ONLY = "only"


@dataclass(frozen=True)
class Watched:
    """What an alarm compares with its threshold: an expression over metrics, or the only one."""

    readings: Mapping[str, Reading]
    expression: str | None = None


def watched(synthesized: Synthesized, stack: str, alarm: Mapping[str, Any]) -> Watched:
    """What an alarm or a tracking policy watches; of several expressions, that of the alarm."""

    def reading(metric: Mapping[str, Any], statistic: str, rest: Mapping[str, Any]) -> Reading:
        # A metric of the whole account has none.
        found = metric.get("Dimensions", [])
        dimensions = {each["Name"]: _name(synthesized, stack, each["Value"]) for each in found}
        assert len(dimensions) == len(found)
        return Reading(
            metric["Namespace"],
            metric["MetricName"],
            dimensions,
            statistic,
            rest.get("Unit"),
            rest.get("Period"),
        )

    if "MetricName" in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return Watched({ONLY: reading(alarm, statistic, alarm)})
    found = {
        each["Id"]: reading(each["MetricStat"]["Metric"], each["MetricStat"]["Stat"], stat)
        for each in alarm["Metrics"]
        if (stat := each.get("MetricStat"))
    }
    (compared,) = (each for each in alarm["Metrics"] if each["ReturnData"])
    if "Expression" in compared:
        return Watched(found, compared["Expression"])
    return Watched({ONLY: found[compared["Id"]]})


# Which property is the name that a reference to a resource stands for; of an API it is an id.
_NAMES = {
    "AWS::ApiGatewayV2::Api": "Name",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::SQS::Queue": "QueueName",
}


def _name(synthesized: Synthesized, stack: str, value: Any) -> str:
    """The name of a resource, of this stack or of one that exports it."""
    match value:
        case str():
            return value
        case {"Fn::ImportValue": str(exported)}:
            owner = exported.partition(":")[0].removeprefix(f"{synthesized.environment.prefix}-")
            (output,) = (
                each["Value"]
                for each in synthesized.template(owner)["Outputs"].values()
                if each.get("Export") == {"Name": exported}
            )
            return _name(synthesized, owner, output)
        case {"Ref": str(logical)} | {"Fn::GetAtt": [str(logical), _]}:
            resource = synthesized.template(stack)["Resources"][logical]
            return str(resource["Properties"][_NAMES[resource["Type"]]])
    raise TypeError(f"{value!r} is no name, and refers to none.")


def expressions(synthesized: Synthesized) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each expression of the dashboard: the widget's title, and how it is drawn."""
    for widget in dashboard(synthesized)["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if len(line) == 1:
                yield widget["properties"]["title"], line[0]
