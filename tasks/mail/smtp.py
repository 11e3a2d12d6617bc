"""Mail through an SMTP server, where SES isn't used."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import unquote

from pydantic import AnyUrl, Secret

from tasks.mail.backend import (
    Mail,
    MailError,
    MailRejectedError,
    MailTemporaryError,
    OutcomeUnknownError,
    Receipt,
)

# RFC 5321, section 4.5.3.2, allows a server minutes. Longer waits would pass the task's limit.
TIMEOUT = timedelta(seconds=60)
SUBMISSION = 587  # RFC 6409
SUBMISSIONS = 465  # RFC 8314, section 3.3: TLS from the first byte
FIRST_PERMANENT_REPLY = 500
OK = 250


class SmtpBackend:
    """Sends through one server, with a connection for each mail.

    It takes the steps of ``smtplib``'s ``sendmail`` one by one: the meaning of a lost connection
    depends on the step. Before DATA nothing was sent; from there on the mail may have been sent.
    """

    def __init__(self, url: Secret[AnyUrl]) -> None:
        self._url = url

    def suppressed(
        self,
        addresses: Iterable[str],
    ) -> frozenset[str] | None:
        """None: SMTP has no suppression list."""
        return None

    def send(self, mail: Mail) -> Receipt:
        smtp: smtplib.SMTP | None = None
        try:
            smtp = self._connect()
            self._log_in(smtp)
            refused = _address(smtp, mail)
            _hand_over(smtp, mail)
        except smtplib.SMTPResponseException as error:
            raise _verdict(error.smtp_code, error.smtp_error, "mail-rejected") from error
        except OSError as error:  # smtplib's own exceptions are OSErrors too
            raise MailTemporaryError(
                f"The SMTP server could not be used: {type(error).__name__}."
            ) from error
        finally:
            if smtp is not None:
                # The mail's outcome is decided. A server that fails to say goodbye can't change it.
                with suppress(OSError):
                    smtp.quit()
                smtp.close()
        return Receipt(message_id=mail.message_id, refused=refused)

    def _connect(self) -> smtplib.SMTP:
        url, timeout = self._url.get_secret_value(), TIMEOUT.total_seconds()
        host, tls = (url.host or "").strip("[]"), ssl.create_default_context()
        if url.scheme == "smtps":
            return smtplib.SMTP_SSL(host, url.port or SUBMISSIONS, timeout=timeout, context=tls)
        smtp = smtplib.SMTP(host, url.port or SUBMISSION, timeout=timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=tls)
                smtp.ehlo()
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _log_in(self, smtp: smtplib.SMTP) -> None:
        url = self._url.get_secret_value()
        smtp.ehlo_or_helo_if_needed()
        if url.username is None:
            return
        if not isinstance(smtp.sock, ssl.SSLSocket):
            raise MailTemporaryError(
                "The SMTP server offers no encryption, and a password is never sent in the clear. "
                "Use smtps:// or a server with STARTTLS."
            )
        try:
            smtp.login(unquote(url.username), unquote(url.password or ""))
        except smtplib.SMTPAuthenticationError:
            # The server's words may repeat the user's name, so they are left out. The operator can
            # fix the setting while the task is retried.
            raise MailTemporaryError(
                "The SMTP server refused our login: check CELERIAC_SMTP_URL."
            ) from None


def _address(smtp: smtplib.SMTP, mail: Mail) -> dict[str, str]:
    """Send the envelope. Return the refused recipients, if at least one was accepted."""
    options = [f"size={len(mail.raw)}"] if smtp.has_extn("size") else []
    code, text = smtp.mail(mail.sender, options)
    if code != OK:
        raise _verdict(code, text, "sender-not-verified")
    refusals: dict[str, MailError] = {}
    for recipient in mail.recipients:
        code, text = smtp.rcpt(recipient)
        if code not in (OK, 251):  # 251: not local, will forward
            refusals[recipient] = _verdict(code, text, "recipient-rejected")
    if len(refusals) < len(mail.recipients):
        return {recipient: error.detail for recipient, error in refusals.items()}
    # A recipient that may be accepted later decides: it gets another attempt.
    raise next(
        (each for each in refusals.values() if isinstance(each, MailTemporaryError)),
        next(iter(refusals.values())),
    )


def _hand_over(smtp: smtplib.SMTP, mail: Mail) -> None:
    try:
        code, text = smtp.data(mail.raw)  # raises SMTPDataError if the server won't even begin
    except smtplib.SMTPDataError:
        raise
    except OSError as error:
        raise OutcomeUnknownError("The connection to the SMTP server broke mid-mail.") from error
    if code != OK:
        raise _verdict(code, text, "mail-rejected")


def _verdict(code: int, text: bytes | str, type: str) -> MailError:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    detail = f"The SMTP server answered {code} {words}"
    if code >= FIRST_PERMANENT_REPLY:
        return MailRejectedError(detail, type=type)
    return MailTemporaryError(detail)
