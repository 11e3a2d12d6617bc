"""The CloudWatch metrics of one queue and its fleet, as SQS and ECS publish them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from aws_cdk import aws_cloudwatch

from celeriac.cdk.constructs.task_queue import TaskQueue
from celeriac.cdk.convert import duration
from celeriac.cdk.scaling import PERIOD


class QueueMetrics:
    """``queue``, ``cluster_name`` and ``service_name`` are the names in AWS.

    The metrics that begin with ``high_`` are of the queue's lane for high priority.
    """

    def __init__(self, *, queue: TaskQueue, cluster_name: str, service_name: str) -> None:
        self._queue = {"QueueName": queue.queue.queue_name}
        self._high = {"QueueName": queue.high.queue_name}
        self._service = {"ClusterName": cluster_name, "ServiceName": service_name}

    def visible(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """Waiting messages."""
        return self._sqs("ApproximateNumberOfMessagesVisible", "waiting", period)

    def in_flight(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """Messages that a worker has received and not yet deleted."""
        return self._sqs("ApproximateNumberOfMessagesNotVisible", "in flight", period)

    def delayed(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """Messages that SQS holds back until their delay has passed."""
        return self._sqs("ApproximateNumberOfMessagesDelayed", "delayed", period)

    def high_visible(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """Waiting messages of high priority."""
        return self._sqs("ApproximateNumberOfMessagesVisible", "waiting, high", period, self._high)

    def high_in_flight(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """As ``in_flight``."""
        return self._sqs(
            "ApproximateNumberOfMessagesNotVisible", "in flight, high", period, self._high
        )

    def high_delayed(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """As ``delayed``."""
        return self._sqs("ApproximateNumberOfMessagesDelayed", "delayed, high", period, self._high)

    def high_sent(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """As ``sent``."""
        return self._sqs(
            "NumberOfMessagesSent", "sent, high", period, self._high, aws_cloudwatch.Stats.SUM
        )

    def high_received(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """As ``received``."""
        return self._sqs(
            "NumberOfMessagesReceived",
            "received, high",
            period,
            self._high,
            aws_cloudwatch.Stats.SUM,
        )

    def oldest_age(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """How long ago the oldest message was sent, in seconds; one that a worker holds counts."""
        return self._sqs("ApproximateAgeOfOldestMessage", "oldest, s", period)

    def sent(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """All messages sent."""
        return self._sqs("NumberOfMessagesSent", "sent", period, statistic=aws_cloudwatch.Stats.SUM)

    def received(self, period: timedelta = PERIOD) -> aws_cloudwatch.Metric:
        """All messages received."""
        return self._sqs(
            "NumberOfMessagesReceived", "received", period, statistic=aws_cloudwatch.Stats.SUM
        )

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

    def _sqs(
        self,
        name: str,
        label: str,
        period: timedelta,
        queue: Mapping[str, str] | None = None,
        statistic: str = aws_cloudwatch.Stats.MAXIMUM,
    ) -> aws_cloudwatch.Metric:
        return aws_cloudwatch.Metric(
            namespace="AWS/SQS",
            metric_name=name,
            dimensions_map=queue or self._queue,
            statistic=statistic,
            period=duration(period),
            label=label,
        )
