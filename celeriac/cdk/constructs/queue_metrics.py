"""The CloudWatch metrics of one queue and its fleet, as SQS and ECS publish them.

A count is that of both lanes. SQS publishes none of a queue that nothing has asked for six hours,
so a lane of urgent tasks that is unheard of counts as empty:
docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
"""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import aws_cloudwatch

from celeriac.cdk.constructs.task_queue import TaskQueue
from celeriac.cdk.convert import duration
from celeriac.cdk.scaling import PERIOD

_SUM = "{normal} + FILL({high}, 0)"
_MAXIMUM = "MAX([{normal}, FILL({high}, 0)])"


class QueueMetrics:
    """``cluster_name`` and ``service_name`` are the names in AWS."""

    def __init__(self, *, lanes: TaskQueue, cluster_name: str, service_name: str) -> None:
        self._lanes = lanes
        self._service = {"ClusterName": cluster_name, "ServiceName": service_name}

    def visible(self, period: timedelta = PERIOD) -> aws_cloudwatch.MathExpression:
        """Waiting messages."""
        return self._both(*self.visible_by_lane(period), "waiting", period)

    def visible_by_lane(
        self, period: timedelta = PERIOD
    ) -> tuple[aws_cloudwatch.Metric, aws_cloudwatch.Metric]:
        """Waiting messages of the normal lane, and of the high one."""
        return self._sqs("ApproximateNumberOfMessagesVisible", period)

    def in_flight(self, period: timedelta = PERIOD) -> aws_cloudwatch.MathExpression:
        """Messages that a worker has received and not yet deleted."""
        counts = self._sqs("ApproximateNumberOfMessagesNotVisible", period)
        return self._both(*counts, "in flight", period)

    def delayed(self, period: timedelta = PERIOD) -> aws_cloudwatch.MathExpression:
        """Messages that SQS holds back until their delay has passed."""
        counts = self._sqs("ApproximateNumberOfMessagesDelayed", period)
        return self._both(*counts, "delayed", period)

    def oldest_age(self, period: timedelta = PERIOD) -> aws_cloudwatch.MathExpression:
        """How long ago the oldest message was sent, in seconds; one that a worker holds counts."""
        ages = self._sqs("ApproximateAgeOfOldestMessage", period)
        return self._both(*ages, "oldest, s", period, expression=_MAXIMUM)

    def sent(self, period: timedelta = PERIOD) -> aws_cloudwatch.MathExpression:
        """All messages sent."""
        counts = self._sqs("NumberOfMessagesSent", period, aws_cloudwatch.Stats.SUM)
        return self._both(*counts, "sent", period)

    def received(self, period: timedelta = PERIOD) -> aws_cloudwatch.MathExpression:
        """All messages received."""
        counts = self._sqs("NumberOfMessagesReceived", period, aws_cloudwatch.Stats.SUM)
        return self._both(*counts, "received", period)

    def running(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """CPU samples: one a minute for each running worker."""
        return aws_cloudwatch.Metric(
            namespace="AWS/ECS",
            metric_name="CPUUtilization",
            dimensions_map=self._service,
            statistic=aws_cloudwatch.Stats.SAMPLE_COUNT,
            period=duration(period),
            label="running workers",
        )

    def _both(
        self,
        normal: aws_cloudwatch.Metric,
        high: aws_cloudwatch.Metric,
        label: str,
        period: timedelta,
        expression: str = _SUM,
    ) -> aws_cloudwatch.MathExpression:
        # In one graph or alarm each id is one metric: others of this queue, and other queues.
        of_what = f"{label.partition(',')[0]}_{self._service['ServiceName']}"
        name = of_what.replace(" ", "_").replace("-", "_")
        ids = {"normal": f"{name}_normal", "high": f"{name}_high"}
        return aws_cloudwatch.MathExpression(
            expression=expression.format(**ids),
            using_metrics={ids["normal"]: normal, ids["high"]: high},
            label=label,
            period=duration(period),
        )

    def _sqs(
        self, name: str, period: timedelta, statistic: str = aws_cloudwatch.Stats.MAXIMUM
    ) -> tuple[aws_cloudwatch.Metric, aws_cloudwatch.Metric]:
        normal, high = (
            aws_cloudwatch.Metric(
                namespace="AWS/SQS",
                metric_name=name,
                dimensions_map={"QueueName": queue.queue_name},
                statistic=statistic,
                period=duration(period),
            )
            for queue in (self._lanes.queue, self._lanes.high)
        )
        return normal, high
