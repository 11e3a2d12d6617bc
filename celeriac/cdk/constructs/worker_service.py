"""The Fargate service behind one queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction

from aws_cdk import Size, Stack, aws_ecs, aws_iam, aws_logs
from constructs import Construct

from celeriac.cdk.constructs.fargate import check_size
from celeriac.cdk.constructs.network import WorkerNetwork
from celeriac.cdk.convert import duration
from celeriac.contract import Queue
from celeriac.contract.fleets import Architecture

# How long Fargate waits, at most, between SIGTERM and SIGKILL.
# docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
LONGEST_STOP = timedelta(seconds=120)
# The time a worker needs after its drain window to return the messages it didn't finish.
RETURNING = timedelta(seconds=20)

_ECS_TASKS = "ecs-tasks.amazonaws.com"
CONTAINER = "worker"
_HEAVIEST = 1000
_ARCHITECTURES: dict[Architecture, aws_ecs.CpuArchitecture] = {
    "arm64": aws_ecs.CpuArchitecture.ARM64,
    "x86_64": aws_ecs.CpuArchitecture.X86_64,
}
# The one place a worker may write, and where the image points TMPDIR and HOME.
SCRATCH = "/tmp"  # noqa: S108  the container's own, not shared


class WorkerService(Construct):
    """A service of one queue's workers, each of its ``Fleet``'s size.

    The template names no count of workers: the scaling policies set it, and a deployment would
    reset it. ``role`` can do nothing until it is granted.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        queue: Queue,
        cluster: aws_ecs.Cluster,
        image: aws_ecs.ContainerImage,
        network: WorkerNetwork,
        log_group: aws_logs.ILogGroup,
        environment: Mapping[str, str],
        secrets: Mapping[str, aws_ecs.Secret],
        drain_window: timedelta,
        spot: float,
    ) -> None:
        super().__init__(scope, id)
        fleet = queue.fleet
        check_size(queue)
        self.queue = queue
        self.service_name = queue.name
        self.role = aws_iam.Role(
            self,
            "TaskRole",
            description=f"What workers of the {queue.name} queue may do.",
            assumed_by=_own_ecs_tasks(self),
        )
        self.execution_role = aws_iam.Role(
            self,
            "ExecutionRole",
            description="ECS fetches the image and opens the log with it.",
            # Without the conditions of the task role, which AWS documents for that one only:
            # docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
            assumed_by=aws_iam.ServicePrincipal(_ECS_TASKS),
        )
        self.task_definition = aws_ecs.FargateTaskDefinition(
            self,
            "Task",
            cpu=fleet.cpu,
            memory_limit_mib=fleet.memory,
            ephemeral_storage_gib=fleet.ephemeral_storage,
            runtime_platform=aws_ecs.RuntimePlatform(
                cpu_architecture=_ARCHITECTURES[fleet.architecture],
                operating_system_family=aws_ecs.OperatingSystemFamily.LINUX,
            ),
            task_role=self.role,
            execution_role=self.execution_role,
            volumes=[aws_ecs.Volume(name="scratch")],
        )
        self.container = self.task_definition.add_container(
            CONTAINER,
            image=image,
            command=["python", "-m", "celeriac.worker"],
            environment={
                **environment,
                "CELERIAC_QUEUES": queue.name,
                "CELERIAC_CONCURRENCY": str(fleet.processes),
            },
            secrets=dict(secrets) or None,
            health_check=aws_ecs.HealthCheck(
                command=["CMD", "python", "-m", "celeriac.worker.health"],
                interval=duration(timedelta(seconds=30)),
                timeout=duration(timedelta(seconds=10)),
                retries=3,
                start_period=duration(timedelta(seconds=60)),
            ),
            logging=aws_ecs.LogDriver.aws_logs(
                stream_prefix=queue.name,
                log_group=log_group,
                # If the log can't keep up, a worker drops lines and keeps running. Metrics are
                # lines too, so the buffer is larger than Docker's 1 MiB.
                mode=aws_ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=Size.mebibytes(25),
            ),
            readonly_root_filesystem=True,
            # Ends what programs that tasks have started leave behind.
            linux_parameters=aws_ecs.LinuxParameters(self, "Init", init_process_enabled=True),
            stop_timeout=duration(min(drain_window + RETURNING, LONGEST_STOP)),
        )
        self.container.add_mount_points(
            aws_ecs.MountPoint(container_path=SCRATCH, source_volume="scratch", read_only=False)
        )
        self.service = aws_ecs.FargateService(
            self,
            "Service",
            service_name=self.service_name,
            cluster=cluster,
            task_definition=self.task_definition,
            assign_public_ip=network.assign_public_ip,
            vpc_subnets=network.subnets,
            security_groups=network.security_groups,
            capacity_provider_strategies=capacity(spot),
            circuit_breaker=aws_ecs.DeploymentCircuitBreaker(rollback=True),
            min_healthy_percent=100,
            max_healthy_percent=200,
            # After a scale-in, ECS would start a worker in the emptier zone, and stop another.
            # Workers have no listener, so they gain nothing, and are replaced for no reason.
            # docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html: it is on by
            # default.
            availability_zone_rebalancing=aws_ecs.AvailabilityZoneRebalancing.DISABLED,
            enable_execute_command=False,
            propagate_tags=aws_ecs.PropagatedTagSource.SERVICE,
        )
        # A worker that can't fetch its image fails the first deployment: it needs routes, endpoints
        # and the execution role's policy. CDK makes a service wait for the task role's policy only.
        self.service.node.add_dependency(
            network, network.vpc.internet_connectivity_established, self.execution_role
        )


def _own_ecs_tasks(scope: Construct) -> aws_iam.ServicePrincipal:
    """ECS for tasks of this account and region alone: no other account can borrow the role."""
    # docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    stack = Stack.of(scope)
    return aws_iam.ServicePrincipal(
        _ECS_TASKS,
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": stack.format_arn(service="ecs", resource="*")},
        },
    )


def capacity(spot: float) -> list[aws_ecs.CapacityProviderStrategy]:
    """The smallest weights in the ratio of the share: 0.7 is 7 to 3. The first is on demand.

    A fleet that Spot has nothing for still has that one, unless all of it is to be on Spot: ECS
    places nothing with a provider of weight 0. A weight is at most 1,000.
    docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
    """
    ratio = Fraction(spot).limit_denominator(_HEAVIEST)
    strategies = {
        "FARGATE": ratio.denominator - ratio.numerator,
        "FARGATE_SPOT": ratio.numerator,
    }
    return [
        aws_ecs.CapacityProviderStrategy(
            capacity_provider=provider,
            weight=weight,
            base=1 if provider == "FARGATE" else None,
        )
        for provider, weight in strategies.items()
        if weight
    ]
