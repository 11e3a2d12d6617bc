"""Emptying a deployment's bucket before its stacks are deleted."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from infra.teardown import ProtectedError, empty


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@mock_aws
def test_every_object_goes() -> None:
    """The bucket is empty after it, and a second time finds nothing."""
    s3 = boto3.client("s3")
    bucket = "celeriac-dev-123456789012-us-east-1"
    s3.create_bucket(Bucket=bucket)
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"tenants/a/{number}", Body=b"x")

    assert empty("dev") == 3
    assert empty("dev") == 0
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@mock_aws
def test_a_deployment_that_is_gone_is_no_fault() -> None:
    """Without a bucket there is nothing to empty."""
    assert empty("dev") == 0


def test_a_protected_environment_refuses() -> None:
    """prod is not taken down by one command."""
    with pytest.raises(ProtectedError, match="prod is protected"):
        empty("prod")
