"""Granting: explicit actions on named resources, and a reason for each wildcard.

CDK's ``grant_…`` methods give more than is used (``dynamodb:*Scan``, ``s3:List*``), so each stack
writes its own from here. What API and workers both need is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import Stack, aws_iam

from celeriac.topology import HEARTBEATS
from infra.cdk.accepted import accept
from infra.cdk.stacks.data import Data
from tasks.contract import Queue

ITEM_ACTIONS = (
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)
#: Tasks by tenant, for those who list them.
LIST_ACTION = "dynamodb:Query"


def grant(
    role: aws_iam.Role,
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    *,
    conditions: Mapping[str, Mapping[str, str | list[str]]] | None = None,
    wildcard: str | None = None,
) -> None:
    """Let a role do this. ``wildcard`` says why, where a resource has to end in ``*``.

    Raises:
        ValueError: a resource has a wildcard and no reason was given.
    """
    role.add_to_policy(
        aws_iam.PolicyStatement(
            sid=sid,
            actions=list(actions),
            resources=list(resources),
            conditions=dict(conditions) if conditions else None,
        )
    )
    for resource in resources:
        if "*" in resource:
            if not wildcard:
                raise ValueError(f"{sid} grants {resource}: say why with wildcard=….")
            accept(role, f"AwsSolutions-IAM5[Resource::{_as_reported(role, resource)}]", wildcard)


def grant_task_records(role: aws_iam.Role, data: Data, actions: Sequence[str]) -> None:
    """Reach items one by one, or by a key's query; never a scan, never the table itself."""
    grant(role, "TaskRecords", actions, data.table.arns)


def grant_artifacts(role: aws_iam.Role, data: Data, actions: Sequence[str]) -> None:
    """Reach the objects under ``tenants/``.

    Listing is granted for what it does besides: without it S3 answers for a key that isn't there
    with 403 instead of 404. docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    grant(role, "ArtifactNames", ["s3:ListBucket"], [data.artifacts.bucket.bucket_arn])
    grant(
        role,
        "Artifacts",
        actions,
        [data.artifacts.objects],
        wildcard="An artifact's key holds its tenant and its task, known at run time.",
    )


def grant_schedules(role: aws_iam.Role, data: Data) -> None:
    """Make schedules in the deployment's group, which send with the deployment's role."""
    grant(
        role,
        "Schedules",
        ["scheduler:CreateSchedule"],
        [data.schedules.schedule_arns],
        wildcard="A schedule is named when it is made; the group is the deployment's own.",
    )
    grant(
        role,
        "ScheduleRole",
        ["iam:PassRole"],
        [data.schedules.role.role_arn],
        conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
    )


def grant_waking(role: aws_iam.Role, prefix: str, queues: Iterable[Queue]) -> None:
    """Start the first worker of these queues' services."""
    services = [_service(role, prefix, queue) for queue in queues]
    grant(role, "WakeWorkers", ["ecs:DescribeServices", "ecs:UpdateService"], services)


def grant_leaving(role: aws_iam.Role, prefix: str, queue: Queue, data: Data) -> None:
    """Be protected while busy, and look which of this queue's workers are to go."""
    stack = Stack.of(role)
    grant(
        role,
        "TaskProtection",
        ["ecs:UpdateTaskProtection"],
        [stack.format_arn(service="ecs", resource="task", resource_name=f"{prefix}/*")],
        wildcard="ECS names a task when it starts it; the cluster is the deployment's own.",
    )
    grant(role, "OwnService", ["ecs:DescribeServices"], [_service(role, prefix, queue)])
    grant(
        role,
        "Heartbeats",
        [LIST_ACTION],
        [data.table.table.table_arn],
        conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [HEARTBEATS]}},
    )


def _service(role: aws_iam.Role, prefix: str, queue: Queue) -> str:
    return Stack.of(role).format_arn(
        service="ecs", resource="service", resource_name=f"{prefix}/{queue.queue_name}"
    )


def _as_reported(role: aws_iam.Role, arn: str) -> str:
    """An ARN as cdk-nag writes it, with ``<AWS::Region>`` for a reference."""

    def flat(value: Any) -> str:
        match value:
            case str():
                return value
            case {"Ref": str(name)}:
                return f"<{name}>"
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(map(flat, parts))
            case _:
                raise TypeError(f"{value!r} can't stand in an ARN with a wildcard.")

    return flat(Stack.of(role).resolve(arn))
