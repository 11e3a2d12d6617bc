"""The HTTP API of a deployment: a Lambda function, and API Gateway in front of it.

The function is outside every VPC, since it calls AWS only.
"""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import RemovalPolicy, aws_iam, aws_lambda, aws_logs
from constructs import Construct

from celeriac.cdk.constructs.fire_function import FireFunction
from celeriac.cdk.constructs.http_api import HttpApi
from celeriac.cdk.convert import duration, retention
from celeriac.cdk.environment import Environment
from celeriac.cdk.function_code import RUNTIME, function_code
from celeriac.cdk.grants import (
    ITEM_ACTIONS,
    LIST_ACTION,
    grant,
    grant_artifacts,
    grant_key,
    grant_schedules,
    grant_task_records,
    grant_waking,
)
from celeriac.cdk.nag import accept
from celeriac.cdk.prices import FOLLOWING_MEMORY
from celeriac.cdk.sources import Sources
from celeriac.cdk.task_data import TaskData
from celeriac.settings import LONGEST_WAIT

# An HTTP API waits 30 s for its integration: the function ends first, so that it can say why.
# docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
FUNCTION_TIMEOUT = LONGEST_WAIT + timedelta(seconds=4)


#: What callers who follow a task ask for, again and again or with ``?wait=``.
FOLLOWED = "/tasks/{task_id}"


class TaskApi:
    """The functions with their role and their log, and the HTTP API that calls them.

    ``follower`` answers ``GET /tasks/{task_id}``, with its long polls, and ``function`` the rest.
    ``fire`` is called by EventBridge Scheduler.
    """

    def __init__(
        self, scope: Construct, *, environment: Environment, data: TaskData, sources: Sources
    ) -> None:
        self._environment = environment
        self._data = data
        self.log_group = aws_logs.LogGroup(
            scope,
            "Log",
            log_group_name=environment.log_group("api"),
            retention=retention(environment.log_retention),
            encryption_key=data.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(
            scope,
            "Role",
            description="What the HTTP API may do.",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        code = function_code(sources)
        self.function = self._function(
            scope,
            "Function",
            name="api",
            memory=environment.lambda_memory_mib,
            concurrency=environment.reserved_concurrency,
            code=code,
            sources=sources,
        )
        # A poll holds its function for seconds and needs next to no processor. In a function of its
        # own it costs a quarter, and followers can't take the concurrency that submissions need.
        self.follower = self._function(
            scope,
            "Follower",
            name="follow",
            memory=FOLLOWING_MEMORY,
            concurrency=environment.following_concurrency,
            code=code,
            sources=sources,
        )
        self.fire = FireFunction(
            scope, "Fire", environment=environment, data=data, sources=sources, code=code
        )
        self.http = HttpApi(
            scope,
            "Http",
            name=environment.prefix,
            function=self._called(self.function),
            functions={FOLLOWED: self._called(self.follower)},
            jwt=environment.jwt,
            domain=environment.domain,
            requests_per_second=environment.requests_per_second,
            burst=environment.request_burst,
            web_origins=environment.web_origins,
            docs=environment.docs,
            log_retention=environment.log_retention,
            key=data.key,
        )
        if data.mailing:
            # Nobody waits for a cold start here.
            data.mailing.deliver_to(scope, self.function)
        self._grant()
        self._accept()

    def _function(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        memory: int,
        concurrency: int | None,
        code: aws_lambda.Code,
        sources: Sources,
    ) -> aws_lambda.Function:
        environment = self._environment
        made = aws_lambda.Function(
            scope,
            id,
            function_name=f"{environment.prefix}-{name}",
            description="Celeriac's HTTP API.",
            code=code,
            handler=sources.handler,
            runtime=RUNTIME,
            architecture=aws_lambda.Architecture.ARM_64,
            memory_size=memory,
            timeout=duration(FUNCTION_TIMEOUT),
            role=self.role.without_policy_updates(),
            log_group=self.log_group,
            environment={**self._data.settings.to_environment(), **sources.function_variables},
            reserved_concurrent_executions=concurrency,
            snap_start=aws_lambda.SnapStartConf.ON_PUBLISHED_VERSIONS
            if environment.snap_start
            else None,
        )
        accept(
            made,
            "Annotation::@aws-cdk/aws-lambda:snapStartRequirePublish",
            "A version is published with each deployment, and the API calls it by its alias.",
        )
        accept(
            made,
            "AwsSolutions-L1",
            "Every locked wheel is tested with this Python, the newest that the project supports; "
            "the compiled files are this version's.",
        )
        return made

    def _called(self, function: aws_lambda.Function) -> aws_lambda.IFunction:
        # SnapStart starts published versions only, so the API calls the newest by its alias.
        return function.add_alias("live") if self._environment.snap_start else function

    @property
    def url(self) -> str:
        """Where the API answers."""
        return self.http.url

    @property
    def host(self) -> str:
        """The API's name in DNS, which a distribution before it takes as its origin."""
        return self.http.host

    def _grant(self) -> None:
        data, role = self._data, self.role
        grant(
            role,
            "Log",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [self.log_group.log_group_arn],
        )
        grant_task_records(role, data, [*ITEM_ACTIONS, LIST_ACTION])
        grant(
            role,
            "Queues",
            # A purge receives and deletes, so that it can end the tasks whose messages it removes.
            [
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            [arn for pair in data.queues.values() for arn in pair.lane_arns],
        )
        grant(
            role,
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
            role,
            "QueueAges",
            ["cloudwatch:GetMetricData"],
            ["*"],
            wildcard="cloudwatch:GetMetricData takes no resource.",
        )
        grant_artifacts(role, data, ["s3:GetObject", "s3:PutObject"])
        grant_waking(role, self._environment.prefix, data.queues)
        grant_schedules(role, data)
        grant_key(role, data)

    def _accept(self) -> None:
        accept(
            self.http,
            "AwsSolutions-APIG4",
            "Without a JWT authorizer the function checks its own keys; with one, health and the "
            "pages a browser opens before signing in stay public.",
        )
        accept(
            self.function,
            "Annotation::@aws-cdk/aws-lambda:addPermissionsToVersionOrAlias",
            "SNS calls the function without a version; API Gateway's permission is the alias's.",
        )
