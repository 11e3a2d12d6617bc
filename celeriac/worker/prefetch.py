"""How many messages to hold: enough that no process waits for one, and no more.

No other worker can run a message that is held here. Messages of short tasks are held ahead, so that
they stream; of long tasks, one for each process. One that waits here too long is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from statistics import fmean
from time import monotonic
from typing import Any

from celery.worker import state

from celeriac.worker.tally import tally
from celeriac.worker.timers import RepeatingStep

#: What is held ahead should last about as long as receiving and acknowledging take, with room
#: for a slow answer.
HORIZON = timedelta(milliseconds=400)
#: At most this many for each process.
MOST_AHEAD = 5
#: A message whose task hasn't begun returns to its queue after this long.
PATIENCE = timedelta(seconds=2)
INTERVAL = timedelta(milliseconds=250)


def prefetch_count(processes: int, average: float | None, running_for: Sequence[float] = ()) -> int:
    """How many messages to hold for tasks that take ``average`` seconds.

    ``running_for`` are the seconds that the tasks under way have taken so far. Once they take
    longer than those before them, they are what to expect: a worker that went by the average
    would receive again what it has just returned, until SQS calls the message poison.
    """
    if average is None:
        return processes
    expected = max(average, fmean(running_for) if running_for else 0, 0.001)
    ahead = round(processes * HORIZON.total_seconds() / expected)
    return processes + min(ahead, processes * MOST_AHEAD)


class PrefetchStep(RepeatingStep):
    """Adapts the prefetch count while the worker consumes."""

    interval = INTERVAL

    def act(self, consumer: Any) -> None:
        processes = consumer.pool.num_processes
        now = monotonic()
        running_for = [now - (each.begun_at or now) for each in tuple(state.active_requests)]
        wanted = prefetch_count(processes, tally.average, running_for)
        if consumer.qos.value != wanted:
            consumer.qos.set(wanted)
            # What Celery's own adjustments go back to.
            consumer.qos.value = wanted
        self._return_the_stale()
        if len(state.active_requests) < processes:
            # Messages that were returned make room, and a process that died leaves some: no
            # acknowledgement will come that has the channel poll again.
            consumer.task_consumer.channel.wake()

    def _return_the_stale(self) -> None:
        longest_ago = monotonic() - PATIENCE.total_seconds()
        for request in tuple(state.reserved_requests):
            if request in state.active_requests or request.time_start:
                continue
            held = request.channel.held.get(request.tag)
            if held is not None and held.received_at < longest_ago:
                request.return_now()
