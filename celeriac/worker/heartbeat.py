"""Writes this worker's heartbeat: its identity and its tasks.

Celery's own heartbeats, events and remote control need a broker that can broadcast. SQS can't.
"""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from celery.worker import state

from celeriac import clock
from celeriac.storage.heartbeats import INTERVAL, ReservedTask, RunningTask, Worker
from celeriac.storage.services import services
from celeriac.transport.held import worker_id
from celeriac.worker.claims import waiting
from celeriac.worker.tally import tally

if TYPE_CHECKING:
    from celeriac.transport import Channel
    from celeriac.worker.request import RecordedRequest


class Heartbeat:
    """Written at the first beat, then every ``INTERVAL``; gone after ``end``."""

    def __init__(self) -> None:
        self.id = worker_id()
        self._began_at = monotonic()
        self._beat_at = float("-inf")
        self._ended = False

    def beat(self, consumer: Any, channel: Channel, running: list[RecordedRequest]) -> None:
        """Write, if it is time to."""
        if self._ended or monotonic() - self._beat_at < INTERVAL.total_seconds():
            return
        # Even if it fails: a table that doesn't answer isn't asked again each second.
        self._beat_at = monotonic()
        services().workers.report(self._describe(consumer, channel, running))

    def end(self) -> None:
        """Remove what was written: this worker ends."""
        self._ended = True
        services().workers.remove(self.id)

    def _describe(self, consumer: Any, channel: Channel, running: list[RecordedRequest]) -> Worker:
        now = clock.now()
        return Worker(
            id=self.id,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            queues=tuple(sorted(queue.name for queue in consumer.task_consumer.queues)),
            concurrency=consumer.pool.num_processes,
            prefetch=channel.qos.prefetch_count,
            started_at=_before(now, self._began_at),
            seen_at=now,
            stopping=state.should_stop is not None or state.should_terminate is not None,
            active=tuple(_running_task(request, now) for request in running),
            reserved=tuple(
                ReservedTask(task_id=request.id, type=request.name) for request in waiting()
            ),
            processed=state.all_total_count[0],
            failed=tally.failed,
            registered=tuple(
                sorted(name for name in consumer.app.tasks if not name.startswith("celery."))
            ),
        )


def _running_task(request: RecordedRequest, now: clock.Millis) -> RunningTask:
    since = now if request.begun_at is None else _before(now, request.begun_at)
    return RunningTask(task_id=request.id, type=request.name, since=since)


def _before(now: clock.Millis, then: float) -> clock.Millis:
    """A moment of the monotonic clock as the time that others read."""
    return now - int((monotonic() - then) * 1000)
