"""The dashboard: the API and the cost on top, then a row for each queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import chain

from aws_cdk import aws_cloudwatch
from constructs import Construct

from celeriac.cdk.constructs.http_api import HttpApi
from celeriac.cdk.constructs.queue_metrics import QueueMetrics
from celeriac.cdk.constructs.task_metrics import task_metric
from celeriac.cdk.convert import duration
from celeriac.cdk.prices import TaskCost, worker_hour
from celeriac.cdk.spot import share
from celeriac.contract import Catalogue, Queue
from celeriac.contract.catalogue import AnyTaskType
from celeriac.metrics import QUEUE_WAIT, RUN_TIME, TASK_FAILED, TASK_SUCCEEDED

_DAY = timedelta(days=1)
_WIDTH = 24
_HEIGHT = 6
# Four graphs and the cost share a queue's row.
_GRAPH = 5


class Dashboard(Construct):
    """One CloudWatch dashboard for one deployment."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        environment: str,
        catalogue: Catalogue,
        queues: Mapping[Queue, QueueMetrics],
        dead_letters: Mapping[Queue, aws_cloudwatch.IMetric],
        http: HttpApi,
        oldest_age: timedelta,
        public_address: bool,
        alarms: Sequence[aws_cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, id)
        self._environment = environment
        self._catalogue = catalogue
        self._queues = queues
        self._dead_letters = dead_letters
        self._oldest_age = oldest_age
        self._public_address = public_address
        self.dashboard = aws_cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=name,
            default_interval=duration(timedelta(hours=3)),
            period_override=aws_cloudwatch.PeriodOverride.INHERIT,
        )
        self.dashboard.add_widgets(
            aws_cloudwatch.AlarmStatusWidget(
                title="Alarms", alarms=alarms, width=_WIDTH // 3, height=_HEIGHT
            ),
            self._http(http),
            self._cost(
                "Estimated cost, dollars a day (list prices of us-east-1)",
                list(queues),
                width=_WIDTH // 3,
            ),
        )
        for queue in queues:
            self.dashboard.add_widgets(
                aws_cloudwatch.TextWidget(markdown=f"## {queue.name}", width=_WIDTH, height=1)
            )
            self.dashboard.add_widgets(*self._row(queue, queues[queue]))

    def _http(self, http: HttpApi) -> aws_cloudwatch.GraphWidget:
        return aws_cloudwatch.GraphWidget(
            title="HTTP API",
            left=[
                http.api.metric_count(label="requests", statistic="Sum"),
                http.api.metric_client_error(label="4xx", statistic="Sum"),
                http.api.metric_server_error(label="5xx", statistic="Sum"),
            ],
            right=[
                http.api.metric_latency(label="p50, ms", statistic="p50"),
                http.api.metric_latency(label="p99, ms", statistic="p99"),
            ],
            width=_WIDTH // 3,
        )

    def _cost(
        self, title: str, queues: Sequence[Queue], *, width: int
    ) -> aws_cloudwatch.SingleValueWidget:
        """The cost of these queues for a day.

        A queue that slept has no samples, which are filled in with zeros: a sum with a missing
        term would be missing itself.
        """
        running = {
            f"w{place}": self._queues[queue].running(_DAY) for place, queue in enumerate(queues)
        }
        sent = {
            f"{lane}{place}": metric
            for place, queue in enumerate(queues)
            for lane, metric in (
                ("m", self._queues[queue].sent(_DAY)),
                ("h", self._queues[queue].high_sent(_DAY)),
            )
        }
        minute_costs = [
            worker_hour(
                queue,
                spot=share(queue, self._catalogue),
                public_address=self._public_address,
            )
            / 60
            for queue in queues
        ]
        return aws_cloudwatch.SingleValueWidget(
            title=title,
            metrics=[
                aws_cloudwatch.MathExpression(
                    label="workers",
                    expression=" + ".join(
                        f"FILL({name}, 0) * {cost:.8f}"
                        for name, cost in zip(running, minute_costs, strict=True)
                    ),
                    using_metrics=running,
                    period=duration(_DAY),
                ),
                aws_cloudwatch.MathExpression(
                    label="tasks",
                    expression=" + ".join(
                        f"FILL({name}, 0) * {TaskCost().total:.9f}" for name in sent
                    ),
                    using_metrics=sent,
                    period=duration(_DAY),
                ),
            ],
            width=width,
            height=_HEIGHT,
        )

    def _row(self, queue: Queue, metrics: QueueMetrics) -> list[aws_cloudwatch.IWidget]:
        types = self._catalogue.on(queue)
        name = queue.name
        return [
            aws_cloudwatch.GraphWidget(
                title=f"{name}: messages and workers",
                left=[
                    metrics.visible(),
                    metrics.high_visible(),
                    metrics.in_flight(),
                    metrics.delayed(),
                ],
                right=[metrics.running()],
                width=_GRAPH,
            ),
            aws_cloudwatch.GraphWidget(
                title=f"{name}: oldest message, held ones too, and dead letters",
                left=[metrics.oldest_age()],
                left_annotations=[
                    aws_cloudwatch.HorizontalAnnotation(
                        value=self._oldest_age.total_seconds(), label="objective"
                    )
                ],
                right=[self._dead_letters[queue]],
                width=_GRAPH,
            ),
            aws_cloudwatch.GraphWidget(
                title=f"{name}: succeeded and failed",
                left=list(chain.from_iterable(map(self._counts, types))),
                width=_GRAPH,
            ),
            aws_cloudwatch.GraphWidget(
                title=f"{name}: wait and run time, ms",
                left=list(chain.from_iterable(map(self._times, types))),
                width=_GRAPH,
            ),
            self._cost(f"{name}: dollars a day", [queue], width=_WIDTH - 4 * _GRAPH),
        ]

    def _counts(self, task_type: AnyTaskType) -> list[aws_cloudwatch.IMetric]:
        return [
            task_metric(
                metric,
                environment=self._environment,
                task_type=task_type,
                label=f"{task_type.name} {word}",
            )
            for metric, word in ((TASK_SUCCEEDED, "succeeded"), (TASK_FAILED, "failed"))
        ]

    def _times(self, task_type: AnyTaskType) -> list[aws_cloudwatch.IMetric]:
        return [
            task_metric(
                metric,
                environment=self._environment,
                task_type=task_type,
                statistic=statistic,
                label=f"{task_type.name} {word} {statistic}",
            )
            for metric, word in ((QUEUE_WAIT, "wait"), (RUN_TIME, "run"))
            for statistic in ("p50", "p99")
        ]
