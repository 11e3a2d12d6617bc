"""HTTP in: the function, and the API in front of it. Outside the VPC, which it has no need of."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import CfnOutput, RemovalPolicy, Stack, aws_iam, aws_lambda, aws_logs
from constructs import Construct

from celeriac.settings import LONGEST_WAIT
from infra.cdk.accepted import accept
from infra.cdk.bundling import RUNTIME, api_code
from infra.cdk.constructs.http_api import HttpApi
from infra.cdk.durations import duration, retention
from infra.cdk.environments import Environment
from infra.cdk.grants import (
    ITEM_ACTIONS,
    LIST_ACTION,
    grant,
    grant_artifacts,
    grant_schedules,
    grant_task_records,
    grant_waking,
)
from infra.cdk.stacks.data import Data
from infra.outputs import URL_OUTPUT, output_id
from tasks.contract import Queue

# An HTTP API waits 30 s for its integration: the function ends first, so that it can say why.
# docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
FUNCTION_TIMEOUT = LONGEST_WAIT + timedelta(seconds=4)


class Api(Stack):
    """The Lambda function, its HTTP API, and as outputs every setting that it runs with."""

    def __init__(self, scope: Construct, id: str, *, environment: Environment, data: Data) -> None:
        super().__init__(
            scope,
            id,
            stack_name=f"{environment.prefix}-api",
            description="Celeriac: the HTTP API.",
        )
        self.log_group = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/{environment.prefix.replace('-', '/', 1)}/api",
            retention=retention(environment.log_retention),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(
            self,
            "Role",
            description="What the HTTP API may do.",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.function = aws_lambda.Function(
            self,
            "Function",
            function_name=f"{environment.prefix}-api",
            description="Celeriac's HTTP API.",
            code=api_code(),
            handler="api.handler.handler",
            runtime=RUNTIME,
            architecture=aws_lambda.Architecture.ARM_64,
            memory_size=environment.lambda_memory_mib,
            timeout=duration(FUNCTION_TIMEOUT),
            role=self.role.without_policy_updates(),
            log_group=self.log_group,
            environment=data.settings.to_environment(),
            snap_start=aws_lambda.SnapStartConf.ON_PUBLISHED_VERSIONS
            if environment.snap_start
            else None,
        )
        self.http = HttpApi(
            self,
            "Http",
            name=environment.prefix,
            # SnapStart starts published versions only, so the API calls the newest by its alias.
            function=self.function.add_alias("live") if environment.snap_start else self.function,
            jwt=environment.jwt,
            domain=environment.domain,
            requests_per_second=environment.requests_per_second,
            burst=environment.request_burst,
            log_retention=environment.log_retention,
        )
        self._grant(environment, data)
        CfnOutput(self, URL_OUTPUT, value=self.http.url, description="Where the API answers.")
        for name, value in data.settings.to_environment().items():
            CfnOutput(self, output_id(name), value=value, description=f"The setting {name}.")
        self._accept()

    def _grant(self, environment: Environment, data: Data) -> None:
        grant(
            self.role,
            "Log",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [self.log_group.log_group_arn],
        )
        grant_task_records(self.role, data, [*ITEM_ACTIONS, LIST_ACTION])
        grant(
            self.role,
            "Queues",
            # A purge receives and deletes, so that it can end the tasks of what it removes.
            [
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            [pair.queue.queue_arn for pair in data.queues.values()],
        )
        grant(
            self.role,
            "DeadLetters",
            [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
            ],
            [pair.dead_letter.queue_arn for pair in data.queues.values()],
        )
        grant(
            self.role,
            "QueueAges",
            ["cloudwatch:GetMetricData"],
            ["*"],
            wildcard="cloudwatch:GetMetricData takes no resource.",
        )
        grant_artifacts(self.role, data, ["s3:GetObject", "s3:PutObject"])
        grant_waking(self.role, environment.prefix, Queue)
        grant_schedules(self.role, data)

    def _accept(self) -> None:
        accept(
            self.http,
            "AwsSolutions-APIG4",
            "Without a JWT authorizer the function checks its own keys; with one, health and the "
            "pages a browser opens before signing in stay public.",
        )
        accept(
            self.function,
            "Annotation::@aws-cdk/aws-lambda:snapStartRequirePublish",
            "A version is published with each deployment, and the API calls it by its alias.",
        )
        accept(
            self.function,
            "AwsSolutions-L1",
            "The newest Python whose every locked wheel is tested here is shipped; the compiled "
            "files are this version's.",
        )
