"""Roles, bucket and table, as AWS describes them."""

from __future__ import annotations

import httpx
import pytest

from celeriac import catalogue
from infra.verify.check import NotHeld
from infra.verify.checks import data, files
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    ACCOUNT,
    REGION,
    Aws,
    ScriptedApi,
)


def decisions(aws: Aws, keys: str) -> None:
    """What IAM decides of records, API keys and tenants, for each queue's role."""
    for queue in catalogue().queues:
        aws.gives("ecs", "describe_services", {"services": [{"taskDefinition": "d"}]})
        role = f"arn:aws:iam::{ACCOUNT}:role/{queue.name}"
        aws.gives("ecs", "describe_task_definition", {"taskDefinition": {"taskRoleArn": role}})
        for decision in ("allowed", keys, "implicitDeny"):
            evaluated = [
                {"EvalActionName": action, "EvalDecision": decision}
                for action in ("dynamodb:GetItem", "dynamodb:PutItem")
            ]
            aws.gives("iam", "simulate_principal_policy", {"EvaluationResults": evaluated})
        if keys == "allowed":
            return


def test_roles_that_reach_records_alone_are_held(aws: Aws, trial: Trial) -> None:
    """Every queue's role is asked about."""
    aws.gives("dynamodb", "describe_table", {"Table": {"TableArn": "arn:aws:dynamodb:table"}})
    decisions(aws, "implicitDeny")

    assert data.roles.attempt(trial) == "5 roles"


def test_a_role_that_reads_api_keys_is_found(aws: Aws, trial: Trial) -> None:
    """It could read any tenant's tasks."""
    aws.gives("dynamodb", "describe_table", {"Table": {"TableArn": "arn:aws:dynamodb:table"}})
    decisions(aws, "allowed")

    with pytest.raises(NotHeld, match="keys is"):
        data.roles.attempt(trial)


def test_an_open_bucket_is_found(aws: Aws, trial: Trial) -> None:
    """One of the four blocks is missing."""
    blocks = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": False,
    }
    aws.gives("s3", "get_public_access_block", {"PublicAccessBlockConfiguration": blocks})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    aws.gives(
        "s3", "get_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}
    )
    expiring = {"Filter": {"Prefix": "tenants/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    aws.gives("s3", "get_bucket_lifecycle_configuration", {"Rules": [expiring]})

    with pytest.raises(NotHeld, match="public access is False"):
        data.bucket.attempt(trial)


@pytest.mark.parametrize("plain", [403, 200])
def test_a_bucket_that_takes_plain_http_is_found(
    plain: int, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same link is taken over HTTPS, so that the refusal is the policy's."""
    monkeypatch.setattr(
        httpx, "get", lambda url: httpx.Response(200 if url.startswith("https:") else plain)
    )

    if plain == 403:
        assert data.bucket_over_tls.attempt(trial) == "200 over HTTPS, 403 over HTTP"
    else:
        with pytest.raises(NotHeld, match="200 over HTTP"):
            data.bucket_over_tls.attempt(trial)


@pytest.mark.parametrize("status", ["ENABLED", "DISABLED"])
def test_records_that_never_expire_are_found(status: str, aws: Aws, trial: Trial) -> None:
    """Costs would grow without an end."""
    found = {"TimeToLiveStatus": status, "AttributeName": "expires_at"}
    aws.gives("dynamodb", "describe_time_to_live", {"TimeToLiveDescription": found})

    if status == "ENABLED":
        assert data.expiry.attempt(trial) == "enabled"
    else:
        with pytest.raises(NotHeld, match="DISABLED"):
            data.expiry.attempt(trial)


@pytest.mark.parametrize(
    ("host", "holds"), [(f"bucket.s3.{REGION}.amazonaws.com", True), ("b.s3.amazonaws.com", False)]
)
def test_a_link_to_the_global_host_is_found(
    host: str, holds: bool, api: ScriptedApi, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In most regions it would redirect, and the upload be lost."""
    monkeypatch.setattr(
        httpx, "post", lambda *_, **__: httpx.Response(204, request=httpx.Request("POST", "http:"))
    )
    upload = {"url": f"https://{host}/", "fields": {}}
    api.says("POST /files", 201, {"file_key": "files/1/note.txt", "upload": upload})
    api.says("GET /files/files/1/note.txt", 303, location=f"https://{host}/key?X-Amz-Signature=1")

    if holds:
        assert files.link_region.attempt(trial) == host
    else:
        with pytest.raises(NotHeld, match=host):
            files.link_region.attempt(trial)
