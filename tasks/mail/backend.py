"""Backends hand a finished mail over. These are their interface and its errors.

MailError
├── MailRejectedError        refused for good, with a stable ``type``
└── MailTemporaryError       not sent; another attempt may succeed
    ├── MailThrottledError   not sent; the account may send more later
    └── OutcomeUnknownError  may have been sent: the acknowledgement was lost
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class MailError(Exception):
    """A mail was not handed over, as far as we know. ``detail`` may be shown to the caller."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MailRejectedError(MailError):
    """The mail is refused, and would be refused again. ``type`` is stable."""

    def __init__(self, detail: str, *, type: str = "mail-rejected") -> None:
        super().__init__(detail)
        self.type = type


class MailTemporaryError(MailError):
    """The mail was not sent. Another attempt may succeed."""


class MailThrottledError(MailTemporaryError):
    """The mail was not sent: the account sends as fast, or as much a day, as it may."""


class OutcomeUnknownError(MailTemporaryError):
    """The mail was handed over and the answer was lost. It may have been sent."""


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
    """A way to send mail."""

    def suppressed(self, addresses: Iterable[str]) -> frozenset[str] | None:
        """The addresses that must not get mail; None if that is unknown now."""

    def send(self, mail: Mail) -> Receipt:
        """Hand the mail over, once. A backend never retries.

        Raises:
            MailRejectedError: the mail is refused for every recipient.
            MailTemporaryError: the mail was not sent.
            OutcomeUnknownError: the mail may have been sent.
        """
