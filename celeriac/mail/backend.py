"""What hands a finished mail over, and how that can end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from celeriac.settings import Settings, settings


class MailError(Exception):
    """A mail could not be handed over, as far as we know. ``detail`` may be shown to the caller."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MailRejectedError(MailError):
    """The mail is refused and would be again. ``type`` is stable, for programs to compare."""

    def __init__(self, detail: str, *, type: str = "mail-rejected") -> None:
        super().__init__(detail)
        self.type = type


class MailTemporaryError(MailError):
    """The mail was not sent, and another attempt may do it."""


class OutcomeUnknownError(MailTemporaryError):
    """The mail was handed over and the answer got lost: it may or may not have been sent."""


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A finished mail and its envelope. Addresses are ASCII; ``raw`` is MIME with CRLF, 7 bit."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    message_id: str
    task_id: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The mail was accepted, except for the recipients in ``refused`` (address to reason)."""

    message_id: str
    refused: Mapping[str, str] = field(default_factory=dict)


class MailBackend(Protocol):
    """A way for mail to leave."""

    def suppressed(self, addresses: Iterable[str]) -> frozenset[str] | None:
        """Which of the addresses must not get mail; None where that can't be known now."""

    def send(self, mail: Mail) -> Receipt:
        """Hand the mail over, once: a backend never tries again by itself.

        Raises:
            MailRejectedError: it is refused, for every recipient.
            MailTemporaryError: it was not sent.
            OutcomeUnknownError: it may have been sent.
        """


def backend_for(settings: Settings) -> MailBackend:
    """The SMTP server of ``smtp_url`` if that is set, else SES."""
    if settings.smtp_url is not None:
        from celeriac.mail.smtp import SmtpBackend

        return SmtpBackend(settings.smtp_url)
    from celeriac.mail.ses import SesBackend

    return SesBackend()


@cache
def backend() -> MailBackend:
    """This process's mail backend, made on first use: after a worker's fork, so never shared."""
    return backend_for(settings())
