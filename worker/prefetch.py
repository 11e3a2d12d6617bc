"""How many messages to hold: enough that no process waits for one, and no more.

A message held here can't be run by another worker. Short tasks are held ahead, so that they
stream; of long ones, one for each process. What was held ahead and waits too long goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from statistics import fmean
from time import monotonic, time
from typing import Any

from celery.worker import state

from worker import durations
from worker.repeating import RepeatingStep

#: What is held ahead should last about as long as receiving and acknowledging take, with room
#: for a slow answer.
HORIZON = timedelta(milliseconds=400)
#: At most this many for each process.
MOST_AHEAD = 5
#: After so long, what hasn't begun goes back to the queue.
PATIENCE = timedelta(seconds=2)
INTERVAL = timedelta(milliseconds=250)


def prefetch_count(processes: int, average: float | None, running_for: Sequence[float] = ()) -> int:
    """How many messages to hold for tasks that take ``average`` seconds.

    ``running_for`` are the seconds that the tasks under way have taken so far. Once they take
    longer than those before them, they are what to expect: a worker that went by the average
    would receive again what it has just given back, until SQS calls the message poison.
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
        now = time()
        running_for = [now - each.time_start for each in tuple(state.active_requests)]
        wanted = prefetch_count(processes, durations.average(), running_for)
        if consumer.qos.value != wanted:
            consumer.qos.set(wanted)
            # What Celery's own adjustments go back to.
            consumer.qos.value = wanted
        self._give_back_the_impatient()
        if len(state.active_requests) < processes:
            # What was given back makes room, a moment later. Not because the processes are busy:
            # one has died, say. Then no acknowledgement will come that has the channel poll again.
            consumer.task_consumer.channel.wake()

    def _give_back_the_impatient(self) -> None:
        longest_ago = monotonic() - PATIENCE.total_seconds()
        for request in tuple(state.reserved_requests):
            if request in state.active_requests or request.time_start:
                continue
            held = request.channel.held.get(request.tag)
            if held is not None and held.received_at < longest_ago:
                request.give_back()
