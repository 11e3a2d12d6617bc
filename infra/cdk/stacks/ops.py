"""Seeing and being told: the dashboard, the alarms and the topic they tell, the budget."""

from __future__ import annotations

import math
from datetime import timedelta

from aws_cdk import Stack, aws_budgets, aws_cloudwatch
from constructs import Construct

from celeriac.metrics import QUEUE_WAIT, TASK_FAILED, TASK_SUCCEEDED
from celeriac.settings import LONGEST_WAIT
from celeriac.topology import TABLE
from infra.cdk.constructs.alarms import Alarms
from infra.cdk.constructs.dashboard import Dashboard
from infra.cdk.constructs.queue_metrics import QueueMetrics
from infra.cdk.constructs.task_metrics import task_metric
from infra.cdk.durations import duration
from infra.cdk.environments import Environment
from infra.cdk.scaling import NO_WORKER, PERIOD
from infra.cdk.stacks.api import FUNCTION_TIMEOUT, Api
from infra.cdk.stacks.data import Data
from infra.cdk.stacks.workers import Workers
from tasks.contract import Catalogue, Queue
from tasks.contract.catalogue import AnyTaskType

_FIVE_MINUTES = timedelta(minutes=5)
# Below so few tasks, one failure says nothing about a rate.
_FEWEST_TASKS = 5
_FAILURE_PERCENT = 10
_SERVER_ERRORS = 5
# Longer than a long poll takes, and not yet so long that Lambda ends it.
_SLOW = (LONGEST_WAIT + FUNCTION_TIMEOUT) / 2


class Ops(Stack):
    """Everything that watches, and nothing that the system needs to run."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        catalogue: Catalogue,
        data: Data,
        api: Api,
        workers: Workers,
    ) -> None:
        super().__init__(
            scope,
            id,
            stack_name=f"{environment.prefix}-ops",
            description="Celeriac: dashboard, alarms and budget.",
        )
        # An account's budgets and dashboards have no region, and other regions may have this too.
        account_wide = f"{environment.prefix}-{self.region}"
        self.alarms = Alarms(
            self,
            "Alarms",
            prefix=environment.prefix,
            runbook=environment.runbook_url,
            email=environment.alarm_email,
        )
        queues = {
            queue: QueueMetrics(
                queue_name=pair.queue.queue_name,
                cluster_name=workers.cluster.cluster_name,
                service_name=workers.services[queue].service_name,
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
            self._watch_queue(queue, metrics, dead_letters[queue], environment)
        for task_type in catalogue.values():
            self._watch_task_type(task_type, environment)
        self._watch_api(api)
        self._watch_table(data)
        self._watch_schedules(data)
        self._budget(environment, account_wide)
        self.dashboard = Dashboard(
            self,
            "Dashboard",
            name=account_wide,
            environment=environment.name,
            catalogue=catalogue,
            queues=queues,
            dead_letters=dead_letters,
            http=api.http,
            oldest_age=environment.oldest_age,
            public_address=workers.network.assign_public_ip,
            alarms=self.alarms.all,
        )

    def _watch_queue(
        self,
        queue: Queue,
        metrics: QueueMetrics,
        dead_letters: aws_cloudwatch.Metric,
        environment: Environment,
    ) -> None:
        name = queue.queue_name
        self.alarms.add(
            "oldest-age",
            subject=name,
            says=f"The {name} queue has tasks, and none was taken for {environment.oldest_age}.",
            do="Look whether its fleet is at max_workers and busy, or runs and takes nothing.",
            # Not SQS's age of the oldest message: a task that runs for long has an old one.
            metric=aws_cloudwatch.MathExpression(
                expression="IF(visible > 0 AND received == 0, 1, 0)",
                using_metrics={"visible": metrics.visible(), "received": metrics.received()},
                period=duration(PERIOD),
            ),
            threshold=1,
            windows=math.ceil(environment.oldest_age / PERIOD),
        )
        self.alarms.add(
            "dead-letter",
            subject=name,
            says=f"The {name} queue set a message aside: it killed workers or can't be read.",
            do=f"Read it, mend the cause, then POST /queues/{name}/redrive.",
            metric=dead_letters,
            threshold=1,
        )
        self.alarms.add(
            "no-worker",
            subject=name,
            says=f"Tasks of the {name} queue wait, and for 5 minutes no worker has run.",
            do="Read the service's events: the image, its roles or the network keep it down.",
            metric=aws_cloudwatch.MathExpression(
                expression=NO_WORKER,
                using_metrics={"visible": metrics.visible(), "running": metrics.running()},
                period=duration(timedelta(minutes=1)),
            ),
            threshold=1,
            windows=5,
        )

    def _watch_task_type(self, task_type: AnyTaskType, environment: Environment) -> None:
        self.alarms.add(
            "late",
            subject=task_type.name,
            says=f"A {task_type.name} task began more than {environment.oldest_age} late.",
            do="Look whether its fleet is at max_workers, or its tasks got slower.",
            metric=task_metric(
                QUEUE_WAIT,
                environment=environment.name,
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
                        environment=environment.name,
                        task_type=task_type,
                        period=_FIVE_MINUTES,
                    )
                    for name, metric in (("failed", TASK_FAILED), ("succeeded", TASK_SUCCEEDED))
                },
                period=duration(_FIVE_MINUTES),
            ),
            threshold=_FAILURE_PERCENT,
        )

    def _watch_api(self, api: Api) -> None:
        window = duration(_FIVE_MINUTES)
        self.alarms.add(
            "api-errors",
            says="The API's function failed without an answer.",
            do="Read its log for the traceback.",
            metric=api.function.metric_errors(period=window, statistic="Sum"),
            threshold=1,
        )
        self.alarms.add(
            "api-throttles",
            says="Lambda refused calls of the API's function.",
            do="Ask AWS for more concurrency, or lower the API's throttle.",
            metric=api.function.metric_throttles(period=window, statistic="Sum"),
            threshold=1,
        )
        self.alarms.add(
            "api-slow",
            says="One call in a hundred comes near the function's time limit.",
            do=f"Long polls end at {LONGEST_WAIT.seconds} s: see in the log what takes longer.",
            metric=api.function.metric_duration(period=window, statistic="p99"),
            threshold=_SLOW / timedelta(milliseconds=1),
        )
        self.alarms.add(
            "api-5xx",
            says=f"The API answered {_SERVER_ERRORS} or more calls of 5 minutes with a 5xx.",
            do="Ask /health/ready which of SQS, DynamoDB and S3 fails.",
            metric=api.http.api.metric_server_error(period=window, statistic="Sum"),
            threshold=_SERVER_ERRORS,
        )

    def _watch_table(self, data: Data) -> None:
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

    def _watch_schedules(self, data: Data) -> None:
        failures = {
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
                # The one that loses a task: neither its queue nor the dead-letter queue has it.
                ("lost", "InvocationsFailedToBeSentToDeadLetterCount"),
            )
        }
        self.alarms.add(
            "schedule-failures",
            says="A schedule could not send its task.",
            do="Read the schedules' dead-letter queue: each message's attributes name the error. "
            "If it's empty, send the schedule's task again.",
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
            says="A schedule gave up on a task it could not send.",
            do="Each message's attributes name the error; mend it and run the schedule now.",
            metric=data.schedules.dead_letter.metric_approximate_number_of_messages_visible(
                statistic=aws_cloudwatch.Stats.MAXIMUM, period=duration(timedelta(minutes=1))
            ),
            threshold=1,
        )

    def _budget(self, environment: Environment, name: str) -> None:
        subscriber = aws_budgets.CfnBudget.SubscriberProperty(
            address=self.alarms.topic.topic_arn, subscription_type="SNS"
        )
        aws_budgets.CfnBudget(
            self,
            "Budget",
            budget=aws_budgets.CfnBudget.BudgetDataProperty(
                budget_name=name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=aws_budgets.CfnBudget.SpendProperty(
                    amount=environment.monthly_budget_usd, unit="USD"
                ),
            ),
            notifications_with_subscribers=[
                aws_budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=aws_budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )
