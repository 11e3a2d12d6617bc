"""Grants: explicit actions on named resources, and a reason for each wildcard.

CDK's ``grant_…`` methods give more than the code uses (``dynamodb:*Scan``, ``s3:List*``), so every
role's policy is written with these. Grants that the API and the workers share are written once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_cdk import Stack, aws_iam

from celeriac.contract import Queue
from celeriac.records.items import partition
from celeriac.topology import (
    FIRINGS,
    GROUPS,
    HEARTBEATS,
    LIMITS,
    PAUSES,
    REQUESTS,
    SAME,
    SCHEDULES_OF,
    STAMPS,
    TOLD,
    UNFINISHED,
    UNFINISHED_COUNTS,
)

if TYPE_CHECKING:
    from celeriac.cdk.task_data import TaskData
from celeriac.cdk.constructs.mailing import configuration_set_arn
from celeriac.cdk.nag import accept

ITEM_ACTIONS = (
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)
#: Lists tasks by tenant.
LIST_ACTION = "dynamodb:Query"
#: What ``celeriac.schedules`` and delays of over 15 minutes ask of EventBridge Scheduler.
SCHEDULE_ACTIONS = (
    "scheduler:CreateSchedule",
    "scheduler:DeleteSchedule",
    "scheduler:UpdateSchedule",
)


def grant(
    role: aws_iam.Role,
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    *,
    conditions: Mapping[str, Mapping[str, str | list[str]]] | None = None,
    wildcard: str | None = None,
) -> None:
    """Let a role do this. ``wildcard`` is the reason why a resource ends in ``*``.

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
            accept(
                role,
                f"AwsSolutions-IAM5[Resource::{as_reported(Stack.of(role).resolve(resource))}]",
                wildcard,
            )


def grant_task_records(role: aws_iam.Role, data: TaskData, actions: Sequence[str]) -> None:
    """Reach items by their keys or by a query; never by a scan, and never the table itself."""
    grant(role, "TaskRecords", actions, data.table.arns)


def grant_own_records(role: aws_iam.Role, data: TaskData) -> None:
    """Reach tasks, what is kept about them, schedules and heartbeats, as workers must.

    API keys are items of the same table. A worker that is taken over, by a file that
    it reads, can neither read nor write them.
    """
    _grant_partitions(
        role,
        "TaskRecords",
        ITEM_ACTIONS,
        data,
        [
            partition("*"),
            f"{GROUPS}*",
            f"{TOLD}*",
            f"{STAMPS}*",
            f"{LIMITS}*",
            f"{SAME}*",
            f"{SCHEDULES_OF}*",
            f"{FIRINGS}*",
            HEARTBEATS,
        ],
    )
    _grant_partitions(
        role, "Lists", [LIST_ACTION], data, [PAUSES, f"{SCHEDULES_OF}*", f"{FIRINGS}*"]
    )


def _grant_partitions(
    role: aws_iam.Role, sid: str, actions: Sequence[str], data: TaskData, partitions: list[str]
) -> None:
    """Reach items of these partitions, which may end in ``*``.

    An action without a key would meet the condition, so ``actions`` are those that have one.
    docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    """
    grant(
        role,
        sid,
        actions,
        [data.table.table.table_arn],
        conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": partitions}},
    )


def grant_firing(role: aws_iam.Role, data: TaskData) -> None:
    """Read the tasks that are due, submit those that schedules fire, and keep the history.

    A submission counts for its tenant's quotas, and may stand for others that are the same. Its
    type's debounce may make it due later than SQS's delays reach.

    A repair reads many records in a call, the heartbeats, and the members of a chord, whose group
    it keeps.
    """
    _grant_partitions(
        role,
        "TaskRecords",
        [
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        ],
        data,
        [
            partition("*"),
            f"{GROUPS}*",
            f"{SAME}*",
            f"{SCHEDULES_OF}*",
            f"{FIRINGS}*",
            f"{UNFINISHED_COUNTS}*",
            f"{REQUESTS}*",
        ],
    )
    _grant_partitions(role, "Lists", [LIST_ACTION], data, [PAUSES, HEARTBEATS, f"{FIRINGS}*"])
    grant_repair(role, data)
    # What an edit that was cut off left undone, a firing sets right.
    grant_schedules(role, data)


def grant_artifacts(role: aws_iam.Role, data: TaskData, actions: Sequence[str]) -> None:
    """Reach the objects, each of which lies under a prefix that expires.

    Without the right to list, S3 answers 403 instead of 404 for a key that doesn't exist:
    docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    grant(role, "ArtifactNames", ["s3:ListBucket"], [data.artifacts.bucket.bucket_arn])
    grant(
        role,
        "Artifacts",
        actions,
        data.artifacts.objects,
        wildcard="An artifact's key holds its tenant and its task, known at run time.",
    )


def grant_schedules(role: aws_iam.Role, data: TaskData) -> None:
    """Make and change schedules in the deployment's group, which fire with the deployment's role.

    EventBridge Scheduler is passed the role when a schedule is made or changed:
    docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
    """
    grant(
        role,
        "Schedules",
        SCHEDULE_ACTIONS,
        [data.schedules.schedule_arns],
        wildcard="A schedule is named at run time; the group is the deployment's own.",
    )
    grant(
        role,
        "ScheduleRole",
        ["iam:PassRole"],
        [data.schedules.role.role_arn],
        conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
    )


def grant_key(role: aws_iam.Role, data: TaskData) -> None:
    """Read and write what the deployment's key encrypts, if it has one, and only through AWS.

    SQS and S3 ask KMS on behalf of the caller, for a message and for an object of several parts:
    docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html

    DynamoDB needs more, all but the grant that it made with the table:
    docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    """
    _grant_through(role, "Key", data, ["s3", "sqs"], ["kms:Decrypt", "kms:GenerateDataKey"])
    _grant_through(
        role,
        "TableKey",
        data,
        ["dynamodb"],
        [
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
    )


def grant_key_of_queues(role: aws_iam.Role, data: TaskData) -> None:
    """Send messages that the deployment's key encrypts, if it has one.

    docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
    """
    _grant_through(role, "Key", data, ["sqs"], ["kms:Decrypt", "kms:GenerateDataKey"])


def _grant_through(
    role: aws_iam.Role, sid: str, data: TaskData, services: list[str], actions: list[str]
) -> None:
    """Use the key through these services, never by calling KMS.

    docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    """
    if not data.key:
        return
    region = Stack.of(role).region
    through: list[str] = [f"{each}.{region}.amazonaws.com" for each in services]
    grant(
        role,
        sid,
        actions,
        [data.key.key_arn],
        conditions={"StringEquals": {"kms:ViaService": through}},
    )


def grant_waking(role: aws_iam.Role, prefix: str, queues: Iterable[Queue]) -> None:
    """Start the first worker of these queues' services."""
    services = [_service(role, prefix, queue) for queue in queues]
    grant(role, "WakeWorkers", ["ecs:DescribeServices", "ecs:UpdateService"], services)


def grant_own_service(role: aws_iam.Role, prefix: str, queue: Queue, data: TaskData) -> None:
    """Protect a busy worker from ECS, and find out which of this queue's workers are surplus."""
    stack = Stack.of(role)
    grant(
        role,
        "TaskProtection",
        ["ecs:UpdateTaskProtection"],
        [stack.format_arn(service="ecs", resource="task", resource_name=f"{prefix}/*")],
        wildcard="ECS names a task when it starts it; the cluster is the deployment's own.",
    )
    grant(role, "OwnService", ["ecs:DescribeServices"], [_service(role, prefix, queue)])
    _grant_partitions(role, "Heartbeats", [LIST_ACTION], data, [HEARTBEATS])


def grant_repair(role: aws_iam.Role, data: TaskData) -> None:
    """Find unfinished tasks, and see whether a queue is empty, to send lost messages again.

    Their records are read by their keys, as any worker reads them.
    """
    _grant_unfinished(role, data)
    grant(
        role,
        "QueueDepths",
        ["sqs:GetQueueAttributes"],
        [arn for pair in data.queues.values() for arn in pair.lane_arns],
    )


def _grant_unfinished(role: aws_iam.Role, data: TaskData) -> None:
    """List unfinished tasks, or count those of a tenant."""
    grant(role, "UnfinishedTasks", [LIST_ACTION], [data.table.index_arn(UNFINISHED)])


def grant_mail(role: aws_iam.Role, sender: str, *, configuration_set: str) -> None:
    """Send mail through SES from one address, with the deployment's configuration set.

    The set's name is the deployment's ``prefix``. SES asks for the identity and for the set.
    """
    identities = Stack.of(role).format_arn(service="ses", resource="identity", resource_name="*")
    grant(
        role,
        "Mail",
        ["ses:SendEmail", "ses:SendRawEmail"],
        [identities, configuration_set_arn(role, configuration_set)],
        # docs.aws.amazon.com/service-authorization/latest/reference/list_amazonses.html
        conditions={"StringEquals": {"ses:FromAddress": sender}},
        wildcard="In its sandbox SES asks for recipients' identities too, those that this "
        "account has verified, and the sender's may be its address or its domain; the sender is "
        "the deployment's own.",
    )
    grant(
        role,
        "SuppressionList",
        ["ses:GetSuppressedDestination"],
        ["*"],
        wildcard="The suppression list is the account's; AWS names no resource for it.",
    )


def _service(role: aws_iam.Role, prefix: str, queue: Queue) -> str:
    return Stack.of(role).format_arn(
        service="ecs", resource="service", resource_name=f"{prefix}/{queue.name}"
    )


def as_reported(value: Any) -> str:
    """A resolved ARN as cdk-nag writes it, with ``<AWS::Region>`` for a reference."""
    match value:
        case str():
            return value
        case {"Ref": str(name)}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return as_reported(name)
        case {"Fn::Sub": str(text)}:
            return text.replace("${", "<").replace("}", ">")
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(map(as_reported, parts))
        case _:
            return json.dumps(value, separators=(",", ":"))
