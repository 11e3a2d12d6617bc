"""Steps that act again and again while the worker consumes. One removes cancelled timers.

kombu leaves a cancelled timer in the event loop until it is due (``asynchronous/timer.py``). Each
task of a pool of processes sets a timer for its time limit and cancels it when it ends. 100 tasks a
second with a limit of an hour would keep 360,000 timers, some 180 MB.
"""

from __future__ import annotations

import heapq
from abc import abstractmethod
from datetime import timedelta
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks

INTERVAL = timedelta(minutes=1)


class RepeatingStep(bootsteps.StartStopStep):
    """Acts every ``interval``, on the event loop's thread; not in a pool without an event loop."""

    requires = (Tasks,)
    interval: timedelta

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        if consumer.hub is not None:
            seconds = self.interval.total_seconds()
            self._timer = consumer.hub.call_repeatedly(seconds, self.act, consumer)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @abstractmethod
    def act(self, consumer: Any) -> None:
        """What is done each time."""


def sweep(timer: Any) -> None:
    """Drop what was cancelled. On the event loop's thread, as all that sets timers is."""
    queue = timer._queue  # noqa: SLF001 - the loop keeps this very list, so it is changed in place
    queue[:] = [scheduled for scheduled in queue if not scheduled.entry.canceled]
    heapq.heapify(queue)


class SweepStep(RepeatingStep):
    """Sweeps while the worker consumes."""

    interval = INTERVAL

    def act(self, consumer: Any) -> None:
        sweep(consumer.hub.timer)
