"""Is every call allowed by its caller's role, and is every grant called for?

The policies are those that the deployment made, references resolved; moto's evaluation decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult

# Grants that a rehearsal doesn't use, and why they are there all the same.
_RECOVERY = "Used when something fails: a retry, poison, a lost lease, a broken upload."
_OPERATOR = "An operator's act, or one that only some callers ask for."
_ON_ECS = "Used where the workers are ECS services; here they are processes."
_BY_TYPE = "Used by task types and callers that keep files, run groups or read pages."
UNUSED: Mapping[str, str] = {
    "cloudwatch:GetMetricData": _OPERATOR,
    "dynamodb:BatchGetItem": _BY_TYPE,
    "dynamodb:GetItem": _BY_TYPE,
    "dynamodb:DeleteItem": _RECOVERY,
    "dynamodb:PutItem": _BY_TYPE,
    "dynamodb:Query": _BY_TYPE,
    "dynamodb:UpdateItem": _BY_TYPE,
    "ecs:DescribeServices": _ON_ECS,
    "ecs:GetTaskProtection": _ON_ECS,
    "ecs:UpdateService": _ON_ECS,
    "ecs:UpdateTaskProtection": _ON_ECS,
    "iam:PassRole": _RECOVERY,
    "logs:CreateLogStream": "Lambda's own writing of the function's log.",
    "logs:FilterLogEvents": _OPERATOR,
    "logs:PutLogEvents": "Lambda's own writing of the function's log.",
    "s3:AbortMultipartUpload": _RECOVERY,
    "s3:DeleteObject": _BY_TYPE,
    "s3:GetObject": _BY_TYPE,
    "s3:ListBucket": _BY_TYPE,
    "s3:PutObject": _BY_TYPE,
    "scheduler:CreateSchedule": _RECOVERY,
    "scheduler:DeleteSchedule": _RECOVERY,
    "scheduler:GetSchedule": _RECOVERY,
    "scheduler:UpdateSchedule": _OPERATOR,
    "ses:SendEmail": "Mail of the simple form; the built-in task type sends the raw one.",
    "sqs:ChangeMessageVisibility": _RECOVERY,
    "sqs:DeleteMessage": _OPERATOR,
    "sqs:GetQueueAttributes": _OPERATOR,
    "sqs:PurgeQueue": _OPERATOR,
    "sqs:ReceiveMessage": _OPERATOR,
    "sqs:SendMessage": _RECOVERY,
    "sqs:StartMessageMoveTask": _OPERATOR,
}


@dataclass
class Findings:
    """``denied``: calls that AWS would refuse. ``unexplained``: grants unused without a reason."""

    allowed: int = 0
    denied: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


def policies(iam: Any, role_name: str) -> list[dict[str, Any]]:
    """The inline policies of a role."""
    return [
        iam.get_role_policy(RoleName=role_name, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role_name)["PolicyNames"]
    ]


def check(
    asked: Iterable[tuple[str, str, str, tuple[tuple[str, str], ...]]],
    roles: Mapping[str, list[dict[str, Any]]],
) -> Findings:
    """Compare what was asked with what the caller's policies say. ``roles`` are by access key."""
    findings = Findings()
    used: dict[str, set[str]] = {key: set() for key in roles}
    for key, action, resource, context in sorted(asked):
        used[key].add(action)
        if _allowed(roles[key], action, resource, dict(context)):
            findings.allowed += 1
        else:
            findings.denied.append(f"{key}: {action} on {resource}")
    for key, documents in roles.items():
        for action in sorted(_granted(documents) - used[key] - set(UNUSED)):
            findings.unexplained.append(f"{key}: {action}")
    return findings


def _allowed(
    documents: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> bool:
    # One statement at a time: moto takes a condition that isn't met for a refusal of the whole.
    return any(
        IAMPolicy(json.dumps({"Statement": [statement]})).is_action_permitted(
            action, resource, incoming_condition_values=context
        )
        is PermissionResult.PERMITTED
        for document in documents
        for statement in document["Statement"]
    )


def _granted(documents: list[dict[str, Any]]) -> set[str]:
    actions: set[str] = set()
    for document in documents:
        for statement in document["Statement"]:
            action = statement["Action"]
            actions |= {action} if isinstance(action, str) else set(action)
    return actions
