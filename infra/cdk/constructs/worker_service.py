"""The Fargate service behind one queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction

from aws_cdk import Size, Stack, aws_ecs, aws_iam, aws_logs
from constructs import Construct

from infra.cdk.constructs.network import WorkerNetwork
from infra.cdk.durations import duration
from tasks.contract import Queue

# How long Fargate waits, at most, between SIGTERM and SIGKILL.
# docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
LONGEST_STOP = timedelta(seconds=120)
# What a worker needs once its drain window is over, to hand back what didn't finish.
HAND_BACK = timedelta(seconds=20)

_ECS_TASKS = "ecs-tasks.amazonaws.com"
CONTAINER = "worker"
# The one place a worker may write, and where the image points TMPDIR and HOME.
SCRATCH = "/tmp"  # noqa: S108  the container's own, not shared


class WorkerService(Construct):
    """A service of one queue's workers: its size from ``Fleet``, its count from nobody.

    The count is the scaling policies' business, so the template names none: a deployment would
    set it back. ``task_role`` can do nothing until it is granted.
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
    ) -> None:
        super().__init__(scope, id)
        fleet = queue.fleet
        self.queue = queue
        self.service_name = queue.queue_name
        self.task_role = aws_iam.Role(
            self,
            "TaskRole",
            description=f"What workers of the {queue.queue_name} queue may do.",
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
            runtime_platform=aws_ecs.RuntimePlatform(
                cpu_architecture=aws_ecs.CpuArchitecture.ARM64,
                operating_system_family=aws_ecs.OperatingSystemFamily.LINUX,
            ),
            task_role=self.task_role,
            execution_role=self.execution_role,
            volumes=[aws_ecs.Volume(name="scratch")],
        )
        self.container = self.task_definition.add_container(
            CONTAINER,
            image=image,
            command=["python", "-m", "worker"],
            environment={
                **environment,
                "CELERIAC_QUEUES": queue.queue_name,
                "CELERIAC_CONCURRENCY": str(fleet.processes),
            },
            secrets=dict(secrets) or None,
            health_check=aws_ecs.HealthCheck(
                command=["CMD", "python", "-m", "worker.health"],
                interval=duration(timedelta(seconds=30)),
                timeout=duration(timedelta(seconds=10)),
                retries=3,
                start_period=duration(timedelta(seconds=60)),
            ),
            logging=aws_ecs.LogDriver.aws_logs(
                stream_prefix=queue.queue_name,
                log_group=log_group,
                # A worker goes on when the log can't keep up, and drops lines, not tasks: metrics
                # too, which are lines. So there is more room than Docker's 1 MiB.
                mode=aws_ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=Size.mebibytes(25),
            ),
            readonly_root_filesystem=True,
            stop_timeout=duration(min(drain_window + HAND_BACK, LONGEST_STOP)),
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
            security_groups=[network.security_group],
            capacity_provider_strategies=_capacity(fleet.spot),
            circuit_breaker=aws_ecs.DeploymentCircuitBreaker(rollback=True),
            min_healthy_percent=100,
            max_healthy_percent=200,
            enable_execute_command=False,
            propagate_tags=aws_ecs.PropagatedTagSource.SERVICE,
        )
        # Routes and endpoints too: a worker that can't fetch its image fails the first deployment.
        # So does one whose execution role may not fetch it yet: of roles and their policies, CDK
        # lets a service wait for the task role's only.
        self.service.node.add_dependency(network, self.execution_role)


def _own_ecs_tasks(scope: Construct) -> aws_iam.ServicePrincipal:
    """ECS for tasks of this account and region alone, so that no other's can borrow the role."""
    # docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    stack = Stack.of(scope)
    return aws_iam.ServicePrincipal(
        _ECS_TASKS,
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": stack.format_arn(service="ecs", resource="*")},
        },
    )


def _capacity(spot: float) -> list[aws_ecs.CapacityProviderStrategy]:
    """Weights in the ratio of the share, as small as they can be: 0.7 is 7 to 3."""
    share = Fraction(spot).limit_denominator(20)
    weights = {
        "FARGATE_SPOT": share.numerator,
        "FARGATE": share.denominator - share.numerator,
    }
    return [
        aws_ecs.CapacityProviderStrategy(capacity_provider=provider, weight=weight)
        for provider, weight in weights.items()
        if weight
    ]
