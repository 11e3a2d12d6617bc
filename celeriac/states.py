"""The states of a task, with Celery's names and meanings.

    PENDING → STARTED ⇄ PROGRESS → SUCCESS | FAILURE | REVOKED
              STARTED → RETRY → STARTED

Scheduled, queued, cancelling, timed out and worker-lost are attributes or error types of these.
"""

from __future__ import annotations

PENDING = "PENDING"
STARTED = "STARTED"
PROGRESS = "PROGRESS"
RETRY = "RETRY"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"

#: Final: a record in one of these never changes its state again.
TERMINAL = frozenset({SUCCESS, FAILURE, REVOKED})
UNSUCCESSFUL = frozenset({FAILURE, REVOKED})
#: Waiting for a worker: nobody holds a lease.
WAITING = frozenset({PENDING, RETRY})
ALL = (PENDING, STARTED, PROGRESS, RETRY, SUCCESS, FAILURE, REVOKED)
