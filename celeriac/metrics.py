"""The metrics that running code emits, by name, unit and dimensions. Plain data.

The code that emits them, the alarms and the dashboard take them from here. So one side can't rename
a metric that the other still reads. They travel as CloudWatch's embedded metric
format in log lines: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/,
CloudWatch_Embedded_Metric_Format.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NAMESPACE = "Celeriac"

# The one set of dimensions that every task metric is emitted with. CloudWatch bills each
# combination of values as a metric of its own, and sums can be made from parts but not parts from
# sums: so there is no second, coarser set.
ENVIRONMENT = "Environment"
QUEUE = "Queue"
TASK_TYPE = "TaskType"
TASK_DIMENSIONS = (ENVIRONMENT, QUEUE, TASK_TYPE)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric by its name in CloudWatch. ``meaning`` says when a value is emitted."""

    name: str
    unit: Literal["Count", "Milliseconds"]
    meaning: str
    dimensions: tuple[str, ...] = TASK_DIMENSIONS


TASK_SUBMITTED = Metric(name="TaskSubmitted", unit="Count", meaning="A task was accepted.")
TASK_SUCCEEDED = Metric(name="TaskSucceeded", unit="Count", meaning="A task ended in SUCCESS.")
TASK_FAILED = Metric(name="TaskFailed", unit="Count", meaning="A task ended in FAILURE.")
TASK_RETRIED = Metric(
    name="TaskRetried", unit="Count", meaning="An attempt failed and another will follow."
)
TASK_REVOKED = Metric(name="TaskRevoked", unit="Count", meaning="A task ended in REVOKED.")
QUEUE_WAIT = Metric(
    name="QueueWait",
    unit="Milliseconds",
    meaning="At an attempt's start: the time since it could first have started.",
)
RUN_TIME = Metric(
    name="RunTime", unit="Milliseconds", meaning="At an attempt's end: how long it ran."
)

METRICS = (
    TASK_SUBMITTED,
    TASK_SUCCEEDED,
    TASK_FAILED,
    TASK_RETRIED,
    TASK_REVOKED,
    QUEUE_WAIT,
    RUN_TIME,
)


def task_dimensions(*, environment: str, queue: str, task_type: str) -> dict[str, str]:
    """The dimensions of a task's metrics. ``queue`` is the queue's name without its prefix."""
    return {ENVIRONMENT: environment, QUEUE: queue, TASK_TYPE: task_type}
