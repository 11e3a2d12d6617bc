"""Composing a mail: MIME in seven bits, with headers safe from injection."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

# SES requires seven bits, as do SMTP servers without 8BITMIME.
POLICY = SMTP.clone(cte_type="7bit")

NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, kw_only=True)
class AttachedFile:
    """A file for the mail. ``content_type`` is ``main/sub`` without parameters."""

    name: str
    content_type: str
    content: bytes


def message_id(task_id: str, sender: str) -> str:
    """The same id for every attempt of a task: a mailbox that compares ids shows the mail once."""
    return f"<{NOT_IN_AN_ID.sub('-', task_id)}@{sender.rpartition('@')[2]}>"


def compose(
    *,
    sender: str,
    sender_name: str = "",
    to: Iterable[str],
    cc: Iterable[str] = (),
    reply_to: str | None = None,
    subject: str,
    text: str | None = None,
    html: str | None = None,
    attachments: Iterable[AttachedFile] = (),
    task_id: str,
) -> EmailMessage:
    """The mail as MIME: text and HTML as alternatives, then the attachments.

    Blind copies are in the envelope only. Addresses are ASCII.

    Raises:
        ValueError: a header's text has a line break, or there is neither text nor HTML.
    """
    message = EmailMessage(policy=POLICY)
    message["From"] = Address(sender_name, addr_spec=sender)
    for header, addresses in (("To", to), ("Cc", cc)):
        if listed := [Address(addr_spec=each) for each in addresses]:
            message[header] = listed
    if reply_to is not None:
        message["Reply-To"] = Address(addr_spec=reply_to)
    message["Subject"] = subject
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = message_id(task_id, sender)
    # RFC 3834: this header prevents out-of-office answers.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Celeriac-Task-Id"] = NOT_IN_AN_ID.sub("-", task_id)

    match (text, html):
        case (None, None):
            raise ValueError("A mail needs text, HTML or both.")
        case (str(), None):
            message.set_content(text)
        case (None, str()):
            message.set_content(html, subtype="html")
        case _:
            message.set_content(text)
            message.add_alternative(html, subtype="html")
    for each in attachments:
        main, _, sub = each.content_type.partition("/")
        message.add_attachment(each.content, maintype=main, subtype=sub, filename=each.name)
    return message
