"""A process that isn't configured for AWS is told the variable to set, never to try again."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore import exceptions as aws
from botocore.exceptions import ClientError
from httpx import ASGITransport, AsyncClient, Response
from kombu.exceptions import OperationalError

from celeriac.errors import (
    NotConfiguredError,
    UnavailableError,
    not_configured,
    transient,
    unavailable,
)
from celeriac.http.app import create_app
from celeriac.storage import services
from tests.isolation import forget_aws

ROOT = Path(__file__).parents[2]

SUBMIT = {
    "submit": "from celeriac import submit; submit('cleanup', {})",
    "delay": "from celeriac import celery_app; celery_app().tasks['cleanup'].delay({})",
    "find": "from celeriac import find; find('default', '00000000-0000-7000-8000-000000000000')",
}


def error_of(code: str, variables: dict[str, str], home: Path) -> str:
    """The last line that a process with these variables alone writes to stderr."""
    own = {"HOME": str(home), "PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=own | variables,
        cwd=ROOT,
        timeout=240,
    )
    return done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize("call", SUBMIT)
def test_a_shell_without_settings_is_told_what_to_set(call: str, tmp_path: Path) -> None:
    """Nothing is configured: the message names the variable and the file that sets it."""
    assert error_of(SUBMIT[call], {}, tmp_path) == (
        "celeriac.errors.NotConfiguredError: This process has no AWS region. "
        "Set AWS_DEFAULT_REGION. Locally, `. .local/env` does this while `celeriac dev` runs; "
        "on AWS, the deployment does."
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "This process has no AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_"),
        (
            {"AWS_ACCESS_KEY_ID": "AKIA"},
            "AWS credentials can't be loaded: Partial credentials found in env, ",
        ),
        ({"AWS_PROFILE": "shop"}, "The config profile (shop) could not be found. Set AWS_PROFILE."),
    ],
)
def test_missing_credentials_are_told(
    variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    """Each way to have none says which variable is wrong."""
    region = {"AWS_DEFAULT_REGION": "eu-west-1"}

    error = error_of(SUBMIT["submit"], region | variables, tmp_path)

    assert error.startswith(f"celeriac.errors.NotConfiguredError: {message}")
    assert "Try again" not in error


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutItem")


def unreachable(url: str) -> aws.EndpointConnectionError:
    return aws.EndpointConnectionError(endpoint_url=url)


@pytest.mark.parametrize(
    ("error", "variables"),
    [
        (refusal("ResourceNotFoundException"), ("CELERIAC_TABLE_NAME",)),
        (refusal("NoSuchBucket"), ("CELERIAC_BUCKET_NAME",)),
        (
            refusal("AWS.SimpleQueueService.NonExistentQueue"),
            ("CELERIAC_QUEUE_URL_PREFIX",),
        ),
        (refusal("InvalidAddress"), ("CELERIAC_QUEUE_URL_PREFIX",)),
        (
            refusal("UnrecognizedClientException"),
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ),
        (
            aws.CredentialRetrievalError(provider="sso", error_msg="expired"),
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ),
        (aws.UnauthorizedSSOTokenError(), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        (
            unreachable("http://127.0.0.1:5000/123456789012/celeriac-default"),
            ("CELERIAC_QUEUE_URL_PREFIX",),
        ),
    ],
)
def test_what_another_try_would_not_change_is_a_configuration_fault(
    error: Exception, variables: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS knows neither the credentials nor what the settings name, or nothing is set."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("CELERIAC_QUEUE_URL_PREFIX", raising=False)

    with pytest.raises(NotConfiguredError) as refused, unavailable("AWS"):
        raise error

    assert refused.value.variables == variables
    assert all(name in str(refused.value) for name in variables)
    assert "Try again" not in str(refused.value)


def test_kombus_own_error_about_the_default_queue_is_seen_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kombu raises an error of its own from botocore's."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("CELERIAC_QUEUE_URL_PREFIX", raising=False)

    with pytest.raises(NotConfiguredError, match="CELERIAC_QUEUE_URL_PREFIX"), unavailable("SQS"):
        raise OperationalError("no") from unreachable("http://127.0.0.1:5000/")


@pytest.mark.parametrize(
    "error",
    [
        unreachable("https://sqs.eu-west-1.amazonaws.com"),
        refusal("ThrottlingException"),
        aws.CredentialRetrievalError(provider="container-role", error_msg="timed out"),
        aws.CredentialRetrievalError(provider="iam-role", error_msg="timed out"),
        aws.ReadTimeoutError(endpoint_url="https://dynamodb"),
        ConnectionResetError(),
    ],
)
def test_an_outage_stays_an_outage(error: Exception) -> None:
    """No answer, throttling, or a credentials service that doesn't answer for a moment."""
    with pytest.raises(UnavailableError, match="Try again"), unavailable("AWS"):
        raise error


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "CELERIAC_QUEUE_URL_PREFIX"])
def test_an_address_that_was_set_may_be_down(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local AWS that has stopped is out of reach, and not unconfigured."""
    monkeypatch.setenv(variable, "http://127.0.0.1:5000")

    assert not_configured(unreachable("http://127.0.0.1:5000/")) is None


def test_a_refusal_of_one_call_passes() -> None:
    """A condition that doesn't hold, or a missing permission, says nothing of the settings."""
    for code in ("ConditionalCheckFailedException", "AccessDeniedException"):
        with pytest.raises(ClientError, match=code), unavailable("DynamoDB"):
            raise refusal(code)


def test_a_worker_returns_the_messages_that_it_is_not_configured_for() -> None:
    """Their tasks run once it is: a wrong variable fails none of them."""
    assert transient(aws.NoCredentialsError())
    assert transient(NotConfiguredError("No region", "AWS_DEFAULT_REGION"))


def test_over_http_it_is_a_fault_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without Retry-After; the variables are in the log, and not in the answer."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "CELERIAC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    forget_aws()

    async def ask() -> Response:
        headers = {"Authorization": "Bearer cel_any"}
        transport = ASGITransport(create_app())
        async with AsyncClient(transport=transport, base_url="http://api", headers=headers) as api:
            return await api.post("/tasks/cleanup", json={})

    try:
        with caplog.at_level(logging.ERROR):
            answer = asyncio.run(ask())
    finally:
        services.reset()
        forget_aws()

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "retry-after" not in answer.headers
    assert "AWS_DEFAULT_REGION" not in answer.text
    assert answer.json()["reference"] in caplog.text
    assert "Set AWS_DEFAULT_REGION" in caplog.text
