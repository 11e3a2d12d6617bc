"""What the user's own tasks may reach: turns secrets and policies into constructs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from aws_cdk import Stack, Token, aws_ecs, aws_iam, aws_secretsmanager, aws_ssm
from constructs import Construct

from celeriac.cdk.environment import Environment
from celeriac.cdk.grants import as_reported
from celeriac.cdk.nag import accept
from celeriac.contract import Catalogue, Queue
from celeriac.contract.variables import Policy, check_secrets, in_parameter_store

Secret = aws_secretsmanager.ISecret | aws_ssm.IParameter | aws_ecs.Secret
#: What a construct's secret may be: a construct of the CDK's, or the plain name of one.
AnySecret = Secret | str

Store = Literal["parameters", "secrets"]

_OWN = "The application's own tasks need it: the policy of its Fleet or its Environment."
#: How many parts the ARN of a whole secret has. A field, a stage and a version may follow.
_ARN_PARTS = 7


def container_secrets(
    scope: Construct, secrets: Mapping[str, AnySecret]
) -> dict[str, aws_ecs.Secret]:
    """A container's secrets, by variable. Each is imported once into ``scope``."""
    return {name: _container_secret(scope, name, secret) for name, secret in secrets.items()}


def _container_secret(scope: Construct, name: str, secret: AnySecret) -> aws_ecs.Secret:
    if isinstance(secret, aws_ecs.Secret):
        return secret
    if isinstance(secret, str):
        if Token.is_unresolved(secret):
            # It isn't known yet whether this is a secret's ARN or a parameter's: the execution role
            # would get the rights of the wrong one.
            raise ValueError(
                f"secrets[{name!r}] is text that the CDK fills in later. Give the secret or the "
                "parameter itself, or for one field ecs.Secret.from_secrets_manager(secret, field)."
            )
        check_secrets(scope.node.path, {name: secret})
        return _by_name(scope, f"Secret{name}", secret)
    # isinstance() can't tell jsii's interfaces apart; their attributes can.
    if hasattr(secret, "secret_arn"):
        return aws_ecs.Secret.from_secrets_manager(cast("aws_secretsmanager.ISecret", secret))
    if hasattr(secret, "parameter_arn"):
        return aws_ecs.Secret.from_ssm_parameter(secret)
    raise TypeError(
        f"secrets[{name!r}] is of type {type(secret).__name__}: give a secret of Secrets Manager, "
        "a parameter of Parameter Store, an ecs.Secret, an ARN, or a parameter's name."
    )


def _by_name(scope: Construct, id: str, value: str) -> aws_ecs.Secret:
    if in_parameter_store(value):
        return aws_ecs.Secret.from_ssm_parameter(
            aws_ssm.StringParameter.from_string_parameter_arn(scope, id, value)
            if value.startswith("arn:")
            else aws_ssm.StringParameter.from_secure_string_parameter_attributes(
                scope, id, parameter_name=value
            )
        )
    parts = value.split(":")
    field, stage, version = ([*parts[_ARN_PARTS:], "", "", ""])[:3]
    secret = aws_secretsmanager.Secret.from_secret_complete_arn(
        scope, id, ":".join(parts[:_ARN_PARTS])
    )
    if not (stage or version):
        return aws_ecs.Secret.from_secrets_manager(secret, field or None)
    return aws_ecs.Secret.from_secrets_manager_version(
        secret,
        aws_ecs.SecretVersionInfo(version_id=version or None, version_stage=stage or None),
        field or None,
    )


def _stores(secret: AnySecret) -> tuple[Store, ...]:
    if isinstance(secret, aws_ecs.Secret):
        # An ecs.Secret doesn't say which of the two holds it.
        return ("parameters", "secrets")
    if isinstance(secret, str):
        return ("parameters",) if in_parameter_store(secret) else ("secrets",)
    return ("parameters",) if hasattr(secret, "parameter_arn") else ("secrets",)


def allow(role: aws_iam.Role, policy: Policy, queue: Queue) -> None:
    """Let a queue's workers do what a policy says.

    A function gets the role, and the queue too if it asks for two arguments.
    """
    if callable(policy):
        before = _statements(role)
        _call(policy, role, queue)
        for each in _statements(role)[len(before) :]:
            _accept_wildcards(role, each)
        return
    for statement in policy:
        added = (
            aws_iam.PolicyStatement.from_json({"Effect": "Allow", **statement})
            if isinstance(statement, Mapping)
            else statement.copy()
        )
        role.add_to_policy(added)
        _accept_wildcards(role, Stack.of(role).resolve(added.to_statement_json()))


def _call(policy: Callable[..., object], role: aws_iam.Role, queue: Queue) -> None:
    if _asks_for_queue(policy):
        policy(role, queue)
    else:
        policy(role)


def _asks_for_queue(policy: Callable[..., object]) -> bool:
    """Whether it must have a second argument, or has one that is named ``queue``.

    The second one of ``bucket.grant_read`` is a pattern of keys, and may be left out.
    """
    try:
        parameters = inspect.signature(policy).parameters.values()
    except ValueError:  # a builtin that doesn't say
        return False
    kinds = inspect.Parameter
    named = [
        each
        for each in parameters
        if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    if not named:
        return any(each.kind is kinds.VAR_POSITIONAL for each in parameters)
    return any(each.default is kinds.empty or each.name == "queue" for each in named[1:2])


def _statements(role: aws_iam.Role) -> list[dict[str, Any]]:
    """What has been added to a role so far."""
    policy = role.node.try_find_child("DefaultPolicy")
    if not isinstance(policy, aws_iam.Policy):
        return []
    document = Stack.of(role).resolve(policy.document.to_json())
    return list((document or {}).get("Statement", []))


def _accept_wildcards(role: aws_iam.Role, statement: Mapping[str, Any]) -> None:
    """Give cdk-nag a reason for each wildcard: the user's policy has it."""
    for kind in ("Action", "Resource"):
        values = statement.get(kind, [])
        for value in map(as_reported, values if isinstance(values, list) else [values]):
            if "*" in value:
                accept(role, f"AwsSolutions-IAM5[{kind}::{value}]", _OWN)


def stores_of(
    environment: Environment, catalogue: Catalogue, more: Mapping[str, AnySecret]
) -> set[Store]:
    """Where ECS reads the secrets of a deployment's workers: their network needs a way there."""
    known = [environment.secrets, more, *(each.fleet.secrets for each in catalogue.queues)]
    return {store for each in known for secret in each.values() for store in _stores(secret)}
