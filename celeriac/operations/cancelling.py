"""Cancel a task."""

from __future__ import annotations

from celeriac.app import telemetry
from celeriac.errors import NotFoundError, unavailable
from celeriac.operations.lookup import find
from celeriac.records import Cancellation, TaskRecord
from celeriac.storage.services import services


def cancel(task_id: str, tenant: str | None = None) -> tuple[Cancellation, TaskRecord]:
    """End a waiting task at once, or ask a running one to stop. ``tenant`` is as for ``find``.

    Raises ``NotFoundError`` and ``UnavailableError``.
    """
    find(task_id, tenant)
    with unavailable("DynamoDB"):
        outcome = services().records.cancel(task_id)
    if outcome is None:
        raise NotFoundError(task_id)
    if outcome[0] is Cancellation.ENDED:
        telemetry.ended(outcome[1])
    return outcome
