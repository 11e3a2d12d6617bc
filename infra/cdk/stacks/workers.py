"""The workers: one Fargate service for each queue, and the network they call out from."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import (
    IgnoreMode,
    RemovalPolicy,
    Stack,
    aws_ecr_assets,
    aws_ecs,
    aws_iam,
    aws_logs,
    aws_secretsmanager,
)
from constructs import Construct

from celeriac.settings import PREFIX
from infra.cdk.accepted import accept
from infra.cdk.constructs.network import WorkerNetwork
from infra.cdk.constructs.queue_metrics import QueueMetrics
from infra.cdk.constructs.worker_scaling import WorkerScaling
from infra.cdk.constructs.worker_service import WorkerService
from infra.cdk.durations import retention
from infra.cdk.environments import Environment
from infra.cdk.grants import (
    ITEM_ACTIONS,
    LIST_ACTION,
    grant,
    grant_artifacts,
    grant_leaving,
    grant_schedules,
    grant_task_records,
    grant_waking,
)
from infra.cdk.scaling import scaling
from infra.cdk.stacks.data import Data
from tasks.contract import Catalogue, Queue

ROOT = Path(__file__).parents[3]

# What the image is made of; a change elsewhere makes no new image.
IMAGE_SOURCES = ("celeriac", "locks", "tasks", "worker")

HTTPS = {443: "AWS, and what tasks call"}
SMTP = {465: "mail over TLS", 587: "mail over STARTTLS"}


class Workers(Stack):
    """Network, cluster, image, and a service with its scaling for each queue."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        catalogue: Catalogue,
        data: Data,
    ) -> None:
        super().__init__(
            scope,
            id,
            stack_name=f"{environment.prefix}-workers",
            description="Celeriac: the workers, one Fargate service for each queue.",
        )
        self.network = WorkerNetwork(
            self,
            "Network",
            mode=environment.network,
            ports=HTTPS | SMTP if environment.smtp_secret_arn else HTTPS,
            mail=environment.mail_from is not None,
        )
        self.cluster = aws_ecs.Cluster(
            self,
            "Cluster",
            cluster_name=environment.prefix,
            vpc=self.network.vpc,
            container_insights_v2=aws_ecs.ContainerInsights.DISABLED,
        )
        _let_run_on_fargate(self.cluster)
        self.log_group = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=data.settings.worker_log_group,
            retention=retention(environment.log_retention),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.image = aws_ecr_assets.DockerImageAsset(
            self,
            "Image",
            directory=str(ROOT),
            file="worker/Dockerfile",
            platform=aws_ecr_assets.Platform.LINUX_ARM64,
            exclude=["*", *(f"!{each}" for each in IMAGE_SOURCES), "**/__pycache__"],
            ignore_mode=IgnoreMode.DOCKER,
        )
        self.services = {
            queue: self._service(queue, environment=environment, catalogue=catalogue, data=data)
            for queue in Queue
        }
        accept(
            self.cluster,
            "AwsSolutions-ECS4",
            "Container Insights costs more than these small fleets' alarms; running workers are "
            "counted by the CPU samples that ECS publishes for nothing.",
        )
        accept(
            self.network.vpc,
            "AwsSolutions-VPC7",
            "Nothing in this network listens; what workers do is in their logs and task records.",
        )

    def _service(
        self, queue: Queue, *, environment: Environment, catalogue: Catalogue, data: Data
    ) -> WorkerService:
        name = queue.name.title()
        metrics = QueueMetrics(
            queue_name=data.queues[queue].queue.queue_name,
            cluster_name=self.cluster.cluster_name,
            service_name=queue.queue_name,
        )
        service = WorkerService(
            self,
            f"{name}Workers",
            queue=queue,
            cluster=self.cluster,
            image=aws_ecs.ContainerImage.from_docker_image_asset(self.image),
            network=self.network,
            log_group=self.log_group,
            environment=data.settings.to_environment(),
            secrets=self._secrets(environment, name),
            drain_window=data.settings.drain_window,
        )
        WorkerScaling(
            self,
            f"{name}Scaling",
            prefix=environment.prefix,
            cluster_name=environment.prefix,
            service_name=queue.queue_name,
            service=service.service,
            scaling=scaling(
                queue, catalogue, oldest_age=environment.oldest_age, idle=environment.idle
            ),
            metrics=metrics,
        )
        self._grant(service.task_role, queue, environment=environment, data=data)
        accept(
            service.task_definition,
            "AwsSolutions-ECS2",
            "The variables name resources; none is a secret.",
        )
        accept(
            service.execution_role,
            "AwsSolutions-IAM5[Resource::*]",
            "ecr:GetAuthorizationToken takes no resource.",
        )
        return service

    def _secrets(self, environment: Environment, name: str) -> dict[str, aws_ecs.Secret]:
        if not environment.smtp_secret_arn:
            return {}
        secret = aws_secretsmanager.Secret.from_secret_complete_arn(
            self, f"{name}Smtp", environment.smtp_secret_arn
        )
        return {f"{PREFIX}SMTP_URL": aws_ecs.Secret.from_secrets_manager(secret)}

    def _grant(
        self, role: aws_iam.Role, queue: Queue, *, environment: Environment, data: Data
    ) -> None:
        grant(
            role,
            "OwnQueue",
            [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:ReceiveMessage",
            ],
            [data.queues[queue].queue.queue_arn],
        )
        grant(
            role,
            # Retries, the next step of a chain, poison that is set aside.
            "SendTasks",
            ["sqs:SendMessage"],
            [
                each.queue_arn
                for pair in data.queues.values()
                for each in (pair.queue, pair.dead_letter)
            ],
        )
        lists = [LIST_ACTION] if queue is Queue.MAINTENANCE else []
        grant_task_records(role, data, [*ITEM_ACTIONS, *lists])
        grant_artifacts(
            role,
            data,
            ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
        )
        if queue is Queue.MAINTENANCE:
            # The repair sends a task again only if its queue is empty.
            grant(
                role,
                "QueueDepths",
                ["sqs:GetQueueAttributes"],
                [pair.queue.queue_arn for pair in data.queues.values()],
            )
        grant_schedules(role, data)
        grant_waking(role, environment.prefix, (each for each in Queue if each is not queue))
        grant_leaving(role, environment.prefix, queue, data)
        if queue is Queue.EMAIL and environment.mail_from:
            grant(
                role,
                "Mail",
                ["ses:SendEmail", "ses:SendRawEmail"],
                [self.format_arn(service="ses", resource="identity", resource_name="*")],
                # docs.aws.amazon.com/service-authorization/latest/reference/list_amazonses.html
                conditions={"StringEquals": {"ses:FromAddress": environment.mail_from}},
                wildcard="In its sandbox SES asks for recipients' identities too, those that this "
                "account has verified; the sender is the deployment's own.",
            )
            grant(
                role,
                "SuppressionList",
                ["ses:GetSuppressedDestination"],
                ["*"],
                wildcard="The suppression list is the account's; AWS names no resource for it.",
            )


def _let_run_on_fargate(cluster: aws_ecs.Cluster) -> None:
    """Name the capacity providers on the cluster itself, which goes after its services.

    ``enable_fargate_capacity_providers`` makes a resource of its own that no service depends on:
    destroying, CloudFormation takes it from under them, and ECS refuses (aws-cdk issue 15366).
    """
    resource = cluster.node.default_child
    if not isinstance(resource, aws_ecs.CfnCluster):
        raise TypeError(f"A cluster was expected to be made of a CfnCluster, not of {resource!r}.")
    resource.capacity_providers = ["FARGATE", "FARGATE_SPOT"]
