"""Takes the timers that were cancelled from the event loop.

kombu leaves them there until they are due (``asynchronous/timer.py``). Each task of a pool of
processes sets one for its time limit, and cancels it when it ends: 100 tasks a second with a limit
of an hour would keep 360,000 of them, some 180 MB.
"""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks

INTERVAL = timedelta(minutes=1)


def sweep(timer: Any) -> None:
    """Drop what was cancelled. On the event loop's thread, as all that sets timers is."""
    queue = timer._queue  # noqa: SLF001 - the loop keeps this very list, so it is changed in place
    queue[:] = [scheduled for scheduled in queue if not scheduled.entry.canceled]
    heapq.heapify(queue)


class SweepStep(bootsteps.StartStopStep):
    """Sweeps while the worker consumes."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        if consumer.hub is not None:
            hub = consumer.hub
            self._timer = hub.call_repeatedly(INTERVAL.total_seconds(), sweep, hub.timer)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
