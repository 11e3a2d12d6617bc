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
    """One metric that is read. A dashboard can't name a unit, so there it is None."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str
    unit: str | None

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
                unit=None,
            )


def by_alarms(synthesized: Synthesized) -> Iterator[Reading]:
    """Of all stacks, those of the scaling policies included."""
    for each in (*synthesized.properties("ops", ALARM), *synthesized.properties("workers", ALARM)):
        if "MetricName" in each:
            statistic = each.get("Statistic") or each["ExtendedStatistic"]
            yield _reading(each, statistic, each.get("Unit"))
        for query in each.get("Metrics", []):
            if "MetricStat" in query:
                found = query["MetricStat"]
                yield _reading(found["Metric"], found["Stat"], found.get("Unit"))


def _reading(metric: Mapping[str, Any], statistic: str, unit: str | None) -> Reading:
    # A reference is as good as a name here: it is compared, never resolved.
    dimensions = {each["Name"]: str(each["Value"]) for each in metric["Dimensions"]}
    assert len(dimensions) == len(metric["Dimensions"])
    return Reading(metric["Namespace"], metric["MetricName"], dimensions, statistic, unit)


def expressions(synthesized: Synthesized) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each expression of the dashboard: the widget's title, and how it is drawn."""
    for widget in dashboard(synthesized)["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if len(line) == 1:
                yield widget["properties"]["title"], line[0]
