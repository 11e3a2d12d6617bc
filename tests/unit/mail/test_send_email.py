from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pydantic import ValidationError

from celeriac.contract import Cancelled, PermanentError, RateLimited, RetryLater
from celeriac.settings import settings
from celeriac.testing.context import FakeContext
from tasks.mail.backend import (
    Mail,
    MailRejectedError,
    MailTemporaryError,
    MailThrottledError,
    OutcomeUnknownError,
    Receipt,
)
from tasks.mail.choice import backend
from tasks.queues import EMAIL
from tasks.send_email import SendEmail, one_line, send_email

from .conftest import SENDER, Ses

TUTORIAL = {"email": "user@example.com", "subject": "Hello", "message": "How are you?"}


class Faulty:
    """A mail backend whose ``send`` raises each of ``faults`` in turn, then sends."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.sent: list[Mail] = []

    def suppressed(self, addresses: object) -> frozenset[str]:
        return frozenset()

    def send(self, mail: Mail) -> Receipt:
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append(mail)
        return Receipt(message_id=f"id-{len(self.sent)}")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Faulty]:
    def install(*faults: Exception) -> Faulty:
        instead = Faulty(*faults)
        monkeypatch.setattr("tasks.mail.choice.backend", lambda: instead)
        return instead

    return install


def send(context: FakeContext, **payload: Any) -> Any:
    return send_email(SendEmail(**{**TUTORIAL, **payload}), context)


def test_the_tutorials_payload_is_a_mail(ses: Ses, context: FakeContext) -> None:
    """Address, subject and message reach SES as a plain-text mail from the verified sender."""
    result = send(context)

    [mail] = ses.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == (SENDER, "user@example.com", "Hello")
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().strip() == "How are you?"
    assert result.message_id == ses.sent[0].id
    assert result.recipients == ["user@example.com"]
    assert (result.attempt, result.suppressed, result.refused) == (1, [], {})
    assert result.suppression_checked
    assert context.steps[-1][:2] == (1, 1)


def test_everything_a_mail_can_have_arrives(ses: Ses, context: FakeContext, tmp_path: Path) -> None:
    """Copies, reply-to, names, both bodies and attachments survive the way to SES unchanged."""
    picture = tmp_path / "stored-picture"
    picture.write_bytes(bytes(range(256)) * 40)
    context.files["files/t/1/Снимок.png"] = picture

    result = send(
        context,
        subject="Grüße — привет 👋",
        message="Zeile eins\n" + "ä" * 2_000,
        html="<p>Привет</p>",
        cc=["cc@mail.net"],
        bcc=["hidden@mail.net"],
        reply_to="answers@shop.net",
        from_name="Müller & Söhne",
        attachments=[
            {"key": "files/t/1/Снимок.png"},
            {"key": "files/t/1/Снимок.png", "name": "raw.bin", "content_type": "application/x-raw"},
        ],
    )

    [mail] = ses.mails
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert mail["Subject"] == "Grüße — привет 👋"
    assert mail["From"].addresses[0].display_name == "Müller & Söhne"
    assert (mail["Cc"], mail["Reply-To"]) == ("cc@mail.net", "answers@shop.net")
    assert text.get_content().splitlines() == ["Zeile eins", "ä" * 2_000]
    assert html.get_content().strip() == "<p>Привет</p>"
    attached = [
        (each.get_filename(), each.get_content_type(), each.get_content())
        for each in mail.iter_attachments()
    ]
    assert attached == [
        ("Снимок.png", "image/png", picture.read_bytes()),
        ("raw.bin", "application/x-raw", picture.read_bytes()),
    ]
    assert result.recipients == ["user@example.com", "cc@mail.net", "hidden@mail.net"]


def test_blind_copies_are_in_the_envelope_only(ses: Ses, context: FakeContext) -> None:
    """A bcc recipient gets the mail and no header tells the others."""
    send(context, bcc=["hidden@mail.net"])

    assert "hidden@mail.net" in ses.sent[0].destinations
    assert "hidden" not in ses.sent[0].raw_data


def test_every_line_is_short_and_seven_bit(ses: Ses, context: FakeContext) -> None:
    """SES asks for ASCII lines of less than 1,000 characters, whatever the text holds."""
    send(context, message="ё" * 5_000 + "\n" + "x" * 5_000, subject="ы" * 400)

    raw = ses.sent[0].raw_data
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) < 1_000


def test_the_task_id_goes_along(ses: Ses, context: FakeContext) -> None:
    """A header and the Message-ID name the task, the same in every attempt."""
    send(context)

    [mail] = ses.mails
    assert mail["X-Celeriac-Task-Id"] == context.task_id
    assert mail["Message-ID"] == f"<{context.task_id}@shop.net>"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_template_gives_subject_text_and_html(ses: Ses, context: FakeContext) -> None:
    """A template needs nothing but its variables; a subject of the caller's goes first."""
    variables = {"name": "Zoë", "product": "Shop", "action_url": "https://shop.net/start"}

    send_email(SendEmail(email="a@mail.net", template="welcome", variables=variables), context)
    mine = SendEmail(email="a@mail.net", subject="Mine", template="welcome", variables=variables)
    send_email(mine, context)

    first, second = ses.mails
    html = first.get_body(("html",))
    assert html is not None
    assert first["Subject"] == "Welcome to Shop, Zoë"
    assert "https://shop.net/start" in html.get_content()
    assert second["Subject"] == "Mine"


@pytest.mark.parametrize(
    ("content", "type", "named"),
    [
        ({"template": "welcom"}, "unknown-template", "welcome"),
        (
            {"template": "welcome", "variables": {"product": "Shop"}},
            "template-variables",
            "'name' is undefined",
        ),
        (
            {
                "template": "welcome",
                "variables": {
                    "name": "Zoë",
                    "product": "Shop",
                    "action_url": "javascript:alert(1)",
                },
            },
            "template-variables",
            "javascript:alert(1)",
        ),
        (
            {"template": "notification", "variables": {"heading": "x", "paragraphs": 5}},
            "template-variables",
            "not iterable",
        ),
        (
            {
                "template": "notification",
                "variables": {"heading": "x\r\nBcc: all@mail.net", "paragraphs": ["x"]},
            },
            "invalid-subject",
            "one line",
        ),
        (
            {
                "template": "notification",
                "variables": {"heading": "=?a" * 300_000, "paragraphs": ["x"]},
            },
            "invalid-subject",
            "900,000 characters; 500 are allowed",
        ),
    ],
)
def test_a_template_that_cannot_be_used_fails_for_good(
    ses: Ses, context: FakeContext, content: dict[str, Any], type: str, named: str
) -> None:
    """Unknown templates, missing variables and unusable ones are named, and nothing is sent."""
    with pytest.raises(PermanentError) as failure:
        send_email(SendEmail(email="a@mail.net", **content), context)

    assert failure.value.type == type
    assert named in failure.value.detail
    assert ses.sent == []


@pytest.mark.parametrize(
    "payload",
    [
        {"email": "not an address"},
        {"email": "a@b"},
        {"email": "a@mail.net\nBcc: b@mail.net"},
        {"email": "ü@mail.net"},
        {"cc": ["a@mail.net, b@mail.net"]},
        {"reply_to": "a@mail.net\r\nX: y"},
        {"subject": "Hi\r\nBcc: b@mail.net"},
        {"subject": "Hi\nthere"},
        {"subject": "bell \a"},
        {"subject": "line\u2028separator"},
        {"subject": "=?utf-8?q?Hi=0D=0ABcc:_b@mail.net?="},
        {"subject": "invoice\u202efdp.exe"},
        {"subject": "a\u2066b\u2069"},
        {"from_name": "Shop\u202a"},
        {"attachments": [{"key": "k", "name": "invoice\u202efdp.exe"}]},
        {"email": "=?utf-8?q?a?=@mail.net"},
        {"cc": ["=?utf-8?q?a?=@mail.net"]},
        {"email": "a" * 65 + "@mail.net"},
        {"reply_to": "a" * 65 + "@mail.net"},
        {"email": "Jane <jane@mail.net>"},
        {"email": "a@" + "m" * 300 + ".net"},
        {"subject": ""},
        {"subject": None},
        {"subject": "x" * 501},
        {"from_name": "Me\r\nBcc: b@mail.net"},
        {"message": None},
        {"message": ""},
        {"template": "welcome"},
        {"variables": {"name": "Zoë"}},
        {"message": None, "template": "../../secrets"},
        {"message": None, "template": "welcome", "variables": {"name": "\ud800"}},
        {"attachments": [{"key": "k", "name": "../up"}]},
        {"attachments": [{"key": "k", "name": "a\r\nb"}]},
        {"attachments": [{"key": "k", "content_type": "message/rfc822"}]},
        {"attachments": [{"key": "k", "content_type": "text/html\r\nX: y"}]},
        {"attachments": [{"key": "k"}] * 21},
        {"bcc": [f"a{n}@mail.net" for n in range(50)]},
        {"if_unsure": "maybe"},
    ],
)
def test_a_wrong_payload_is_refused_before_it_is_a_task(payload: dict[str, Any]) -> None:
    """Addresses, headers, bodies and limits are checked by the payload's model."""
    with pytest.raises(ValidationError):
        SendEmail(**{**TUTORIAL, **payload})


def test_a_template_may_be_named_as_the_tutorial_does(ses: Ses, context: FakeContext) -> None:
    """``template_name`` is the template, so that no mail goes out without it."""
    variables = {"name": "Zoë", "product": "Shop", "action_url": "https://shop.net/start"}
    mail = {"email": "a@mail.net", "template_name": "welcome", "variables": variables}

    send_email(SendEmail.model_validate(mail), context)

    assert ses.mails[0]["Subject"] == "Welcome to Shop, Zoë"


def test_a_text_next_to_a_template_is_refused_with_the_templates() -> None:
    """The caller learns which templates there are before anything is queued."""
    with pytest.raises(ValidationError, match="notification, report-ready, welcome"):
        SendEmail.model_validate({**TUTORIAL, "template_name": "welcome"})


@pytest.mark.parametrize("beginning", ["=?a", "=?", "?=", "\u202e", "a@"])
@pytest.mark.parametrize("field", ["subject", "from_name", "email"])
def test_a_hostile_header_costs_no_time(field: str, beginning: str) -> None:
    """Length comes before content, and no check of a header takes more than linear time."""
    started = time.thread_time()
    with pytest.raises(ValidationError):
        SendEmail(**{**TUTORIAL, field: beginning * 1_000_000})
    with suppress(ValueError):
        one_line(beginning * 1_000_000)
    assert time.thread_time() - started < 2


def test_a_domain_may_be_international(ses: Ses, context: FakeContext) -> None:
    """A domain in any script becomes its ASCII form, the only one SES takes."""
    assert send(context, email="info@почта.рф").recipients == ["info@xn--80a1acny.xn--p1ai"]


def test_a_recipient_given_twice_gets_one_mail(ses: Ses, context: FakeContext) -> None:
    """The envelope names each address once."""
    result = send(context, cc=["user@example.com", "b@mail.net"], bcc=["b@mail.net"])

    assert result.recipients == ["user@example.com", "b@mail.net"]


def test_suppressed_recipients_are_left_out_and_named(ses: Ses, context: FakeContext) -> None:
    """A listed recipient gets no mail and is in no header; the others get theirs."""
    ses.suppressed = {"gone@mail.net"}

    result = send(context, cc=["gone@mail.net", "here+1@mail.net"])

    assert result.recipients == ["user@example.com", "here+1@mail.net"]
    assert result.suppressed == ["gone@mail.net"]
    assert "gone@mail.net" not in ses.sent[0].destinations
    assert ses.mails[0]["Cc"] == "here+1@mail.net"


def test_a_fully_suppressed_mail_fails_for_good(ses: Ses, context: FakeContext) -> None:
    """With nobody left to send to, nothing is sent and the addresses are named."""
    ses.suppressed = {"user@example.com"}

    with pytest.raises(PermanentError, match=r"user@example\.com") as failure:
        send(context)

    assert failure.value.type == "recipient-suppressed"
    assert ses.sent == []


def test_a_mail_over_the_limit_fails_for_good(
    ses: Ses, context: FakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit counts the whole mail as sent; base64 makes an attachment a third larger."""
    monkeypatch.setenv("CELERIAC_MAIL_MAX_BYTES", "100000")
    settings.cache_clear()
    for name, size in (("fits", 60_000), ("encoded-too-large", 80_000), ("too-large", 200_000)):
        (tmp_path / name).write_bytes(b"x" * size)
        context.files[name] = tmp_path / name

    send(context, attachments=[{"key": "fits"}])
    context.artifacts.clear()
    for name in ("encoded-too-large", "too-large"):
        with pytest.raises(PermanentError, match="100,000") as failure:
            send(context, attachments=[{"key": name}])
        assert failure.value.type == "message-too-large"

    assert len(ses.sent) == 1


def test_a_missing_attachment_fails_for_good(ses: Ses, context: FakeContext) -> None:
    """An artifact that isn't there is named, and nothing is sent."""
    with pytest.raises(PermanentError, match="nowhere") as failure:
        send(context, attachments=[{"key": "nowhere"}])

    assert failure.value.type == "artifact-not-found"
    assert ses.sent == []


def test_a_refusal_is_permanent_and_keeps_its_type(
    faulty: Callable[..., Faulty], context: FakeContext
) -> None:
    """What the backend refuses for good is a PermanentError of the same type."""
    faulty(MailRejectedError("No such mailbox.", type="recipient-rejected"))

    with pytest.raises(PermanentError, match="No such mailbox") as failure:
        send(context)

    assert failure.value.type == "recipient-rejected"


def test_a_transient_fault_asks_for_another_attempt(
    faulty: Callable[..., Faulty], context: FakeContext
) -> None:
    """The delay follows the task type's policy, which allows five retries."""
    faulty(MailTemporaryError("Slow down."))

    with pytest.raises(RetryLater, match="Slow down") as retry:
        send(context)

    assert timedelta(0) <= retry.value.after <= send_email.retry.first_delay
    assert send_email.retry.attempts == 6
    assert send_email.queue == EMAIL


def test_throttling_uses_up_no_attempt(faulty: Callable[..., Faulty], context: FakeContext) -> None:
    """SES's rate is the account's, so a burst of mails waits for it and none of them fails."""
    faulty(MailThrottledError("SES throttles this account: Maximum sending rate exceeded."))

    with pytest.raises(RateLimited, match="Maximum sending rate") as retry:
        send(context)

    assert timedelta(0) <= retry.value.after <= send_email.retry.first_delay


@pytest.mark.parametrize("attempt", [1, 2, 4])
def test_a_mail_that_was_sent_is_not_sent_again(
    ses: Ses,
    context: FakeContext,
    after: Callable[..., FakeContext],
    attempt: int,
) -> None:
    """A worker that dies after sending leaves a note; the next attempt returns its result.

    Attempt 1 again is a takeover: the dead worker's lease ran out, and its attempt went on.
    """
    first = send(context)

    again = send(after(context, attempt=attempt))

    assert again == first
    assert len(ses.sent) == 1


def test_an_unknown_outcome_is_sent_again_by_default(
    faulty: Callable[..., Faulty], context: FakeContext, after: Callable[..., FakeContext]
) -> None:
    """After a lost answer the mail may go twice, which the caller accepted."""
    mails = faulty(OutcomeUnknownError("The answer got lost."))
    with pytest.raises(RetryLater):
        send(context)

    assert send(after(context)).attempt == 2
    assert len(mails.sent) == 1


def test_an_unknown_outcome_can_be_final(
    faulty: Callable[..., Faulty], context: FakeContext
) -> None:
    """With if_unsure=fail, a lost answer ends the task: better no mail than two."""
    faulty(OutcomeUnknownError("The answer got lost."))

    with pytest.raises(PermanentError, match="Attempt 1") as failure:
        send(context, if_unsure="fail")

    assert failure.value.type == "delivery-unknown"


def test_a_worker_killed_while_sending_leaves_an_unknown_outcome(
    faulty: Callable[..., Faulty], context: FakeContext, after: Callable[..., FakeContext]
) -> None:
    """The note written before sending tells the next attempt, which fails rather than repeat."""
    mails = faulty(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        send(context, if_unsure="fail")

    with pytest.raises(PermanentError) as failure:
        send(after(context), if_unsure="fail")

    assert failure.value.type == "delivery-unknown"
    assert mails.sent == []


def test_a_mail_surely_not_sent_is_tried_again_even_so(
    faulty: Callable[..., Faulty], context: FakeContext, after: Callable[..., FakeContext]
) -> None:
    """With if_unsure=fail, throttling leaves nothing unsure: the next attempt sends."""
    mails = faulty(MailTemporaryError("Slow down."))
    with pytest.raises(RetryLater):
        send(context, if_unsure="fail")

    assert send(after(context), if_unsure="fail").attempt == 2
    assert len(mails.sent) == 1


@pytest.mark.parametrize(
    "fault",
    [
        ClientError({"Error": {"Code": "InternalError", "Message": "S3"}}, "PutObject"),
        ReadTimeoutError(endpoint_url="https://s3"),
    ],
)
def test_a_sent_mail_is_a_success_even_if_that_cannot_be_noted(
    ses: Ses, context: FakeContext, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Failing after the mail has gone would only send it again."""

    def fail(*args: object, **options: object) -> None:
        raise fault

    monkeypatch.setattr(context, "save_artifact", fail)

    assert send(context).message_id == ses.sent[0].id


def test_cancelled_before_sending_sends_nothing(ses: Ses, context: FakeContext) -> None:
    """A cancelled task that hasn't sent yet ends without a mail."""
    context.cancelled = True

    with pytest.raises(Cancelled):
        send(context)

    assert ses.sent == []


def test_the_backend_is_made_once_a_process(ses: Ses) -> None:
    """A worker's process keeps its client, with its connection."""
    assert backend() is backend()
