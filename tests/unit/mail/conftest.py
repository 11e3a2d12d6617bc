"""SES in this process: moto, with the suppression list that moto lacks."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.common_types import TYPE_RESPONSE
from moto.ses.models import ses_backends
from moto.sesv2.responses import SESV2Response

from celeriac.settings import settings
from celeriac.testing.context import FakeContext
from tasks.mail.choice import backend

ACCOUNT, REGION = "123456789012", "us-east-1"
SENDER = "post@shop.net"


def parse(raw: str | bytes) -> EmailMessage:
    """The mail as a mail program reads it."""
    content = raw.encode("ascii") if isinstance(raw, str) else raw
    return email.message_from_bytes(content, policy=email.policy.default)


@dataclass
class Ses:
    """What SES was given, and what it knows."""

    suppressed: set[str] = field(default_factory=set)

    @property
    def sent(self) -> list[Any]:
        """Each mail, with ``raw_data`` and ``destinations`` as moto keeps them."""
        return ses_backends[ACCOUNT][REGION].sent_messages

    @property
    def mails(self) -> list[EmailMessage]:
        return [parse(each.raw_data) for each in self.sent]

    def look_up(self, response: SESV2Response) -> TYPE_RESPONSE:
        """GetSuppressedDestination, as API_GetSuppressedDestination.html describes it."""
        address = response.uri.rpartition("/")[2].replace("%40", "@").replace("%2B", "+")
        if address in self.suppressed:
            found = {"EmailAddress": address, "Reason": "BOUNCE", "LastUpdateTime": 0}
            return 200, {}, json.dumps({"SuppressedDestination": found})
        headers = {"x-amzn-errortype": "NotFoundException"}
        return 404, {"status": 404, **headers}, json.dumps({"message": "not on the list"})


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("CELERIAC_MAIL_FROM", SENDER)
    settings.cache_clear()
    backend.cache_clear()
    yield
    settings.cache_clear()
    backend.cache_clear()


@pytest.fixture
def ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ses]:
    known = Ses()

    def get_suppressed_destination(self: SESV2Response) -> TYPE_RESPONSE:
        return known.look_up(self)

    action = get_suppressed_destination
    monkeypatch.setattr(SESV2Response, action.__name__, action, raising=False)
    with mock_aws():
        boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
        yield known


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    return FakeContext(workdir=tmp_path)


@pytest.fixture
def after(tmp_path: Path) -> Callable[..., FakeContext]:
    """The context of an attempt that comes after another, and can read what that one saved."""

    def follow(earlier: FakeContext, *, attempt: int | None = None) -> FakeContext:
        number = earlier.attempt + 1 if attempt is None else attempt
        workdir = tmp_path / f"after-{id(earlier)}-{number}"
        (workdir / "kept").mkdir(parents=True)
        files = dict(earlier.files)
        for saved in earlier.artifacts.values():
            kept = workdir / "kept" / saved.artifact.key.replace("/", "-")
            kept.write_bytes(saved.content)
            files[saved.artifact.key] = kept
        return FakeContext(workdir=workdir, attempt=number, files=files)

    return follow
