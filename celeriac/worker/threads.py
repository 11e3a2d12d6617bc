"""The pool of threads, and its time limits, of which Celery's has none.

A task that runs for longer than its limit is interrupted, as a cancelled task is. A thread can't be
killed: a task that ignores that, or waits in C for something, keeps its thread and its lease.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery.concurrency.thread import TaskPool
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.app import interruption

if TYPE_CHECKING:
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)


class ThreadPool(TaskPool):
    """Celery's threads pool, which also reports errors that are raised outside a task's own code.

    Celery's drops them, such as the ``Reject`` of an outcome that can't be written. The request
    would count as running, and its lease would be renewed, forever.
    """

    def on_apply(
        self, *args: Any, error_callback: Callable[[Any], None] | None = None, **options: Any
    ) -> Any:
        result = super().on_apply(*args, **options)
        if error_callback is not None:
            result.f.add_done_callback(partial(_report, error_callback))
        return result


def _report(error_callback: Callable[[Any], None], future: Future[Any]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        error_callback(ExceptionInfo((type(error), error, error.__traceback__)))


class Limits:
    """Interrupts each task once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def enforce(self, running: list[RecordedRequest]) -> None:
        """Interrupt the tasks that have run for longer than they may."""
        now = monotonic()
        self._told &= {request.owner for request in running}
        for request in running:
            limit = _limit(request)
            if request.worker_pid != os.getpid() or request.owner in self._told or limit is None:
                continue
            if now - (request.begun_at or now) < limit:
                continue
            if interruption.interrupt(request.id, SoftTimeLimitExceeded):
                log.warning("task %s has run for longer than %g s", request.id, limit)
                self._told.add(request.owner)


def _limit(request: RecordedRequest) -> float | None:
    """In seconds: the soft limit, or the hard one where there is no other."""
    hard, soft = request.time_limits
    task = request.task
    return soft or task.soft_time_limit or hard or task.time_limit or None
