"""The metrics that the running code emits, as CloudWatch reads them back."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import aws_cloudwatch

from celeriac.cdk.convert import duration
from celeriac.contract.catalogue import AnyTaskType
from celeriac.metrics import NAMESPACE, Metric, task_dimensions

UNITS = {
    "Count": aws_cloudwatch.Unit.COUNT,
    "Milliseconds": aws_cloudwatch.Unit.MILLISECONDS,
}


def task_metric(
    metric: Metric,
    *,
    environment: str,
    task_type: AnyTaskType,
    statistic: str = aws_cloudwatch.Stats.SUM,
    period: timedelta = timedelta(minutes=1),
    label: str | None = None,
) -> aws_cloudwatch.Metric:
    """A metric of one task type. ``statistic`` is CloudWatch's name, such as ``Sum`` or ``p99``."""
    return aws_cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric.name,
        unit=UNITS[metric.unit],
        dimensions_map=task_dimensions(
            environment=environment,
            queue=task_type.queue.name,
            task_type=task_type.name,
        ),
        statistic=statistic,
        period=duration(period),
        label=label or f"{task_type.name} {statistic}",
    )
