"""Is every call allowed by its caller's role, and is every grant called for?

The policies are those that the deployment made, references resolved; moto's evaluation decides.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult

from celeriac import Queue
from infra.rehearsal.calls import Asked
from tasks.queues import EMAIL, MAINTENANCE

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
        "scheduler:DeleteSchedule",
        "scheduler:UpdateSchedule",
        "sqs:ChangeMessageVisibility",
        "sqs:SendMessage",
    }
)

#: What a worker asks only if it is busy at the moment when it looks whether it is surplus. That of
#: the default queue always is; the tasks of others may be over by then.
ASKED_WHILE_BUSY = frozenset({"ecs:DescribeServices"})

#: Why the API is granted what no rehearsal asks of it.
UNUSED_BY_API: Mapping[str, str] = {
    "logs:CreateLogStream": "Lambda's own writing of the function's log.",
    "logs:PutLogEvents": "Lambda's own writing of the function's log.",
}


#: Why ECS's agent is granted what no rehearsal asks of it.
UNUSED_BY_AGENT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetAuthorizationToken",
            "ecr:GetDownloadUrlForLayer",
        ),
        "It fetches the image, and there is no registry here.",
    ),
    **dict.fromkeys(
        ("logs:CreateLogStream", "logs:PutLogEvents"), "It writes the log of the container."
    ),
    **dict.fromkeys(
        ("ssm:DescribeParameters", "ssm:GetParameter", "ssm:GetParameterHistory"),
        "CDK grants them for this one parameter, with what ECS asks for.",
    ),
}

#: Why the function that checks workers is granted what no rehearsal asks of it.
UNUSED_BY_CHECK: Mapping[str, str] = {
    "ecs:StopTask": "A check that doesn't end in time.",
    "iam:PassRole": "ECS asks for it when it gives a task its roles.",
    "logs:CreateLogStream": "Lambda's own writing of the function's log.",
    "logs:PutLogEvents": "Lambda's own writing of the function's log.",
}


#: Why the function that fires is granted what no rehearsal asks of it.
UNUSED_BY_FIRE: Mapping[str, str] = {
    "dynamodb:DeleteItem": "A task whose message SQS doesn't take is taken back.",
    "logs:CreateLogStream": "Lambda's own writing of the function's log.",
    "logs:PutLogEvents": "Lambda's own writing of the function's log.",
    "s3:ListBucket": "S3 asks for it where an input is gone.",
}


def unused_by_workers(queue: Queue) -> Mapping[str, str]:
    """Why this queue's workers are granted what neither a rehearsal nor the fault tests ask."""
    reasons = {
        "ecs:UpdateTaskProtection": "ECS's agent asks for it, in its task's name.",
        "s3:AbortMultipartUpload": "An upload of a large file that broke off.",
    }
    if queue != MAINTENANCE:
        # The repair sends to other queues; the built-in types of these ones don't.
        reasons["ecs:UpdateService"] = "Waking that queue's workers."
    if queue == EMAIL:
        reasons["ses:SendEmail"] = "SES asks for it or for SendRawEmail, by the form of the mail."
    return reasons


def by_workers_of(queue: Queue, asked: Iterable[Asked], *, instead_of: Queue) -> list[Asked]:
    """What ``queue``'s workers would have asked: the same, of their own queue and dead letters."""
    names = {
        instead_of.name: queue.name,
        instead_of.high_name: queue.high_name,
        instead_of.dead_letter_name: queue.dead_letter_name,
    }

    def own(resource: str) -> str:
        for name, other in names.items():
            if resource.startswith("arn:aws:sqs:") and resource.endswith(f"-{name}"):
                return resource.removesuffix(name) + other
        return resource

    return [replace(each, resource=own(each.resource)) for each in asked]


@dataclass
class Findings:
    """``denied``: calls that AWS would refuse. ``unexplained``: grants unused without a reason.

    ``stale``: reasons for grants that the role hasn't, or that were used after all.
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
    unused: Mapping[str, Mapping[str, str]],
    *,
    elsewhere: Mapping[str, Collection[str]] | None = None,
) -> Findings:
    """Compare what was asked with what the caller's policies say.

    By access key: ``roles`` are policies, ``unused`` the reasons for grants that go unused, and
    ``elsewhere`` the actions that other tests show to be used.
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
        granted, explained = _granted(documents), set(unused.get(key, ()))
        shown = used[key] | set((elsewhere or {}).get(key, ()))
        findings.unexplained += [f"{key}: {each}" for each in sorted(granted - shown - explained)]
        findings.stale += [
            f"{key}: {each}" for each in sorted(explained - granted | explained & used[key])
        ]
    return findings


def _allowed(
    documents: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> bool:
    # One statement at a time: moto takes a condition that isn't met for a refusal of the whole.
    return any(
        _meets(statement, context)
        and IAMPolicy(json.dumps({"Statement": [statement]})).is_action_permitted(
            action, resource, incoming_condition_values=context
        )
        is PermissionResult.PERMITTED
        for document in documents
        for statement in document["Statement"]
    )


def _meets(statement: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Whether a request meets the conditions that moto passes over: those on all of its values.

    As in AWS, one that has no such value meets them.
    """
    return all(
        any(fnmatchcase(context[name], pattern) for pattern in patterns)
        for operator, wanted in statement.get("Condition", {}).items()
        if operator == "ForAllValues:StringLike"
        for name, patterns in wanted.items()
        if name in context
    )


def _granted(documents: list[dict[str, Any]]) -> set[str]:
    actions: set[str] = set()
    for document in documents:
        for statement in document["Statement"]:
            action = statement["Action"]
            actions |= {action} if isinstance(action, str) else set(action)
    return actions
