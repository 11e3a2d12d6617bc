from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.stub import Stubber
from moto.server import ThreadedMotoServer

from celeriac.settings import Settings
from tasks.mail.backend import (
    Mail,
    MailRejectedError,
    MailTemporaryError,
    MailThrottledError,
    OutcomeUnknownError,
)
from tasks.mail.choice import backend_for
from tasks.mail.ses import SesBackend

from .conftest import SENDER, Ses

MAIL = Mail(
    sender=SENDER,
    recipients=("a@mail.net",),
    raw=b"From: post@shop.net\r\nSubject: Hi\r\n\r\nHi\r\n",
    message_id="<1@shop.net>",
    task_id="0189-a_task",
)


#: The request that sends it.
SENT: dict[str, Any] = {
    "FromEmailAddress": SENDER,
    "Destination": {"ToAddresses": ["a@mail.net"]},
    "Content": {"Raw": {"Data": MAIL.raw}},
    "EmailTags": [{"Name": "celeriac-task-id", "Value": "0189-a_task"}],
}


@pytest.fixture
def stubbed() -> Iterator[tuple[SesBackend, Stubber]]:
    client = boto3.client("sesv2", config=SesBackend.config())
    with Stubber(client) as stubber:
        yield SesBackend(client), stubber


def test_ses_is_the_backend_unless_smtp_is_set() -> None:
    """Without smtp_url, mail goes through SES."""
    assert isinstance(backend_for(Settings()), SesBackend)


def test_the_request_names_envelope_and_task(stubbed: tuple[SesBackend, Stubber]) -> None:
    """SES gets the raw mail, the envelope, and the task's id as a tag that its events repeat."""
    backend, stubber = stubbed
    stubber.add_response("send_email", {"MessageId": "0100-ses"}, SENT)

    assert backend.send(MAIL).message_id == "0100-ses"


def test_the_request_names_the_deployments_configuration_set() -> None:
    """Its events reach the deployment's topic; those of the identity's own set may not."""
    client = boto3.client("sesv2", config=SesBackend.config())
    with Stubber(client) as stubber:
        stubber.add_response(
            "send_email",
            {"MessageId": "0100-ses"},
            {**SENT, "ConfigurationSetName": "celeriac-shop"},
        )

        SesBackend(client, configuration_set="celeriac-shop").send(MAIL)


def test_the_setting_names_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """``mail_configuration_set``, which a deployment fills in."""
    sent: list[dict[str, Any]] = []

    def call(_: object, operation: str, request: dict[str, Any]) -> dict[str, str]:
        sent.append(request)
        return {"MessageId": "0100-ses"}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)

    backend_for(Settings(mail_configuration_set="celeriac-shop")).send(MAIL)

    assert [each["ConfigurationSetName"] for each in sent] == ["celeriac-shop"]


@pytest.mark.parametrize("task_id", ["nightly:7", "nightly.7", "7" * 257])
def test_an_id_that_can_be_no_tag_makes_none(
    stubbed: tuple[SesBackend, Stubber], task_id: str
) -> None:
    """Changed into one it might be the id of another task, which would get this mail's events."""
    backend, stubber = stubbed
    without = {name: value for name, value in SENT.items() if name != "EmailTags"}
    stubber.add_response("send_email", {"MessageId": "0100-ses"}, without)

    backend.send(replace(MAIL, task_id=task_id))


@pytest.mark.parametrize(
    ("code", "status", "error", "type"),
    [
        ("TooManyRequestsException", 429, MailThrottledError, None),
        ("ThrottlingException", 400, MailThrottledError, None),
        ("LimitExceededException", 400, MailThrottledError, None),
        ("SomethingNew", 429, MailThrottledError, None),
        ("InternalFailure", 500, OutcomeUnknownError, None),
        ("ServiceUnavailable", 503, OutcomeUnknownError, None),
        ("MessageRejected", 400, MailRejectedError, "mail-rejected"),
        ("BadRequestException", 400, MailRejectedError, "mail-rejected"),
        ("MailFromDomainNotVerifiedException", 400, MailRejectedError, "sender-not-verified"),
        ("AccountSuspendedException", 400, MailRejectedError, "account-suspended"),
        ("SendingPausedException", 400, MailRejectedError, "sending-paused"),
        ("AccessDeniedException", 403, ClientError, None),
    ],
)
def test_an_answer_of_ses_is_final_or_temporary_or_unknown(
    stubbed: tuple[SesBackend, Stubber],
    code: str,
    status: int,
    error: type[Exception],
    type: str | None,
) -> None:
    """Throttled is surely not sent, a server error may have been, a refusal is final; what isn't
    about the mail (permissions) stays what boto3 raised."""
    backend, stubber = stubbed
    stubber.add_client_error("send_email", code, "because", status)

    with pytest.raises(error, match=r"because|InternalFailure|ServiceUnavailable") as failure:
        backend.send(MAIL)

    assert failure.type is error
    assert getattr(failure.value, "type", None) == type


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (EndpointConnectionError(endpoint_url="https://ses"), MailTemporaryError),
        (ReadTimeoutError(endpoint_url="https://ses"), OutcomeUnknownError),
        (ConnectionClosedError(endpoint_url="https://ses"), OutcomeUnknownError),
    ],
)
def test_a_broken_connection_is_tried_once_and_judged_by_when_it_broke(
    fault: Exception, error: type[Exception]
) -> None:
    """Before the request, nothing was sent; after it, nobody knows. botocore doesn't try again."""
    client = boto3.client("sesv2", config=SesBackend.config())
    tries: list[Any] = []

    def break_off(**event: Any) -> None:
        tries.append(event)
        raise fault

    client.meta.events.register("before-send.sesv2.SendEmail", break_off)

    with pytest.raises(MailTemporaryError) as failure:
        SesBackend(client).send(MAIL)

    assert failure.type is error
    assert len(tries) == 1


def test_an_unverified_sender_is_refused(ses: Ses) -> None:
    """SES's own check, as moto makes it, ends in a refusal that says why."""
    unverified = Mail(
        sender="else@shop.net",
        recipients=MAIL.recipients,
        raw=MAIL.raw,
        message_id=MAIL.message_id,
        task_id=MAIL.task_id,
    )

    with pytest.raises(MailRejectedError, match=r"else@shop\.net"):
        SesBackend().send(unverified)


def test_a_busy_suppression_list_does_not_hold_up_the_mail(
    stubbed: tuple[SesBackend, Stubber],
) -> None:
    """Throttled or failing look-ups are answered with "not known": SES withholds by itself."""
    backend, stubber = stubbed
    for code, status in (("TooManyRequestsException", 429), ("InternalFailure", 500)):
        stubber.add_client_error("get_suppressed_destination", code, "busy", status)

        assert backend.suppressed(["a@mail.net", "b@mail.net"]) is None


def test_a_missing_permission_on_the_suppression_list_is_not_hidden(
    stubbed: tuple[SesBackend, Stubber],
) -> None:
    """A deployment without the permission gets the error."""
    backend, stubber = stubbed
    stubber.add_client_error("get_suppressed_destination", "AccessDeniedException", "no", 403)

    with pytest.raises(ClientError, match="AccessDenied"):
        backend.suppressed(["a@mail.net"])


def test_locally_the_mail_can_be_read_at_motos_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's server stands in for SES: nobody is suppressed, and it keeps the mail whole."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
        backend = SesBackend()

        assert backend.suppressed(["a+b@mail.net"]) == frozenset()
        receipt = backend.send(MAIL)

        with urllib.request.urlopen(f"{url}/moto-api/data.json") as answer:
            kept = json.load(answer)["ses"]["RawMessage"]
        assert [(each["id"], each["raw_data"]) for each in kept] == [
            (receipt.message_id, MAIL.raw.decode())
        ]
    finally:
        server.stop()
