"""How many messages to hold: enough that no process waits for one, and no more.

No other worker can run a message that is held here. Messages of short tasks are held ahead, so that
they stream; of long tasks, one for each process. One that waits here too long is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from statistics import fmean
from time import monotonic
from typing import TYPE_CHECKING, Any

from celery.worker import state

from celeriac.app.typed_task import type_name_of
from celeriac.worker.pausing import pausing
from celeriac.worker.tally import tally
from celeriac.worker.timers import RepeatingStep

if TYPE_CHECKING:
    from celeriac.transport import Channel

#: What is held ahead should last about as long as receiving and acknowledging take, with room
#: for a slow answer.
HORIZON = timedelta(milliseconds=400)
#: What is claimed ahead should last as long as a slow claim takes. The next message may be of a
#: tenant that waits while another floods the queue, and it can't pass what is claimed.
CLAIM_HORIZON = timedelta(milliseconds=100)
#: At most this many for each process.
MOST_AHEAD = 5
#: A message whose task hasn't begun returns to its queue after this long.
PATIENCE = timedelta(seconds=2)
#: An urgent one stays for as long as a task takes, up to this: a process is free by then, and after
#: a return other tasks would be first.
URGENT_PATIENCE = timedelta(seconds=10)
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


def claims_ahead(processes: int, average: float | None) -> int:
    """How many tasks to claim before a process is free, if tasks take ``average`` seconds."""
    if average is None:
        return processes
    return min(processes, ceil(processes * CLAIM_HORIZON.total_seconds() / max(average, 0.001)))


def patience(urgent: bool, average: float | None) -> float:
    """For how many seconds to hold a message whose task hasn't begun."""
    shortest = PATIENCE.total_seconds()
    if not urgent:
        return shortest
    return min(max(shortest, average or 0), URGENT_PATIENCE.total_seconds())


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
        self._return_unbegun(consumer.task_consumer.channel)
        if len(state.active_requests) < processes:
            # Messages that were returned make room, and a process that died leaves some: no
            # acknowledgement will come that has the channel poll again.
            consumer.task_consumer.channel.wake()

    def _return_unbegun(self, channel: Channel) -> None:
        """Return what has waited here for too long, or is paused."""
        now = monotonic()
        for request in tuple(state.reserved_requests):
            if request in state.active_requests or request.time_start:
                continue
            held = request.channel.held.get(request.tag)
            if held is None:
                continue
            # With an admission it was received as paused, and a copy replaces it.
            paused = channel.is_paused(held) or (
                request.admission is None and pausing().pauses_type(type_name_of(request.task))
            )
            if paused or now - held.received_at > patience(held.high, tally.average):
                request.return_now()
