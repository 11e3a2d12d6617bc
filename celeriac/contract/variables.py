"""The user's own variables for a deployment's workers, and where their secrets come from.

environment={"INVOICES_BUCKET": "shop-invoices"}
secrets={"DATABASE_PASSWORD": "/shop/database-password"}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celeriac.contract.places import short

#: What Celeriac's own variables begin with.
PREFIX = "CELERIAC_"

#: IAM statements, or a function that is called with the workers' role when templates are made.
Policy = Sequence[Any] | Callable[..., object]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What ECS takes for ``valueFrom``: the whole ARN of a secret, with a field, a stage and a version;
#: the ARN of a parameter, or its name.
#: docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
_SECRET = re.compile(
    r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[^\s:]+-[A-Za-z0-9]{6}(:[^\s:]*){0,3}"
)
_PARAMETER_ARN = re.compile(r"arn:[a-z-]+:ssm:[a-z0-9-]+:\d{12}:parameter/\S+")
_PARAMETER = re.compile(r"/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
#: What a statement of a role's policy may hold. The CDK drops any other key without a word: with
#: "effect" or "Conditions", it would allow more than was written.
#: docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
_ELEMENTS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


def check_variables(where: str, environment: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    """Refuse what can't be a worker's variable. The error shows its name, and never its value.

    Raises:
        TypeError: it is no mapping, or a variable's value is no string.
        ValueError: a name is wrong, is Celeriac's own, or is in both mappings.
    """
    given: dict[str, Any] = {"environment": environment, "secrets": secrets}
    for what, values in given.items():
        if not isinstance(values, Mapping):
            raise TypeError(
                f"{where}: {what} is of type {type(values).__name__}. Give a mapping by variable."
            )
    names: list[Any] = [*environment, *secrets]
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"{where}: {short(name)} can't be the name of a variable. Use letters, digits "
                "and underscores, without a digit at the beginning."
            )
        if name.startswith(PREFIX):
            raise ValueError(
                f"{where}: {name} is a setting of Celeriac. Give it in Environment(settings=…)."
            )
    if both := sorted(environment.keys() & secrets.keys()):
        raise ValueError(f"{where}: {both[0]} is in environment and in secrets: give it once.")
    for name, value in environment.items():
        if not isinstance(value, str):
            raise TypeError(
                f"{where}: environment[{name!r}] is of type {type(value).__name__}. "
                "A variable's value is a string."
            )


def check_secrets(where: str, secrets: Mapping[str, Any]) -> None:
    """Refuse a secret that ECS couldn't find. No value is shown: it may be the secret.

    Raises:
        ValueError: it is neither the ARN of a secret or a parameter, nor a parameter's name.
    """
    for name, value in secrets.items():
        if not isinstance(value, str) or not (
            _SECRET.fullmatch(value) or in_parameter_store(value)
        ):
            raise ValueError(
                f"{where}: secrets[{name!r}] names neither a secret nor a parameter. Give the "
                "whole ARN of a secret in Secrets Manager, which ends in a dash and six "
                "characters, or the name of a parameter in Parameter Store."
            )


def in_parameter_store(value: str) -> bool:
    """Whether a secret is kept in Parameter Store. The others are in Secrets Manager."""
    return any(each.fullmatch(value) is not None for each in (_PARAMETER_ARN, _PARAMETER))


def check_policy(where: str, policy: Any) -> None:
    """Refuse what is no policy.

    Raises:
        TypeError: it is neither a sequence of statements nor a function.
        ValueError: a statement lacks its actions or its resources, or has what none can have.
    """
    if callable(policy):
        return
    if isinstance(policy, str | Mapping) or not isinstance(policy, Sequence):
        raise TypeError(
            f"{where}: policy={short(policy)} is no list of IAM statements, such as "
            "[{'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::shop/*'}]."
        )
    for statement in policy:
        if not isinstance(statement, Mapping):
            if not hasattr(statement, "to_statement_json"):  # of the CDK's own PolicyStatement
                raise TypeError(f"{where}: policy has {short(statement)}, which is no statement.")
            continue
        if unknown := [name for name in statement if name not in _ELEMENTS]:
            raise ValueError(
                f"{where}: the statement {short(dict(statement))} has {short(unknown[0])}. A "
                f"role's statement has only {', '.join(sorted(_ELEMENTS))}."
            )
        if statement.get("Effect", "Allow") not in ("Allow", "Deny"):
            raise ValueError(
                f"{where}: the statement {short(dict(statement))} has an Effect that is neither "
                "'Allow' nor 'Deny'."
            )
        missing = [
            name
            for name in ("Action", "Resource")
            if name not in statement and f"Not{name}" not in statement
        ]
        if missing:
            raise ValueError(
                f"{where}: the statement {short(dict(statement))} has no {missing[0]}. Add it."
            )
