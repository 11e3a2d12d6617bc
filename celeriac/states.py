"""The states of a task, with Celery's names and meanings.

    PENDING → STARTED ⇄ PROGRESS → SUCCESS | FAILURE | REVOKED
              STARTED → RETRY → STARTED

Scheduled, queued, cancelling, timed out and worker-lost are attributes or error types of these.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """A task's state."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


# Plain strings, as Celery's own are: records and messages hold them.
PENDING: Final[str] = Status.PENDING.value
STARTED: Final[str] = Status.STARTED.value
PROGRESS: Final[str] = Status.PROGRESS.value
RETRY: Final[str] = Status.RETRY.value
SUCCESS: Final[str] = Status.SUCCESS.value
FAILURE: Final[str] = Status.FAILURE.value
REVOKED: Final[str] = Status.REVOKED.value

#: Final: a record in one of these never changes its state again.
TERMINAL = frozenset({SUCCESS, FAILURE, REVOKED})
UNSUCCESSFUL = frozenset({FAILURE, REVOKED})
#: Waiting for a worker: nobody holds a lease.
WAITING = frozenset({PENDING, RETRY})
ALL = tuple(each.value for each in Status)
