"""What keeps a deployment complete: tasks that lost their message or worker are sent again."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from celeriac import clock, states
from celeriac.app.amqp import UnknownQueueError
from celeriac.app.factory import celery_app
from celeriac.app.sending import CeleriacApp
from celeriac.clock import Millis
from celeriac.operations.queues import QueueNotFoundError, counts_of, queue_named
from celeriac.records import TaskRecord
from celeriac.records.table import BATCH_GET_LIMIT
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError

log = logging.getLogger(__name__)


@dataclass
class Repaired:
    """How many unfinished tasks ``repair`` looked at, and the ids of those it acted on.

    ``unsendable`` are tasks whose input is gone, or whose queue is.
    """

    examined: int = 0
    resent: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    unsendable: list[str] = field(default_factory=list)


def repair(grace: timedelta) -> Repaired:
    """Send again the messages of tasks that should have been claimed or renewed long ago.

    Reads the index of unfinished tasks, and the records of those older than ``grace``: what has
    ended costs nothing. A second message is harmless, and so is a second repair at the same time.

    Raises:
        UnavailableError: AWS didn't answer. What was sent stays sent, and the next repair goes on.
    """
    now = clock.now()
    latest = now - clock.millis(grace)
    app = celery_app()
    queues = _Queues(app)
    repaired = Repaired()
    for record in _older_than(latest):
        repaired.examined += 1
        overdue_at = _overdue_at(record)
        if overdue_at is None or overdue_at > latest:
            continue
        try:
            # Sent again before: then it more likely waits in a long queue than is lost.
            if record.resent and queues.holds_messages(record.queue):
                continue
            sent = app.resend(record)
        except (ValueMissingError, UnknownQueueError, QueueNotFoundError) as error:
            log.warning("task %s can't be sent again: %s", record.task_id, error)
            repaired.unsendable.append(record.task_id)
            continue
        if sent:
            log.info("task %s was lost and is sent again", record.task_id)
            (repaired.restarted if record.running else repaired.resent).append(record.task_id)
    return repaired


class _Queues:
    """Whether queues hold messages, asked once of each."""

    def __init__(self, app: CeleriacApp) -> None:
        self._queues = app.catalogue.queues
        self._settings = app.settings
        self._known: dict[str, bool] = {}

    def holds_messages(self, name: str) -> bool:
        """Raises ``QueueNotFoundError``."""
        if name not in self._known:
            lanes = self._settings.lane_urls(queue_named(name, self._queues))
            self._known[name] = any(sum(counts_of(url)) for url in lanes)
        return self._known[name]


def _older_than(latest: Millis) -> Iterator[TaskRecord]:
    """The records of unfinished tasks that were created by then: none is overdue sooner."""
    records = services().records
    old = (each.task_id for each in records.unfinished() if each.created_at <= latest)
    while ids := list(itertools.islice(old, BATCH_GET_LIMIT)):
        yield from records.get_many(ids).values()


def _overdue_at(record: TaskRecord) -> Millis | None:
    """When a worker should have had the task; None if it has ended, or waits for other tasks."""
    if record.terminal or record.awaits:
        return None
    if record.state in states.WAITING:
        return max(record.created_at, record.due_at or 0)
    # A worker that handed it back has ended its lease, and no later time is known of that.
    return max(record.lease_until or 0, record.started_at or 0)
