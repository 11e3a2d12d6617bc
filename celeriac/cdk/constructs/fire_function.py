"""The function that EventBridge Scheduler calls, with its role, its log and its dead letters."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import (
    Duration,
    RemovalPolicy,
    aws_iam,
    aws_lambda,
    aws_lambda_destinations,
    aws_logs,
)
from constructs import Construct

from celeriac.cdk.convert import duration, retention
from celeriac.cdk.environment import Environment
from celeriac.cdk.function_code import RUNTIME
from celeriac.cdk.grants import (
    grant,
    grant_artifacts,
    grant_firing,
    grant_key,
    grant_waking,
)
from celeriac.cdk.nag import accept
from celeriac.cdk.sources import Sources
from celeriac.cdk.task_data import TaskData
from celeriac.topology import FIRE

HANDLER = "celeriac.operations.fire_function.handler"
#: Lambda's longest, for a repair. One that is cut off goes on from what it has sent.
TIMEOUT = timedelta(minutes=15)
#: Lambda's longest: an outage of SQS or DynamoDB that is over by then costs no firing.
OLDEST_EVENT = timedelta(hours=6)
#: Lambda's most: docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
RETRIES = 2


class FireFunction(Construct):
    """Calls ``celeriac.operations.firing`` with the task types that the API has."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        data: TaskData,
        sources: Sources,
        code: aws_lambda.Code,
    ) -> None:
        super().__init__(scope, id)
        self.log_group = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=environment.log_group(FIRE),
            retention=retention(environment.log_retention),
            encryption_key=data.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(
            self,
            "Role",
            description="What firing schedules and delayed tasks, and repairing, may do.",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.function = aws_lambda.Function(
            self,
            "Function",
            function_name=f"{environment.prefix}-{FIRE}",
            description="Celeriac: fires schedules and delayed tasks, and repairs lost ones.",
            code=code,
            handler=HANDLER,
            runtime=RUNTIME,
            architecture=aws_lambda.Architecture.ARM_64,
            memory_size=environment.lambda_memory_mib,
            timeout=duration(TIMEOUT),
            role=self.role.without_policy_updates(),
            log_group=self.log_group,
            environment={**data.settings.to_environment(), **sources.function_variables},
            max_event_age=Duration.seconds(OLDEST_EVENT // timedelta(seconds=1)),
            retry_attempts=RETRIES,
            on_failure=aws_lambda_destinations.SqsDestination(data.schedules.dead_letter),
        )
        accept(
            self.function,
            "AwsSolutions-L1",
            "Every locked wheel is tested with this Python, the newest that the project supports; "
            "the compiled files are this version's.",
        )
        self._grant(environment, data)
        # Lambda refuses a destination that the role may not send to yet.
        self.function.node.find_child("EventInvokeConfig").node.add_dependency(self.role)

    def _grant(self, environment: Environment, data: TaskData) -> None:
        role = self.role
        grant(
            role,
            "Log",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [self.log_group.log_group_arn],
        )
        grant_firing(role, data)
        # Lambda sends what can't be fired with the function's own role:
        # docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        grant(
            role,
            "Send",
            ["sqs:SendMessage"],
            [
                *(arn for pair in data.queues.values() for arn in pair.lane_arns),
                data.schedules.dead_letter.queue_arn,
            ],
        )
        grant_artifacts(role, data, ["s3:GetObject", "s3:PutObject"])
        grant_waking(role, environment.prefix, data.queues)
        grant_key(role, data)
