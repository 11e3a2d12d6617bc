"""Is every call allowed by its caller's role, and is every grant called for?

The policies are those that the deployment made, references resolved; moto's evaluation decides.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult

#: What workers are granted for faults, delays and renewals. A rehearsal has none; the fault tests
#: show that each is used.
USED_IN_FAULT_TESTS = frozenset(
    {
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "iam:PassRole",
        "s3:DeleteObject",
        "s3:ListBucket",
        "s3:PutObject",
        "scheduler:CreateSchedule",
        "sqs:ChangeMessageVisibility",
        "sqs:SendMessage",
    }
)

#: Why the API is granted what no rehearsal asks of it.
UNUSED_BY_API: Mapping[str, str] = {
    "cloudwatch:GetMetricData": "GET /queues reads how old the oldest messages are.",
    "dynamodb:DeleteItem": "The record of a task goes again whose message SQS doesn't take.",
    "dynamodb:UpdateItem": "Cancelling a task, and repeating an idempotency key.",
    "iam:PassRole": "Goes with scheduler:CreateSchedule.",
    "logs:CreateLogStream": "Lambda's own writing of the function's log.",
    "logs:PutLogEvents": "Lambda's own writing of the function's log.",
    "s3:GetObject": "Large payloads and results, and the links to files that it signs.",
    "s3:PutObject": "Large payloads, and the uploads that it signs.",
    "scheduler:CreateSchedule": "A repeated idempotency key of a task that is due in over 15 min.",
    "sqs:ChangeMessageVisibility": "Dead letters that were looked at, or couldn't be redriven.",
    "sqs:DeleteMessage": "Redrive and purge.",
    "sqs:ReceiveMessage": "Dead letters, redrive and purge.",
}

#: Why workers are granted what neither a rehearsal nor the fault tests ask of them.
UNUSED_BY_WORKERS: Mapping[str, str] = {
    "ecs:DescribeServices": "Sending to another queue, which may have no worker.",
    "ecs:UpdateService": "Waking that queue's workers.",
    "ecs:UpdateTaskProtection": "ECS's agent asks for it, in its task's name.",
    "s3:AbortMultipartUpload": "An upload of a large file that broke off.",
    "s3:GetObject": "Large inputs, and the files that tasks read: any type may.",
    "ses:SendEmail": "SES asks for it or for SendRawEmail, by the form of the mail.",
    "sqs:GetQueueAttributes": "The repair of lost messages, once there is a task that looks lost.",
}


@dataclass
class Findings:
    """``denied``: calls that AWS would refuse. ``unexplained``: grants unused without a reason.

    ``stale``: reasons for grants that nobody has any more.
    """

    allowed: int = 0
    denied: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def policies(iam: Any, role_name: str) -> list[dict[str, Any]]:
    """The inline policies of a role."""
    return [
        iam.get_role_policy(RoleName=role_name, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role_name)["PolicyNames"]
    ]


def check(
    asked: Iterable[tuple[str, str, str, tuple[tuple[str, str], ...]]],
    roles: Mapping[str, list[dict[str, Any]]],
    unused: Mapping[str, Collection[str]],
) -> Findings:
    """Compare what was asked with what the caller's policies say.

    ``roles`` are policies by access key, ``unused`` the grants that may go unused.
    """
    findings = Findings()
    used: dict[str, set[str]] = {key: set() for key in roles}
    for key, action, resource, context in sorted(asked):
        used[key].add(action)
        if _allowed(roles[key], action, resource, dict(context)):
            findings.allowed += 1
        else:
            findings.denied.append(f"{key}: {action} on {resource}")
    for key, documents in roles.items():
        granted = _granted(documents)
        for action in sorted(granted - used[key] - set(unused.get(key, ()))):
            findings.unexplained.append(f"{key}: {action}")
    for action in sorted({action for actions in unused.values() for action in actions}):
        whose = [key for key, actions in unused.items() if action in actions]
        if not any(action in _granted(roles[key]) for key in whose):
            findings.stale.append(action)
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
