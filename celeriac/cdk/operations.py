"""What watches a deployment: the dashboard, the alarms, the topic that they notify."""

from __future__ import annotations

import math
from datetime import timedelta

from aws_cdk import Stack, aws_cloudwatch, aws_lambda, aws_sqs
from constructs import Construct

from celeriac.cdk.constructs.alarms import Alarms
from celeriac.cdk.constructs.dashboard import Dashboard
from celeriac.cdk.constructs.queue_metrics import QueueMetrics
from celeriac.cdk.constructs.task_metrics import task_metric
from celeriac.cdk.convert import duration
from celeriac.cdk.environment import Environment
from celeriac.cdk.scaling import NO_WORKER, PERIOD
from celeriac.cdk.task_api import FUNCTION_TIMEOUT, TaskApi
from celeriac.cdk.task_data import TaskData
from celeriac.cdk.worker_fleets import WorkerFleets
from celeriac.contract import Catalogue, Queue
from celeriac.contract.catalogue import AnyTaskType
from celeriac.metrics import QUEUE_WAIT, TASK_FAILED, TASK_SUCCEEDED
from celeriac.settings import LONGEST_WAIT
from celeriac.topology import LONGEST_RETENTION, RETENTION, TABLE

_FIVE_MINUTES = timedelta(minutes=5)
# With fewer tasks, one failure says nothing about a rate.
_FEWEST_TASKS = 5
_FAILURE_PERCENT = 10
_SERVER_ERRORS = 5
# SQS deletes by the time of sending, and counts the age from the move to the dead letters: one that
# waited its longest before has so much less. A day is for who is told.
# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
# setting-up-dead-letter-queue-retention.html
_OLD_DEAD_LETTER = LONGEST_RETENTION - RETENTION - timedelta(days=1)
# Longer than a long poll takes, and shorter than the function's time limit.
_SLOW = (LONGEST_WAIT + FUNCTION_TIMEOUT) / 2


class Operations:
    """A dashboard, and alarms for every queue, every task type, the API, the table, schedules.

    Nothing in it is needed to run tasks.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        environment: Environment,
        catalogue: Catalogue,
        data: TaskData,
        api: TaskApi,
        fleets: WorkerFleets,
    ) -> None:
        self.alarms = Alarms(
            scope,
            "Alarms",
            prefix=environment.prefix,
            runbook=environment.runbook_url,
            email=environment.alarm_email,
            topic_arn=environment.alarm_topic_arn,
            key=data.key,
        )
        queues = {
            queue: QueueMetrics(
                queue=pair,
                cluster_name=fleets.cluster.cluster_name,
                service_name=fleets.services[queue].service_name,
            )
            for queue, pair in data.queues.items()
        }
        dead_letters = {
            queue: pair.dead_letter.metric_approximate_number_of_messages_visible(
                statistic=aws_cloudwatch.Stats.MAXIMUM,
                period=duration(timedelta(minutes=1)),
                label="dead letters",
            )
            for queue, pair in data.queues.items()
        }
        for queue, metrics in queues.items():
            self._watch_queue(
                queue, metrics, dead_letters[queue], data.queues[queue].dead_letter, environment
            )
        for task_type in catalogue.values():
            self._watch_task_type(task_type, environment)
        self._watch_api(api)
        self._watch_table(data)
        self._watch_schedules(data, api.fire.function)
        if data.mailing:
            data.mailing.watch(self.alarms)
        self.dashboard = Dashboard(
            scope,
            "Dashboard",
            # An account's dashboards have no region, and another region may have this name too.
            name=f"{environment.prefix}-{Stack.of(scope).region}",
            environment=environment.title,
            catalogue=catalogue,
            queues=queues,
            dead_letters=dead_letters,
            http=api.http,
            oldest_age=environment.oldest_age,
            public_address=fleets.network.assign_public_ip,
            alarms=self.alarms.all,
        )

    def _watch_queue(
        self,
        queue: Queue,
        metrics: QueueMetrics,
        dead_letters: aws_cloudwatch.Metric,
        dead_letter: aws_sqs.Queue,
        environment: Environment,
    ) -> None:
        name = queue.name
        self.alarms.add(
            "oldest-age",
            subject=name,
            says=f"The {name} queue has tasks, and none was received for {environment.oldest_age}.",
            do="See whether its fleet is at max_workers and busy, or runs and receives nothing.",
            # Not SQS's age of the oldest message: a task that runs for long has an old one.
            metric=aws_cloudwatch.MathExpression(
                expression=(
                    "IF(FILL(visible, 0) + FILL(high_visible, 0) > 0 "
                    "AND FILL(received, 0) + FILL(high_received, 0) == 0, 1, 0)"
                ),
                using_metrics={
                    "visible": metrics.visible(),
                    "high_visible": metrics.high_visible(),
                    "received": metrics.received(),
                    "high_received": metrics.high_received(),
                },
                period=duration(PERIOD),
            ),
            threshold=1,
            windows=math.ceil(environment.oldest_age / PERIOD),
        )
        self.alarms.add(
            "dead-letter",
            subject=name,
            says=f"The {name} queue set a message aside: it killed workers or can't be read.",
            do=f"Read it, fix the cause, then POST /queues/{name}/redrive.",
            metric=dead_letters,
            threshold=1,
        )
        self._watch_age(name, dead_letter)
        self.alarms.add(
            "no-worker",
            subject=name,
            says=f"Tasks of the {name} queue wait, and for 5 minutes no worker has run.",
            do="Read the service's events: the image, its roles or the network keep it down.",
            metric=aws_cloudwatch.MathExpression(
                expression=NO_WORKER,
                using_metrics={
                    "visible": metrics.visible(),
                    "high_visible": metrics.high_visible(),
                    "running": metrics.running(),
                },
                period=duration(timedelta(minutes=1)),
            ),
            threshold=1,
            windows=5,
        )

    def _watch_age(self, subject: str, dead_letter: aws_sqs.Queue) -> None:
        """Remind of what the alarm at the first dead letter told once: SQS deletes it for good."""
        self.alarms.add(
            "dead-letter-age",
            subject=subject,
            says=f"A dead letter of {subject} is {_OLD_DEAD_LETTER.days} days old. SQS deletes it "
            "soon.",
            do="Send it again, or purge it.",
            metric=dead_letter.metric_approximate_age_of_oldest_message(
                statistic=aws_cloudwatch.Stats.MAXIMUM, period=duration(timedelta(hours=1))
            ),
            threshold=_OLD_DEAD_LETTER / timedelta(seconds=1),
        )

    def _watch_task_type(self, task_type: AnyTaskType, environment: Environment) -> None:
        self.alarms.add(
            "late",
            subject=task_type.name,
            says=f"A {task_type.name} task began more than {environment.oldest_age} late.",
            do="See whether its fleet is at max_workers, or its tasks got slower.",
            metric=task_metric(
                QUEUE_WAIT,
                environment=environment.title,
                task_type=task_type,
                statistic=aws_cloudwatch.Stats.MAXIMUM,
                period=_FIVE_MINUTES,
            ),
            threshold=environment.oldest_age / timedelta(milliseconds=1),
        )
        self.alarms.add(
            "failure-rate",
            subject=task_type.name,
            says=f"{_FAILURE_PERCENT}% or more of the {task_type.name} tasks of 5 minutes failed.",
            do=f"Read their errors with GET /tasks?type={task_type.name}&status=FAILURE.",
            metric=aws_cloudwatch.MathExpression(
                expression=(
                    "IF(FILL(failed, 0) + FILL(succeeded, 0) >= "
                    f"{_FEWEST_TASKS}, 100 * FILL(failed, 0) / "
                    "(FILL(failed, 0) + FILL(succeeded, 0)), 0)"
                ),
                using_metrics={
                    name: task_metric(
                        metric,
                        environment=environment.title,
                        task_type=task_type,
                        period=_FIVE_MINUTES,
                    )
                    for name, metric in (("failed", TASK_FAILED), ("succeeded", TASK_SUCCEEDED))
                },
                period=duration(_FIVE_MINUTES),
            ),
            threshold=_FAILURE_PERCENT,
        )

    def _watch_api(self, api: TaskApi) -> None:
        window = duration(_FIVE_MINUTES)
        self.alarms.add(
            "api-errors",
            says="The API's function failed without an answer.",
            do="Read its log for the traceback.",
            metric=_of_both(api, "errors", "Sum", "FILL(api, 0) + FILL(follow, 0)"),
            threshold=1,
        )
        self.alarms.add(
            "api-throttles",
            says="Lambda refused calls of the API's function.",
            do="Ask AWS for more concurrency, or lower the API's throttle.",
            metric=_of_both(api, "throttles", "Sum", "FILL(api, 0) + FILL(follow, 0)"),
            threshold=1,
        )
        self.alarms.add(
            "api-slow",
            says="One call in a hundred comes near the function's time limit.",
            do=f"Long polls end at {LONGEST_WAIT.seconds} s: see in the log what takes longer.",
            metric=_of_both(api, "duration", "p99", "MAX([FILL(api, 0), FILL(follow, 0)])"),
            threshold=_SLOW / timedelta(milliseconds=1),
        )
        self.alarms.add(
            "api-5xx",
            says=f"The API answered {_SERVER_ERRORS} or more calls of 5 minutes with a 5xx.",
            do="Ask /health/ready which of SQS, DynamoDB and S3 fails.",
            metric=api.http.api.metric_server_error(period=window, statistic="Sum"),
            threshold=_SERVER_ERRORS,
        )

    def _watch_table(self, data: TaskData) -> None:
        table = {"TableName": data.table.table.table_name}
        places = [table, *({**table, "GlobalSecondaryIndexName": i.name} for i in TABLE.indexes)]
        throttles = {
            f"{kind.lower()}{number}": aws_cloudwatch.Metric(
                namespace="AWS/DynamoDB",
                metric_name=f"{kind}ThrottleEvents",
                dimensions_map=dimensions,
                statistic="Sum",
                period=duration(_FIVE_MINUTES),
            )
            for number, dimensions in enumerate(places)
            for kind in ("Read", "Write")
        }
        self.alarms.add(
            "table-throttles",
            says="DynamoDB refused reads or writes of task records.",
            do="If one tenant is busy, raise listing_shards.",
            metric=aws_cloudwatch.MathExpression(
                expression=" + ".join(f"FILL({name}, 0)" for name in throttles),
                using_metrics=throttles,
                period=duration(_FIVE_MINUTES),
            ),
            threshold=1,
        )

    def _watch_schedules(self, data: TaskData, fire: aws_lambda.IFunction) -> None:
        failures: dict[str, aws_cloudwatch.IMetric] = {
            name: aws_cloudwatch.Metric(
                namespace="AWS/Scheduler",
                metric_name=metric_name,
                dimensions_map={"ScheduleGroup": data.schedules.group_name},
                statistic="Sum",
                period=duration(_FIVE_MINUTES),
            )
            for name, metric_name in (
                ("errors", "TargetErrorCount"),
                ("dropped", "InvocationDroppedCount"),
                # A queue's quota, or the Scheduler's own: it repeats, and the task is late.
                # docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
                ("throttled", "InvocationThrottleCount"),
                # The one that loses a task: neither its queue nor the dead-letter queue has it.
                ("lost", "InvocationsFailedToBeSentToDeadLetterCount"),
            )
        }
        # Scheduler is done once Lambda has queued the event: the rest is told by the function.
        # docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        for name, metric_name in (
            ("raised", "Errors"),
            ("refused", "Throttles"),
            ("expired", "AsyncEventsDropped"),
            ("forgotten", "DestinationDeliveryFailures"),
        ):
            failures[name] = fire.metric(
                metric_name, statistic="Sum", period=duration(_FIVE_MINUTES)
            )
        self.alarms.add(
            "schedule-failures",
            says="A schedule or a delayed task could not be fired, or not in time.",
            do="Read the fire function's log and the schedules' dead-letter queue, which name the "
            "error.",
            metric=aws_cloudwatch.MathExpression(
                expression=" + ".join(f"FILL({name}, 0)" for name in failures),
                using_metrics=failures,
                period=duration(_FIVE_MINUTES),
            ),
            threshold=1,
        )
        self.alarms.add(
            "dead-letter",
            subject="schedules",
            says="A schedule or a delayed task was not fired, whatever was tried.",
            do="Read the message, fix the cause, then fire it by hand.",
            metric=data.schedules.dead_letter.metric_approximate_number_of_messages_visible(
                statistic=aws_cloudwatch.Stats.MAXIMUM, period=duration(timedelta(minutes=1))
            ),
            threshold=1,
        )
        self._watch_age("schedules", data.schedules.dead_letter)


def _of_both(api: TaskApi, name: str, statistic: str, expression: str) -> aws_cloudwatch.IMetric:
    """A metric of ``api`` and ``follow``, the API's two functions. Either may have had no call."""
    metrics: dict[str, aws_cloudwatch.IMetric] = {
        each: getattr(function, f"metric_{name}")(
            period=duration(_FIVE_MINUTES), statistic=statistic
        )
        for each, function in (("api", api.function), ("follow", api.follower))
    }
    return aws_cloudwatch.MathExpression(
        expression=expression, using_metrics=metrics, period=duration(_FIVE_MINUTES)
    )
