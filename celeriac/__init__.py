"""Background tasks over HTTPS, on AWS: real Celery on SQS, with a record of every task.

These names are Celeriac's public face, and SemVer counts for them. Everything else may move.
Fakes for tests are in ``celeriac.testing``.

Each name is imported when it is first used, so a task file adds little to the API's cold start.
"""

from __future__ import annotations

#: True for type checkers, like ``typing.TYPE_CHECKING``, whose import would take milliseconds.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from celeriac.app.factory import Celeriac, celery_app
    from celeriac.contract import (
        Artifact,
        BaseModel,
        Cancelled,
        Catalogue,
        Debounce,
        DeclarationError,
        Field,
        Fleet,
        Limit,
        PermanentError,
        Queue,
        RateLimited,
        Retry,
        RetryLater,
        Schedule,
        TaskContext,
        TaskType,
        Unique,
        UnknownTaskTypeError,
        catalogue,
        task,
    )
    from celeriac.errors import (
        CeleriacError,
        IdempotencyConflictError,
        NotConfiguredError,
        NotFoundError,
        NotOverError,
        QuotaExceededError,
        UnavailableError,
    )
    from celeriac.operations.cancelling import cancel
    from celeriac.operations.lookup import find
    from celeriac.operations.retrying import retry
    from celeriac.operations.submission import Submission, submit
    from celeriac.operations.submit_many import Item, submit_many
    from celeriac.settings import Settings

#: The module that defines each name.
_HOMES = {
    "celeriac.contract": (
        "Artifact",
        "BaseModel",
        "Cancelled",
        "Catalogue",
        "Debounce",
        "DeclarationError",
        "Field",
        "Fleet",
        "Limit",
        "PermanentError",
        "Queue",
        "RateLimited",
        "Retry",
        "RetryLater",
        "Schedule",
        "TaskContext",
        "TaskType",
        "Unique",
        "UnknownTaskTypeError",
        "catalogue",
        "task",
    ),
    "celeriac.app.factory": ("Celeriac", "celery_app"),
    "celeriac.errors": (
        "CeleriacError",
        "IdempotencyConflictError",
        "NotConfiguredError",
        "NotFoundError",
        "NotOverError",
        "QuotaExceededError",
        "UnavailableError",
    ),
    "celeriac.operations.cancelling": ("cancel",),
    "celeriac.operations.lookup": ("find",),
    "celeriac.operations.retrying": ("retry",),
    "celeriac.operations.submission": ("Submission", "submit"),
    "celeriac.operations.submit_many": ("Item", "submit_many"),
    "celeriac.settings": ("Settings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Artifact",
    "BaseModel",
    "Cancelled",
    "Catalogue",
    "Celeriac",
    "CeleriacError",
    "Debounce",
    "DeclarationError",
    "Field",
    "Fleet",
    "IdempotencyConflictError",
    "Item",
    "Limit",
    "NotConfiguredError",
    "NotFoundError",
    "NotOverError",
    "PermanentError",
    "Queue",
    "QuotaExceededError",
    "RateLimited",
    "Retry",
    "RetryLater",
    "Schedule",
    "Settings",
    "Submission",
    "TaskContext",
    "TaskType",
    "UnavailableError",
    "Unique",
    "UnknownTaskTypeError",
    "cancel",
    "catalogue",
    "celery_app",
    "find",
    "retry",
    "submit",
    "submit_many",
    "task",
]


if not TYPE_CHECKING:  # type checkers would take any name for one that it finds

    def __getattr__(name: str) -> object:
        """The public name, imported now (PEP 562)."""
        from importlib import import_module

        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'celeriac' has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
