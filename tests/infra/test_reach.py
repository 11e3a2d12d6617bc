"""Policies and secrets of a user's own become grants and variables as they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations, aws_ecs, aws_iam, aws_s3, aws_secretsmanager
from cdk_nag import AwsSolutionsChecks

from celeriac.cdk.reach import allow, container_secrets
from celeriac.contract import Queue

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-x1Y2z3"
PLAIN = Queue("plain")


def test_a_policy_may_be_a_function() -> None:
    """It gets the role, and the queue too if it takes two arguments."""
    stack = Stack(App(), "stack")
    role = aws_iam.Role(stack, "Role", assumed_by=aws_iam.ServicePrincipal("x.amazonaws.com"))
    given: list[object] = []
    allow(role, given.append, PLAIN)
    allow(role, lambda role, queue: given.append((role, queue)), PLAIN)
    allow(role, lambda role, queue=None: given.append(queue), PLAIN)
    assert given == [role, (role, PLAIN), PLAIN]


def test_only_a_function_that_asks_for_the_queue_gets_it() -> None:
    """The second argument of ``bucket.grant_read`` is a pattern of keys, and is none of ours."""
    stack = Stack(App(), "stack")
    role = aws_iam.Role(stack, "Role", assumed_by=aws_iam.ServicePrincipal("x.amazonaws.com"))
    given: list[object] = []
    allow(role, lambda role, name="other": given.append(name), PLAIN)
    allow(role, lambda role, *actions: given.append(actions), PLAIN)
    allow(role, lambda *both: given.append(both), PLAIN)
    assert given == ["other", (), (role, PLAIN)]
    allow(role, aws_s3.Bucket(stack, "Bucket").grant_read, PLAIN)
    # Nor does a builtin that doesn't say what it takes.
    allow(role, type, PLAIN)


def test_the_rules_take_wildcards_of_the_cdks_own_constructs(tmp_path: Path) -> None:
    """An ARN that holds references, in a statement or in what a function grants."""
    app = App(outdir=str(tmp_path))
    stack = Stack(app, "stack")
    bucket = aws_s3.Bucket(stack, "Bucket")
    role = aws_iam.Role(stack, "Role", assumed_by=aws_iam.ServicePrincipal("x.amazonaws.com"))
    queues = stack.format_arn(service="sqs", resource="shop-*")
    own = aws_iam.PolicyStatement(
        actions=["s3:PutObject"], resources=[bucket.arn_for_objects("*"), queues]
    )
    allow(role, [own], PLAIN)
    allow(role, bucket.grant_read, PLAIN)
    ours = aws_iam.PolicyStatement(actions=["sns:*"], resources=["arn:aws:sns:::x"])
    role.add_to_policy(ours)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError):  # for the bucket, and for what no user wrote
        app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text())
    found = [
        each["ruleName"] for plugin in report["pluginReports"] for each in plugin["violations"]
    ]
    assert [each for each in found if "IAM5" in each] == ["AwsSolutions-IAM5[Action::sns:*]"]


def test_a_text_that_is_not_known_yet_is_no_secrets_name() -> None:
    """ECS's rights would be to the wrong store, and no worker would start."""
    stack = Stack(App(), "stack")
    secret = aws_secretsmanager.Secret(stack, "Own")
    for text in (secret.secret_arn, f"{secret.secret_arn}:password::"):
        with pytest.raises(ValueError, match="Give the secret or the parameter itself"):
            container_secrets(stack, {"A": text})
    with pytest.raises(ValueError, match="names neither"):
        container_secrets(stack, {"A": "postgres://me@host/shop"})


def test_a_secret_may_be_of_a_version() -> None:
    """Field, stage and version, as ECS writes them at the end of the ARN."""
    stack = Stack(App(), "stack")
    named: dict[str, Any] = {
        "FIELD": f"{SECRET}:user::",
        "STAGE": f"{SECRET}:user:AWSPREVIOUS:",
        "VERSION": f"{SECRET}:::11111111-2222-3333-4444-555555555555",
        "OWN": aws_secretsmanager.Secret(stack, "Own"),
        "READY": aws_ecs.Secret.from_secrets_manager(aws_secretsmanager.Secret(stack, "Ready")),
    }
    found = container_secrets(stack, named)
    assert {name: found[name].arn for name in ("FIELD", "STAGE", "VERSION")} == {
        name: named[name] for name in ("FIELD", "STAGE", "VERSION")
    }
    assert found["READY"] is named["READY"]
