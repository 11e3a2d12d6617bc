"""Against a real SMTP server, in a thread of this process."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from celeriac.settings import Settings, settings
from celeriac.testing.context import FakeContext
from tasks.mail.backend import (
    Mail,
    MailError,
    MailRejectedError,
    MailTemporaryError,
    OutcomeUnknownError,
)
from tasks.mail.choice import backend_for
from tasks.mail.smtp import SmtpBackend
from tasks.send_email import SendEmail, send_email

from .conftest import SENDER, parse

USER, PASSWORD = "post@shop.net", "hunter2/and:more"
MAIL = Mail(
    sender=SENDER,
    recipients=("a@mail.net", "b@mail.net"),
    raw=b"From: post@shop.net\r\nSubject: Hi\r\n\r\n.a dot first\r\nHi\r\n",
    message_id="<1@shop.net>",
    task_id="1",
)


@dataclass
class Inbox:
    """The server's handler: keeps mails, or gives set answers. ``answers`` is by RCPT address, or
    ``MAIL`` and ``DATA`` for those steps."""

    mails: list[Envelope] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.mails.append(envelope)
        return "250 OK"


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else ()
    return AuthResult(success=given == (USER, PASSWORD), handled=False)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def serve(inbox: Inbox) -> Iterator[Callable[..., str]]:
    """Start a server and give its ``host:port``."""
    running: list[Controller] = []

    def start(**options: Any) -> str:
        controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return f"127.0.0.1:{controller.port}"

    yield start
    for each in running:
        each.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that this test's clients trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    chain, secret = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context


def smtp(url: str) -> SmtpBackend:
    backend = backend_for(Settings(smtp_url=url))
    assert isinstance(backend, SmtpBackend)
    return backend


def test_a_mail_arrives_byte_for_byte(serve: Callable[..., str], inbox: Inbox) -> None:
    """Envelope and content are what was given, lines that begin with a dot included."""
    receipt = smtp(f"smtp://{serve()}").send(MAIL)

    [envelope] = inbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["a@mail.net", "b@mail.net"])
    assert envelope.content == MAIL.raw
    assert (receipt.message_id, receipt.refused) == ("<1@shop.net>", {})


def test_the_task_sends_through_smtp_when_that_is_set(
    serve: Callable[..., str],
    inbox: Inbox,
    context: FakeContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One setting moves send-email from SES to an SMTP server; nothing else changes."""
    monkeypatch.setenv("CELERIAC_SMTP_URL", f"smtp://{serve()}")
    settings.cache_clear()
    inbox.answers["no@mail.net"] = "550 5.1.1 No such mailbox"

    result = send_email(
        SendEmail(email="a@mail.net", subject="Привет", message="Hi", cc=["no@mail.net"]), context
    )

    content = inbox.mails[0].content
    assert isinstance(content, bytes)
    mail = parse(content)
    assert mail["Subject"] == "Привет"
    assert result.message_id == mail["Message-ID"] == f"<{context.task_id}@shop.net>"
    assert result.recipients == ["a@mail.net"]
    assert list(result.refused) == ["no@mail.net"]
    assert "No such mailbox" in result.refused["no@mail.net"]
    assert not result.suppression_checked


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_logging_in_over_tls(
    scheme: str, serve: Callable[..., str], inbox: Inbox, tls: ssl.SSLContext
) -> None:
    """Both STARTTLS and TLS from the first byte carry user and password, percent-decoded."""
    options = {"tls_context": tls} if scheme == "smtp" else {"ssl_context": tls}
    address = serve(authenticator=authenticate, auth_require_tls=scheme == "smtp", **options)

    smtp(f"{scheme}://post%40shop.net:hunter2%2Fand%3Amore@{address}").send(MAIL)

    assert len(inbox.mails) == 1


def test_a_password_is_never_sent_in_the_clear(serve: Callable[..., str], inbox: Inbox) -> None:
    """A server without encryption gets neither the password nor the mail."""
    address = serve(authenticator=authenticate, auth_require_tls=False)

    with pytest.raises(MailTemporaryError, match="no encryption"):
        smtp(f"smtp://post%40shop.net:hunter2%2Fand%3Amore@{address}").send(MAIL)

    assert inbox.mails == []


def test_an_untrusted_certificate_is_refused(
    serve: Callable[..., str],
    inbox: Inbox,
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encryption towards just anyone protects nothing."""
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(MailTemporaryError, match="SSLCertVerificationError"):
        smtp(f"smtps://{serve(ssl_context=tls)}").send(MAIL)


def test_no_error_and_no_log_line_tells_the_password(
    serve: Callable[..., str],
    tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refused login says which setting to check, and neither user nor password, in any cause."""
    caplog.set_level(logging.DEBUG)
    address = serve(authenticator=authenticate, tls_context=tls)
    backend = smtp(f"smtp://wrong-user:wrong-secret@{address}")

    with pytest.raises(MailTemporaryError, match="CELERIAC_SMTP_URL") as failure:
        backend.send(MAIL)

    traceback_text = "".join(traceback.format_exception(failure.value))
    assert "wrong-secret" not in caplog.text + repr(vars(backend)) + traceback_text


@pytest.mark.parametrize(
    ("answers", "error", "type"),
    [
        ({"MAIL": "550 no such sender"}, MailRejectedError, "sender-not-verified"),
        ({"MAIL": "451 later"}, MailTemporaryError, None),
        ({"DATA": "554 looks like spam"}, MailRejectedError, "mail-rejected"),
        ({"DATA": "452 disk full"}, MailTemporaryError, None),
        (
            {"a@mail.net": "550 who?", "b@mail.net": "550 who?"},
            MailRejectedError,
            "recipient-rejected",
        ),
        ({"a@mail.net": "550 who?", "b@mail.net": "450 later"}, MailTemporaryError, None),
    ],
)
def test_a_reply_is_final_from_500_on(
    serve: Callable[..., str],
    inbox: Inbox,
    answers: dict[str, str],
    error: type[MailError],
    type: str | None,
) -> None:
    """4xx asks for another attempt, 5xx is a refusal, whichever step it answers."""
    inbox.answers = answers

    with pytest.raises(error) as failure:
        smtp(f"smtp://{serve()}").send(MAIL)

    assert failure.type is error
    assert getattr(failure.value, "type", None) == type
    assert inbox.mails == []


def test_a_server_that_is_not_there_is_a_temporary_fault() -> None:
    """A refused connection sent nothing."""
    with pytest.raises(MailTemporaryError, match="ConnectionRefusedError") as failure:
        smtp(f"smtp://127.0.0.1:{free_port()}").send(MAIL)

    assert failure.type is MailTemporaryError


@pytest.mark.parametrize(
    ("last_words", "error"),
    [("RCPT", MailTemporaryError), (".", OutcomeUnknownError)],
)
def test_a_lost_connection_is_unknown_once_the_mail_is_on_its_way(
    last_words: str, error: type[Exception]
) -> None:
    """A server that dies at RCPT has no mail; after the final dot it may have taken it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=hang_up_at, args=(listener, last_words))
    server.start()
    try:
        with pytest.raises(MailTemporaryError) as failure:
            smtp(f"smtp://127.0.0.1:{listener.getsockname()[1]}").send(MAIL)
    finally:
        server.join()
        listener.close()

    assert failure.type is error


def hang_up_at(listener: socket.socket, last_words: str) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb", buffering=0) as wire:
        wire.write(b"220 here\r\n")
        for line in wire:
            verb = line.decode().strip().partition(" ")[0].upper()
            if verb == last_words:
                return
            if verb in ("EHLO", "MAIL", "RCPT"):
                wire.write(b"250 OK\r\n")
            elif verb == "DATA":
                wire.write(b"354 go on\r\n")


def test_a_server_that_will_not_say_goodbye_changes_nothing(
    serve: Callable[..., str], inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the mail is accepted, a fault at QUIT must not bring it again."""

    async def rude(self: SMTP, arg: str) -> None:
        assert isinstance(self.transport, asyncio.WriteTransport)
        self.transport.abort()

    monkeypatch.setattr(SMTP, "smtp_QUIT", rude)

    receipt = smtp(f"smtp://{serve()}").send(replace(MAIL, recipients=("a@mail.net",)))

    assert receipt.message_id == MAIL.message_id
    assert len(inbox.mails) == 1
