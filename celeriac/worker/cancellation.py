"""Ends running tasks that were cancelled, or that another worker has taken over."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from celery.worker.state import active_requests

from celeriac import states
from celeriac.app import interruption
from celeriac.app.task import remove_artifacts
from celeriac.app.typed_task import TypedTask
from celeriac.records import LeaseLostError, TaskRecord
from celeriac.storage.services import services

if TYPE_CHECKING:
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)

#: How long plain Celery tasks may clean up before they are killed.
GRACE = timedelta(seconds=10)


class Cancellations:
    """Asks first, and kills after a grace period. In the threads pool it can only ask."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, TaskRecord]] = {}

    def consider(self, request: RecordedRequest, record: TaskRecord) -> None:
        """Ask the task to end, if its record says that its caller wants that."""
        if record.lease_owner != request.owner:
            self.lost(request, LeaseLostError(record.task_id, request.owner, record))
            return
        if record.cancel_requested_at is None or request.owner in self._asked:
            return
        if request.worker_pid and not interruption.ask(request.worker_pid, request.id):
            # Its thread doesn't run the task's own code, perhaps not yet.
            return
        self._asked[request.owner] = (monotonic(), record)
        log.info("task %s is asked to end", request.id)

    def enforce(self, consumer: Any, running: list[RecordedRequest]) -> None:
        """Kill the tasks that have not ended within their grace period."""
        owners = {request.owner for request in running}
        self._asked = {owner: asked for owner, asked in self._asked.items() if owner in owners}
        for request in running:
            asked_at, record = self._asked.get(request.owner, (None, None))
            if asked_at is None or record is None or monotonic() - asked_at < _grace(request):
                continue
            if not request.worker_pid or request.worker_pid == os.getpid():
                continue
            log.warning("task %s has ignored its cancellation and is killed", request.id)
            self._asked[request.owner] = (float("inf"), record)
            # On the event loop: it marks the record, acknowledges, and replaces the child.
            consumer.hub.call_soon(_kill, request, consumer.pool, record)

    def lost(self, request: RecordedRequest, lost: LeaseLostError) -> None:
        """End an attempt whose task another worker has taken over."""
        if request not in active_requests:
            return  # it has ended meanwhile: its child may run another task
        log.warning("%s", lost)
        request.abandon()
        request.kill_child()


def _kill(request: RecordedRequest, pool: Any, record: TaskRecord) -> None:
    if request not in active_requests or request.claims is None:
        return  # it has ended meanwhile, and what it saved belongs to its result
    request.terminate(pool, "KILL")
    request.claims.writers.write(partial(_clean_up, record), _on_cleaned_up)


def _clean_up(record: TaskRecord) -> None:
    """Remove what a killed attempt has saved, unless it succeeded at the last moment."""
    now_is = services().records.get(record.task_id)
    if now_is is None or now_is.state == states.REVOKED:
        remove_artifacts(record)


def _on_cleaned_up(answer: Exception | None) -> None:
    if answer is not None:
        log.warning("cleanup will remove the artifacts of a killed task: %s", answer)


def _grace(request: RecordedRequest) -> float:
    task = request.task
    grace = task.task_type.kill_after if isinstance(task, TypedTask) else GRACE
    return grace.total_seconds()
