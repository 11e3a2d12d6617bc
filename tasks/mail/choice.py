"""The backend that sends this process's mail."""

from __future__ import annotations

from functools import cache

from celeriac.settings import Settings, settings
from tasks.mail.backend import MailBackend


def backend_for(settings: Settings) -> MailBackend:
    """The SMTP server of ``smtp_url`` if that is set, else SES."""
    if settings.smtp_url is not None:
        from tasks.mail.smtp import SmtpBackend

        return SmtpBackend(settings.smtp_url)
    from tasks.mail.ses import SesBackend

    return SesBackend(configuration_set=settings.mail_configuration_set)


@cache
def backend() -> MailBackend:
    """This process's mail backend. It is made on first use: processes don't share it."""
    return backend_for(settings())
