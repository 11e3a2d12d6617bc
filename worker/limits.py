"""Time limits in the threads pool, which has none of its own.

A task that runs for longer is interrupted as a cancelled one is. That is its soft limit; a thread
can't be killed, so there is no hard one, and a task that goes on, or waits in C for something that
never comes, keeps its thread and its lease.
"""

from __future__ import annotations

import logging
import os
from time import time
from typing import TYPE_CHECKING

from celery.exceptions import SoftTimeLimitExceeded

from celeriac import interruption

if TYPE_CHECKING:
    from worker.request import RecordedRequest

log = logging.getLogger(__name__)


class Limits:
    """Interrupts each task once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def enforce(self, running: list[RecordedRequest]) -> None:
        """Interrupt the tasks that have run for longer than they may."""
        now = time()
        self._told &= {request.owner for request in running}
        for request in running:
            limit = _limit(request)
            if request.worker_pid != os.getpid() or request.owner in self._told or limit is None:
                continue
            if now - (request.time_start or now) < limit:
                continue
            if interruption.interrupt(request.id, SoftTimeLimitExceeded):
                log.warning("task %s has run for longer than %g s", request.id, limit)
                self._told.add(request.owner)


def _limit(request: RecordedRequest) -> float | None:
    """In seconds: the soft limit, or the hard one where there is no other."""
    hard, soft = request.time_limits
    task = request.task
    return soft or task.soft_time_limit or hard or task.time_limit or None
