"""``send-email``: one mail of text, HTML or a template, sent once as far as possible."""

from __future__ import annotations

import json
import mimetypes
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from celeriac import (
    BaseModel,
    Field,
    PermanentError,
    RateLimited,
    Retry,
    RetryLater,
    TaskContext,
    task,
)
from tasks.queues import EMAIL

if TYPE_CHECKING:
    from tasks.mail.backend import Mail, Receipt
    from tasks.mail.message import AttachedFile

# A recipient is any "To", "Cc" or "Bcc" address: docs.aws.amazon.com/ses/latest/dg/quotas.html
MOST_RECIPIENTS = 50
MOST_ATTACHMENTS = 20

# Five retries. SES advises to wait up to ten minutes while it throttles.
RETRY = Retry(attempts=6, first_delay=timedelta(seconds=30), max_delay=timedelta(minutes=10))

DELIVERY = "delivery.json"

# RFC 5321, section 4.5.3.1: the part before the @, and a whole path without its brackets.
LONGEST_LOCAL_PART = 64
LONGEST_ADDRESS = 254
LONGEST_SUBJECT = 500
LONGEST_SHOWN = 60

# Characters that show a text in another order than it is written in, or hide a part of it:
# embeddings, overrides, isolates, their deprecated kin, and annotations.
_REORDERING = frozenset(
    map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x2070), *range(0xFFF9, 0xFFFC)))
)


def one_line(text: str) -> str:
    """The text, if a header can hold it: one line of characters that show as they are written.

    An encoded word (RFC 2047), ``=?utf-8?q?...?=``, is refused too: ``email.message`` decodes it,
    and any line break hidden in it.
    """
    if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in text):
        raise ValueError(f"it must be one line of text without control characters: {_shown(text)}")
    if not _REORDERING.isdisjoint(text):
        raise ValueError(f"it has a character that changes the order of others: {_shown(text)}")
    # No regular expression: on many beginnings without an end, it would search from each of them.
    if "?=" in text.partition("=?")[2]:
        raise ValueError(f"it must be plain text, not encoded as =?...?=: {_shown(text)}")
    return text


def _shown(text: str) -> str:
    return ascii(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")


def mailable(address: str) -> str:
    """The address in ASCII, as SES requires: a domain's name becomes its IDNA form.

    A display name is refused, and so is a part before the @ that a server may cut or decode.
    """
    from email_validator import validate_email

    valid = validate_email(address, check_deliverability=False)
    if valid.ascii_email is None:
        raise ValueError("the part before the @ must be ASCII: mail servers accept no other")
    if len(valid.local_part) > LONGEST_LOCAL_PART:
        raise ValueError(f"the part before the @ has {LONGEST_LOCAL_PART} characters at most")
    if "=?" in valid.local_part:
        raise ValueError("the part before the @ begins an encoded word, =?...?=")
    return valid.ascii_email


# The length comes first in each: the checks of the content see no longer text.
Address = Annotated[
    str,
    StringConstraints(max_length=LONGEST_ADDRESS),
    AfterValidator(mailable),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": LONGEST_ADDRESS}),
]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(one_line)
]
Subject = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_SUBJECT),
    AfterValidator(one_line),
]
FileName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^/\\]+$"),
    AfterValidator(one_line),
]
Key = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1_024),
    AfterValidator(one_line),
]
Body = Annotated[str, StringConstraints(min_length=1, max_length=2_000_000)]


class Attachment(BaseModel):
    """An artifact to attach, with the name and type that the recipient sees."""

    key: Key = Field(description="The artifact's key.")
    name: FileName | None = Field(
        None, description="The file's name; the key's last part by default."
    )
    content_type: str | None = Field(
        None,
        max_length=100,
        # multipart/* and message/* aren't files; they would change the mail's structure.
        pattern=r"^(application|audio|font|image|model|text|video)/[A-Za-z0-9.+-]+$",
        description="Its media type; guessed from its name by default.",
    )


class SendEmail(BaseModel):
    """A mail: its recipients, and a text, HTML (or both), or a template."""

    model_config = ConfigDict(
        validate_by_name=True,
        json_schema_extra={
            "examples": [
                {"email": "jane@example.com", "subject": "Hello", "message": "How are you?"},
                {
                    "email": "jane@example.com",
                    "template": "welcome",
                    "variables": {
                        "name": "Jane",
                        "product": "Shop",
                        "action_url": "https://shop.example.com/start",
                    },
                    "attachments": [{"key": "uploads/0198c0de/sales.csv"}],
                },
            ]
        },
    )

    email: Address = Field(description="The recipient's address, without a display name.")
    cc: list[Address] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    bcc: list[Address] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    reply_to: Address | None = Field(None, description="The address for answers.")
    from_name: Name = Field("", description="The sender's display name.")
    subject: Subject | None = Field(
        None, description="Required without a template, which has its own."
    )
    message: Body | None = Field(None, description="The text.")
    html: Body | None = Field(None, description="The text as HTML, sent as written.")
    template: str | None = Field(
        None,
        max_length=100,
        pattern=r"^[a-z0-9-]+$",
        validation_alias=AliasChoices("template", "template_name"),
        description="The name of a template, which has subject, text and HTML. "
        "`template_name` is read too.",
    )
    variables: dict[str, JsonValue] = Field(
        default_factory=dict, max_length=100, description="The values that the template needs."
    )
    attachments: list[Attachment] = Field(default_factory=list, max_length=MOST_ATTACHMENTS)
    if_unsure: Literal["send-again", "fail"] = Field(
        "send-again",
        description="What to do after an attempt that may have sent the mail: "
        "`send-again` may send it twice, `fail` may not send it at all.",
    )

    @field_validator("variables")
    @classmethod
    def _writable(cls, variables: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            json.dumps(variables, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError(
                "a value has half of a surrogate pair, which is not valid text"
            ) from None
        return variables

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.template is None:
            if self.message is None and self.html is None:
                raise ValueError("give one of message, html or template")
            if self.subject is None:
                raise ValueError("give a subject: only a template has its own")
            if self.variables:
                raise ValueError("variables need a template: give one too")
        elif self.message is not None or self.html is not None:
            from tasks.mail.names import templates

            raise ValueError(
                f"the template {self.template!r} has its own text and HTML: leave out message and "
                f"html, and give the template's values in variables. "
                f"The templates are {', '.join(templates())}"
            )
        if len(self.recipients) > MOST_RECIPIENTS:
            raise ValueError(
                f"a mail has {MOST_RECIPIENTS} recipients at most, cc and bcc included"
            )
        return self

    @property
    def recipients(self) -> list[str]:
        """Every address once, in order."""
        return list(dict.fromkeys([self.email, *self.cc, *self.bcc]))


class SentEmail(BaseModel):
    """The recipients of the mail, those left out, and its id at SES or the SMTP server."""

    message_id: str
    recipients: list[str] = Field(description="Accepted for delivery.")
    suppressed: list[str] = Field(description="Left out: on the account's suppression list.")
    suppression_checked: bool = Field(
        description="Whether the list could be read. SES applies it in any case."
    )
    refused: dict[str, str] = Field(description="Refused by the mail server, each with its reason.")
    attempt: int = Field(description="The attempt that sent it.")
    sent_at: datetime


class Delivery(BaseModel):
    """An attempt's note about itself, an artifact for later attempts to read.

    ``sending`` and ``not-sent`` are noted only if ``if_unsure`` is ``fail``.
    """

    state: Literal["sending", "not-sent", "sent"]
    result: SentEmail | None = None


@task(queue=EMAIL, time_limit=timedelta(minutes=5), retry=RETRY, sends_mail=True)
def send_email(payload: SendEmail, context: TaskContext) -> SentEmail:
    """Send a mail through SES or an SMTP server.

    The mail has text, HTML or a template, with cc, bcc, reply-to and attachments. Recipients on the
    suppression list are left out, and named in the result. If an earlier attempt sent the mail, a
    later one sends nothing.
    """
    from tasks.mail.backend import (
        MailRejectedError,
        MailTemporaryError,
        MailThrottledError,
        OutcomeUnknownError,
    )
    from tasks.mail.choice import backend

    if already := _sent_before(payload, context):
        context.logger.info("Attempt %d already sent the mail", already.attempt)
        return already
    withheld = backend().suppressed(payload.recipients)
    mail = _compose(payload, context, withheld or frozenset())
    context.progress(0, 1, f"Sending to {len(mail.recipients)}")
    if payload.if_unsure == "fail":
        _note(context, Delivery(state="sending"))
    try:
        receipt = backend().send(mail)
    except MailRejectedError as error:
        raise PermanentError(error.detail, type=error.type) from error
    except MailTemporaryError as error:
        if payload.if_unsure == "fail":
            if isinstance(error, OutcomeUnknownError):
                raise _unsure(context.attempt) from error
            _note(context, Delivery(state="not-sent"))
        later = RateLimited if isinstance(error, MailThrottledError) else RetryLater
        raise later(RETRY.delay(context.attempt), error.detail) from error
    result = _result(payload, context, mail, receipt, withheld)
    _note_sent(context, result)
    context.progress(1, 1, "Sent")
    return result


def _sent_before(payload: SendEmail, context: TaskContext) -> SentEmail | None:
    """The result of an earlier attempt, or of this one on a worker that lost it.

    Raises:
        PermanentError: an attempt may have sent the mail, and ``if_unsure`` is ``fail``.
    """
    for attempt in range(context.attempt, 0, -1):
        delivery = _noted(context, attempt)
        if delivery and delivery.result:
            return delivery.result
        if delivery and delivery.state == "sending" and payload.if_unsure == "fail":
            raise _unsure(attempt)
    return None


def _noted(context: TaskContext, attempt: int) -> Delivery | None:
    try:
        path = context.read_artifact(f"tasks/{context.task_id}/{attempt}/{DELIVERY}")
    except PermanentError as error:
        if error.type == "artifact-not-found":
            return None
        raise
    return Delivery.model_validate_json(path.read_bytes())


def _note(context: TaskContext, delivery: Delivery) -> None:
    content = delivery.model_dump_json().encode()
    context.save_artifact(DELIVERY, content, content_type="application/json")


def _note_sent(context: TaskContext, result: SentEmail) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _note(context, Delivery(state="sent", result=result))
    except (BotoCoreError, ClientError):
        # The mail has been sent. A failure now would cause an attempt that sends it again.
        context.logger.exception("The mail was sent, but the note of it could not be saved")


def _unsure(attempt: int) -> PermanentError:
    return PermanentError(
        f"Attempt {attempt} may have sent the mail, and if_unsure is "
        "'fail'. Look for the task's id in SES's events or ask the recipient before sending again.",
        type="delivery-unknown",
    )


def _compose(payload: SendEmail, context: TaskContext, withheld: frozenset[str]) -> Mail:
    from celeriac.settings import settings
    from tasks.mail.backend import Mail
    from tasks.mail.message import compose

    sender = settings().mail_from
    if sender is None:
        raise PermanentError(
            "This deployment sends no mail: CELERIAC_MAIL_FROM names no sender.",
            type="mail-not-configured",
        )
    recipients = tuple(each for each in payload.recipients if each not in withheld)
    if not recipients:
        raise PermanentError(
            "Every recipient is on the suppression list, so nothing was sent: "
            f"{', '.join(payload.recipients)}. "
            "Remove an address from the list if its owner wants mail again.",
            type="recipient-suppressed",
        )
    subject, text, html = _content(payload)
    message = compose(
        sender=sender,
        sender_name=payload.from_name,
        to=[payload.email] if payload.email in recipients else [],
        cc=[each for each in dict.fromkeys(payload.cc) if each in recipients],
        reply_to=payload.reply_to,
        subject=subject,
        text=text,
        html=html,
        attachments=_attachments(payload, context, settings().mail_max_bytes),
        task_id=context.task_id,
    )
    raw = message.as_bytes()
    if len(raw) > settings().mail_max_bytes:
        raise _too_large(len(raw), settings().mail_max_bytes)
    return Mail(
        sender=sender,
        recipients=recipients,
        raw=raw,
        message_id=message["Message-ID"],
        task_id=context.task_id,
    )


def _content(payload: SendEmail) -> tuple[str, str | None, str | None]:
    """Subject, text and HTML."""
    if payload.template is None:
        return payload.subject or "", payload.message, payload.html
    from tasks.mail.templates import TemplateFault, UnknownTemplateError, render

    try:
        rendered = render(payload.template, payload.variables)
    except UnknownTemplateError as error:
        raise PermanentError(str(error), type="unknown-template") from error
    except TemplateFault as error:
        raise PermanentError(str(error), type="template-variables") from error
    try:
        return payload.subject or _subject(rendered.subject), rendered.text, rendered.html
    except ValueError as error:
        raise PermanentError(
            f"The subject from the template {payload.template!r} can't be used: {error}.",
            type="invalid-subject",
        ) from error


def _subject(rendered: str) -> str:
    if len(rendered) > LONGEST_SUBJECT:
        raise ValueError(f"it has {len(rendered):,} characters; {LONGEST_SUBJECT} are allowed")
    return one_line(rendered)


def _attachments(payload: SendEmail, context: TaskContext, limit: int) -> list[AttachedFile]:
    from tasks.mail.message import AttachedFile

    files: list[AttachedFile] = []
    total = 0
    for each in payload.attachments:
        path = context.read_artifact(each.key)
        total += path.stat().st_size
        if total > limit:  # before the file is in memory
            raise _too_large(total, limit)
        name = each.name or each.key.rstrip("/").rpartition("/")[2] or "attachment"
        guessed, encoding = mimetypes.guess_type(name)
        content_type = guessed if guessed and not encoding else "application/octet-stream"
        files.append(
            AttachedFile(
                name=name,
                content_type=each.content_type or content_type,
                content=path.read_bytes(),
            )
        )
    return files


def _too_large(size: int, limit: int) -> PermanentError:
    return PermanentError(
        f"The mail has {size:,} bytes; the limit is {limit:,}, attachments in base64 included. "
        "Send a link to the file.",
        type="message-too-large",
    )


def _result(
    payload: SendEmail,
    context: TaskContext,
    mail: Mail,
    receipt: Receipt,
    withheld: frozenset[str] | None,
) -> SentEmail:
    return SentEmail(
        message_id=receipt.message_id,
        recipients=[each for each in mail.recipients if each not in receipt.refused],
        suppressed=[each for each in payload.recipients if each in (withheld or ())],
        suppression_checked=withheld is not None,
        refused=dict(receipt.refused),
        attempt=context.attempt,
        sent_at=datetime.now(UTC),
    )
