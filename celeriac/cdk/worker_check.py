"""Checks each fleet's new image before its service changes.

A fleet that sleeps starts no worker while it is deployed, so ECS's circuit breaker doesn't notice
a broken image. A custom resource therefore runs the new task definition once, as
``celeriac worker --check``. A failure there fails the deployment, which CloudFormation rolls back.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from aws_cdk import (
    CustomResource,
    RemovalPolicy,
    Stack,
    aws_ecs,
    aws_iam,
    aws_kms,
    aws_lambda,
    aws_logs,
)
from constructs import Construct

from celeriac.cdk import worker_check_handler
from celeriac.cdk.constructs.network import WorkerNetwork, chosen_subnets
from celeriac.cdk.constructs.worker_service import CONTAINER, WorkerService
from celeriac.cdk.convert import duration, retention
from celeriac.cdk.grants import grant
from celeriac.cdk.nag import accept

RUNTIME = aws_lambda.Runtime.PYTHON_3_13
TYPE = "Custom::CeleriacWorkerCheck"
COMMAND = ["python", "-m", "celeriac.worker", "--check"]
#: Lambda's own limit.
_LONGEST = timedelta(minutes=15)


class WorkerCheck(Construct):
    """The function behind the checks; ``add`` puts one before a fleet's service."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        cluster: aws_ecs.ICluster,
        network: WorkerNetwork,
        log_group: aws_logs.ILogGroup,
        log_retention: timedelta,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._cluster = cluster
        self._network = network
        self._log_group = log_group
        own_log = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{prefix}-check",
            retention=retention(log_retention),
            encryption_key=key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = aws_iam.Role(
            self,
            "Role",
            description="Runs one worker of each fleet before its service changes.",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.function = aws_lambda.Function(
            self,
            "Function",
            function_name=f"{prefix}-check",
            description="Checks a fleet's new image before its service changes.",
            code=aws_lambda.InlineCode(_source()),
            handler="index.handler",
            runtime=RUNTIME,
            architecture=aws_lambda.Architecture.ARM_64,
            memory_size=128,
            timeout=duration(_LONGEST),
            role=self.role.without_policy_updates(),
            log_group=own_log,
        )
        stack = Stack.of(self)
        grant(
            self.role,
            "Log",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [own_log.log_group_arn],
        )
        grant(self.role, "Stack", ["cloudformation:DescribeStacks"], [stack.stack_id])
        grant(
            self.role,
            "Check",
            ["ecs:DescribeTasks", "ecs:StopTask"],
            [stack.format_arn(service="ecs", resource="task", resource_name=f"{prefix}/*")],
            wildcard="ECS names a task when it starts it; the cluster is the deployment's own.",
        )
        accept(
            self.function,
            "AwsSolutions-L1",
            "The Python that the API's function has too, the newest that the project supports.",
        )

    def add(self, service: WorkerService, number: int) -> None:
        """Check this service's task definition, each time that it changes, before the service.

        ``number`` tells its statements from those of other services.
        """
        grant(
            self.role,
            f"Start{number}",
            ["ecs:RunTask"],
            [
                Stack.of(self).format_arn(
                    service="ecs",
                    resource="task-definition",
                    resource_name=f"{service.task_definition.family}:*",
                )
            ],
            wildcard="Each deployment makes another revision of the task definition.",
        )
        grant(
            self.role,
            f"Roles{number}",
            ["iam:PassRole"],
            [service.role.role_arn, service.execution_role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        )
        check = CustomResource(
            self,
            service.node.id,
            resource_type=TYPE,
            service_token=self.function.function_arn,
            service_timeout=duration(_LONGEST),
            properties={
                "Fleet": service.service_name,
                "Cluster": self._cluster.cluster_name,
                "Log": f"{self._log_group.log_group_name}, {service.service_name}/{CONTAINER}",
                "Run": Stack.of(self).to_json_string(self._run(service)),
            },
        )
        check.node.add_dependency(
            self.role,
            service.role,
            service.execution_role,
            self._network,
            self._network.vpc.internet_connectivity_established,
        )
        service.service.node.add_dependency(check)

    def _run(self, service: WorkerService) -> dict[str, object]:
        """The parameters of ECS's ``RunTask``."""
        network = self._network
        chosen = chosen_subnets(network.vpc, network.subnets)
        return {
            "cluster": self._cluster.cluster_name,
            "taskDefinition": service.task_definition.task_definition_arn,
            "launchType": "FARGATE",
            "count": 1,
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": chosen.subnet_ids,
                    "securityGroups": [each.security_group_id for each in network.security_groups],
                    "assignPublicIp": "ENABLED" if network.assign_public_ip else "DISABLED",
                }
            },
            "overrides": {"containerOverrides": [{"name": CONTAINER, "command": COMMAND}]},
        }


def _source() -> str:
    """The handler, without its own docstring, which counts as code."""
    text = Path(worker_check_handler.__file__).read_text("utf-8")
    return text.split('"""\n', 2)[-1].lstrip()
