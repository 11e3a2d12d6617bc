"""Mail: composing it, rendering its templates, and handing it to SES or to an SMTP server.

    mail = Mail(sender="us@shop.net", recipients=("jane@mail.net",), raw=..., task_id=...)
    receipt = backend().send(mail)

Errors a backend raises, all of them about one mail:

MailError
├── MailRejectedError        refused for good; has a stable ``type``
└── MailTemporaryError       not sent; another attempt may do it
    └── OutcomeUnknownError  may have been sent: the acknowledgement was lost
"""

from celeriac.mail.backend import (
    Mail,
    MailBackend,
    MailError,
    MailRejectedError,
    MailTemporaryError,
    OutcomeUnknownError,
    Receipt,
    backend,
    backend_for,
)
from celeriac.mail.message import AttachedFile, compose
from celeriac.mail.templates import Rendered, TemplateFault, UnknownTemplateError, render, templates

__all__ = [
    "AttachedFile",
    "Mail",
    "MailBackend",
    "MailError",
    "MailRejectedError",
    "MailTemporaryError",
    "OutcomeUnknownError",
    "Receipt",
    "Rendered",
    "TemplateFault",
    "UnknownTemplateError",
    "backend",
    "backend_for",
    "compose",
    "render",
    "templates",
]
