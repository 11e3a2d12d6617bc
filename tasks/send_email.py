"""``send-email``: one mail, of text, HTML or a template, sent once as far as can be known."""

from __future__ import annotations

import json
import mimetypes
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    EmailStr,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from tasks.contract import (
    BaseModel,
    Field,
    PermanentError,
    Queue,
    Retry,
    RetryLater,
    TaskContext,
    task,
)

if TYPE_CHECKING:
    from celeriac.mail import AttachedFile, Mail, Receipt

# A recipient is any "To", "Cc" or "Bcc" address: docs.aws.amazon.com/ses/latest/dg/quotas.html
MOST_RECIPIENTS = 50
MOST_ATTACHMENTS = 20

# Five retries. SES advises to wait up to ten minutes when it is throttling.
RETRY = Retry(attempts=6, first_delay=timedelta(seconds=30), max_delay=timedelta(minutes=10))

DELIVERY = "delivery.json"

ENCODED_WORD = re.compile(r"=\?.*\?=")


def one_line(text: str) -> str:
    """The text, if it can stand in a header: no line break of any kind, no control character.

    Nor an encoded word (RFC 2047), ``=?utf-8?q?...?=``: ``email.message`` decodes it on the way in,
    and with it any line break that it hides.
    """
    if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in text):
        raise ValueError(f"it must be one line of text without control characters: {text!r}")
    if ENCODED_WORD.search(text):
        raise ValueError(f"it must be the text itself, not encoded as =?...?=: {text!r}")
    return text


def mailable(address: str) -> str:
    """The address in ASCII: SES takes no other, so a domain's name becomes its IDNA form."""
    from email_validator import validate_email

    if (ascii_only := validate_email(address, check_deliverability=False).ascii_email) is None:
        raise ValueError("the part before the @ must be ASCII: mail servers take no other")
    return ascii_only


Address = Annotated[EmailStr, AfterValidator(mailable)]
Line = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(one_line)]
Body = Annotated[str, StringConstraints(min_length=1, max_length=2_000_000)]


class Attachment(BaseModel):
    """An artifact to attach, and the name and type under which the recipient sees it."""

    key: Line = Field(min_length=1, max_length=1_024, description="The artifact's key.")
    name: Line | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^/\\]+$",
        description="The file's name; the key's last part by default.",
    )
    content_type: str | None = Field(
        None,
        max_length=100,
        # multipart/* and message/* aren't files: they would change the mail's own structure.
        pattern=r"^(application|audio|font|image|model|text|video)/[A-Za-z0-9.+-]+$",
        description="Its media type; guessed from its name by default.",
    )


class SendEmail(BaseModel):
    """A mail: to whom, and one of a message, HTML (or both), or a template."""

    email: Address = Field(description="The recipient's address, without a display name.")
    cc: list[Address] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    bcc: list[Address] = Field(default_factory=list, max_length=MOST_RECIPIENTS)
    reply_to: Address | None = Field(None, description="Where an answer goes.")
    from_name: Line = Field("", max_length=100, description="The sender's display name.")
    subject: Line | None = Field(
        None, min_length=1, max_length=500, description="Required unless a template gives it."
    )
    message: Body | None = Field(None, description="The text.")
    html: Body | None = Field(None, description="The same as HTML, sent as written.")
    template: str | None = Field(
        None,
        max_length=100,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="A template's name; it gives subject, text and HTML.",
    )
    variables: dict[str, JsonValue] = Field(
        default_factory=dict, max_length=100, description="What the template fills in."
    )
    attachments: list[Attachment] = Field(default_factory=list, max_length=MOST_ATTACHMENTS)
    if_unsure: Literal["send-again", "fail"] = Field(
        "send-again",
        description="What to do when an attempt ended without knowing whether the mail left: "
        "`send-again` may send it twice, `fail` may not send it at all.",
    )

    @field_validator("variables")
    @classmethod
    def _writable(cls, variables: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            json.dumps(variables, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a value has half a surrogate pair, which is no text") from None
        return variables

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.template is None:
            if self.message is None and self.html is None:
                raise ValueError("give one of message, html or template")
            if self.subject is None:
                raise ValueError("give a subject: only a template brings its own")
            if self.variables:
                raise ValueError("variables are a template's: give a template too")
        elif self.message is not None or self.html is not None:
            raise ValueError("a template brings its own text and HTML: leave out message and html")
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
    """Who was sent the mail, who wasn't, and under which id SES or the SMTP server knows it."""

    message_id: str
    recipients: list[str] = Field(description="Accepted for delivery.")
    suppressed: list[str] = Field(description="Left out: on the account's suppression list.")
    suppression_checked: bool = Field(
        description="Whether the list could be asked. If not, SES still withholds the mail itself."
    )
    refused: dict[str, str] = Field(description="Refused by the mail server, with its reason.")
    attempt: int = Field(description="The attempt that sent it.")
    sent_at: datetime


class Delivery(BaseModel):
    """What an attempt notes as an artifact about itself, for an attempt that may follow.

    ``sending`` and ``not-sent`` are noted only where ``if_unsure`` is ``fail``.
    """

    state: Literal["sending", "not-sent", "sent"]
    result: SentEmail | None = None


@task(queue=Queue.EMAIL, time_limit=timedelta(minutes=5), retry=RETRY)
def send_email(payload: SendEmail, context: TaskContext) -> SentEmail:
    """Send a mail through SES or an SMTP server.

    Text, HTML or a template; cc, bcc, reply-to and attachments; recipients on the suppression list
    are left out and named. An attempt that finds the mail sent by an earlier one sends nothing.
    """
    from celeriac.mail import MailRejectedError, MailTemporaryError, OutcomeUnknownError, backend

    if already := _sent_before(payload, context):
        context.logger.info("The mail was sent by attempt %d already", already.attempt)
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
        raise RetryLater(RETRY.delay(context.attempt), error.detail) from error
    result = _result(payload, context, mail, receipt, withheld)
    _note_sent(context, result)
    context.progress(1, 1, "Sent")
    return result


def _sent_before(payload: SendEmail, context: TaskContext) -> SentEmail | None:
    """The result of an earlier attempt, or of this one before another worker took it over.

    Raises:
        PermanentError: an attempt may have sent the mail, and the payload says to fail then.
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
        # The mail is gone. Failing now would bring an attempt that sends it again.
        context.logger.exception("The mail was sent, but that could not be noted")


def _unsure(attempt: int) -> PermanentError:
    return PermanentError(
        f"Attempt {attempt} ended without knowing whether the mail was sent, and if_unsure is "
        "'fail'. Look for the task's id in SES's events or ask the recipient before sending again.",
        type="delivery-unknown",
    )


def _compose(payload: SendEmail, context: TaskContext, withheld: frozenset[str]) -> Mail:
    from celeriac.mail import Mail, compose
    from celeriac.settings import settings

    sender = settings().mail_from
    if sender is None:
        raise PermanentError(
            "This deployment sends no mail: CELERIAC_MAIL_FROM names no sender.",
            type="mail-not-configured",
        )
    recipients = tuple(each for each in payload.recipients if each not in withheld)
    if not recipients:
        raise PermanentError(
            f"On the suppression list, so nothing was sent: {', '.join(payload.recipients)}. "
            "Take an address off the list when its owner wants mail again.",
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
    from celeriac.mail import TemplateFault, UnknownTemplateError, render

    try:
        rendered = render(payload.template, payload.variables)
    except UnknownTemplateError as error:
        raise PermanentError(str(error), type="unknown-template") from error
    except TemplateFault as error:
        raise PermanentError(str(error), type="template-variables") from error
    try:
        return payload.subject or one_line(rendered.subject), rendered.text, rendered.html
    except ValueError as error:
        raise PermanentError(
            f"The subject that template {payload.template!r} gave can't be used: {error}.",
            type="invalid-subject",
        ) from error


def _attachments(payload: SendEmail, context: TaskContext, limit: int) -> list[AttachedFile]:
    from celeriac.mail import AttachedFile

    files: list[AttachedFile] = []
    total = 0
    for each in payload.attachments:
        path = context.read_artifact(each.key)
        total += path.stat().st_size
        if total > limit:  # before it is in memory
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
        f"The mail has {size:,} bytes and may have {limit:,}, attachments in base64 included. "
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
