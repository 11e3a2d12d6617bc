"""The workers of a deployment: one Fargate service for each queue."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TypeVar

from aws_cdk import RemovalPolicy, aws_ecs, aws_logs, aws_secretsmanager
from constructs import Construct

from celeriac.cdk.constructs.network import OwnNetwork, WorkerNetwork
from celeriac.cdk.constructs.queue_metrics import QueueMetrics
from celeriac.cdk.constructs.worker_scaling import WorkerScaling
from celeriac.cdk.constructs.worker_service import WorkerService
from celeriac.cdk.convert import retention
from celeriac.cdk.environment import Environment
from celeriac.cdk.fleet_images import FleetImages
from celeriac.cdk.grants import (
    grant,
    grant_artifacts,
    grant_key,
    grant_mail,
    grant_own_records,
    grant_own_service,
    grant_repair,
    grant_schedules,
    grant_waking,
)
from celeriac.cdk.mail import MAIL, most_workers
from celeriac.cdk.nag import accept
from celeriac.cdk.reach import AnySecret, allow, container_secrets
from celeriac.cdk.scaling import scaling
from celeriac.cdk.sources import Sources
from celeriac.cdk.spot import share
from celeriac.cdk.task_data import TaskData
from celeriac.cdk.worker_check import WorkerCheck
from celeriac.contract import Catalogue, Queue

T = TypeVar("T")

#: The task type that repairs what a lost message left, if the catalogue has it.
REPAIR = "cleanup"


class WorkerFleets:
    """Cluster, log group, image, and for each queue a service with its scaling and its role.

    ``variables`` and ``secrets`` reach every worker, with the deployment's settings and the
    variables of the environment and of the queue's fleet. If a name is in several, the fleet's
    value wins, and then that of ``variables`` or ``secrets``.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        environment: Environment,
        catalogue: Catalogue,
        data: TaskData,
        network: WorkerNetwork,
        sources: Sources,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, AnySecret] | None = None,
    ) -> None:
        self._environment = environment
        self._catalogue = catalogue
        self._data = data
        self.network = network
        self.cluster = aws_ecs.Cluster(
            scope,
            "Cluster",
            cluster_name=environment.prefix,
            vpc=network.vpc,
            container_insights_v2=aws_ecs.ContainerInsights.DISABLED,
        )
        _let_run_on_fargate(self.cluster)
        self.log_group = aws_logs.LogGroup(
            scope,
            "Log",
            log_group_name=environment.log_group("workers"),
            retention=retention(environment.log_retention),
            encryption_key=data.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._images = FleetImages(
            scope,
            sources=sources,
            pip_config=environment.pip_config,
            isolated=isinstance(network, OwnNetwork) and environment.network == "endpoints",
        )
        self._variables = {
            **data.settings.to_environment(),
            **sources.worker_variables,
            **environment.environment,
            **(variables or {}),
        }
        self._secrets = {
            **_smtp(scope, environment),
            **container_secrets(
                scope,
                {
                    **_without(variables or {}, environment.secrets),
                    **(secrets or {}),
                },
            ),
        }
        check = WorkerCheck(
            scope,
            "Check",
            prefix=environment.prefix,
            cluster=self.cluster,
            network=network,
            log_group=self.log_group,
            log_retention=environment.log_retention,
            key=data.key,
        )
        self.services = {queue: self._service(scope, queue) for queue in catalogue.queues}
        for number, service in enumerate(self.services.values(), 1):
            check.add(service, number)
        accept(
            self.cluster,
            "AwsSolutions-ECS4",
            "Container Insights costs more than these small fleets' alarms; running workers are "
            "counted by the CPU samples that ECS publishes for nothing.",
        )

    def service_of(self, task_type: str) -> WorkerService | None:
        """The service whose workers run this task type, if the catalogue has it."""
        if task_type not in self._catalogue:
            return None
        return self.services[self._catalogue[task_type].queue]

    def _service(self, scope: Construct, queue: Queue) -> WorkerService:
        environment = self._environment
        fleet, name = queue.fleet, queue.name.title()
        secrets = {
            **_without(fleet.environment, self._secrets),
            **container_secrets(Construct(scope, f"{name}Secrets"), fleet.secrets),
        }
        variables = _without(secrets, {**self._variables, **fleet.environment})
        service = WorkerService(
            scope,
            f"{name}Workers",
            queue=queue,
            cluster=self.cluster,
            image=self._images.of(queue.fleet, name),
            network=self.network,
            log_group=self.log_group,
            environment=variables,
            secrets=secrets,
            drain_window=self._data.settings.drain_window,
            spot=share(queue, self._catalogue),
        )
        WorkerScaling(
            scope,
            f"{name}Scaling",
            prefix=environment.prefix,
            cluster_name=environment.prefix,
            service_name=queue.name,
            service=service.service,
            scaling=scaling(
                queue,
                self._catalogue,
                oldest_age=environment.oldest_age,
                idle=environment.idle,
                most=most_workers(queue, self._catalogue, environment.ses_mail),
            ),
            metrics=QueueMetrics(
                queue=self._data.queues[queue],
                cluster_name=self.cluster.cluster_name,
                service_name=queue.name,
            ),
        )
        self._grant(service)
        for policy in (environment.policy, fleet.policy):
            allow(service.role, policy, queue)
        accept(
            service.task_definition,
            "AwsSolutions-ECS2",
            "The variables name resources; secrets come from Secrets Manager or Parameter Store.",
        )
        accept(
            service.execution_role,
            "AwsSolutions-IAM5[Resource::*]",
            "ecr:GetAuthorizationToken takes no resource.",
        )
        return service

    def _grant(self, service: WorkerService) -> None:
        role, queue, data = service.role, service.queue, self._data
        prefix = self._environment.prefix
        grant(
            role,
            "OwnQueue",
            [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:ReceiveMessage",
            ],
            data.queues[queue].lane_arns,
        )
        grant(
            role,
            # Retries, the next step of a chain, poison that is set aside.
            "SendTasks",
            ["sqs:SendMessage"],
            [
                arn
                for pair in data.queues.values()
                for arn in (*pair.lane_arns, pair.dead_letter.queue_arn)
            ],
        )
        grant_own_records(role, data)
        grant_artifacts(
            role,
            data,
            ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
        )
        grant_schedules(role, data)
        grant_key(role, data)
        grant_waking(role, prefix, (each for each in data.queues if each != queue))
        grant_own_service(role, prefix, queue, data)
        if self._runs(REPAIR, queue):
            grant_repair(role, data)
        if self._runs(MAIL, queue) and (mail := self._environment.ses_mail):
            grant_mail(role, mail.sender, configuration_set=prefix)

    def _runs(self, task_type: str, queue: Queue) -> bool:
        return task_type in self._catalogue and self._catalogue[task_type].queue == queue


def _without(names: Container[str], values: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in values.items() if name not in names}


def _smtp(scope: Construct, environment: Environment) -> dict[str, aws_ecs.Secret]:
    """The SMTP server's URL, which holds its password."""
    if not environment.smtp_secret_arn:
        return {}
    secret = aws_secretsmanager.Secret.from_secret_complete_arn(
        scope, "Smtp", environment.smtp_secret_arn
    )
    return {"CELERIAC_SMTP_URL": aws_ecs.Secret.from_secrets_manager(secret)}


def _let_run_on_fargate(cluster: aws_ecs.Cluster) -> None:
    """Name the capacity providers on the cluster itself, which is deleted after its services.

    ``enable_fargate_capacity_providers`` makes a resource that no service depends on.
    CloudFormation deletes it while services still use it, which ECS refuses (aws-cdk issue 15366).
    """
    resource = cluster.node.default_child
    if not isinstance(resource, aws_ecs.CfnCluster):
        raise TypeError(f"A cluster was expected to be made of a CfnCluster, not of {resource!r}.")
    resource.capacity_providers = ["FARGATE", "FARGATE_SPOT"]
