"""Takes the timers that were cancelled from the event loop.

kombu leaves them there until they are due (``asynchronous/timer.py``). Each task of a pool of
processes sets one for its time limit, and cancels it when it ends: 100 tasks a second with a limit
of an hour would keep 360,000 of them, some 180 MB.
"""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import Any

from worker.repeating import RepeatingStep

INTERVAL = timedelta(minutes=1)


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
