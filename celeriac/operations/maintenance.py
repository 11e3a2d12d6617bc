"""What keeps a deployment complete: unfinished tasks are kept, and sent again if they are lost."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from celeriac import clock, states
from celeriac.app.amqp import UnknownQueueError
from celeriac.app.factory import celery_app
from celeriac.clock import Millis
from celeriac.errors import transient
from celeriac.operations.keeping import Keeping
from celeriac.operations.lost_messages import LostMessages
from celeriac.operations.queues import QueueNotFoundError
from celeriac.records import TaskRecord
from celeriac.records.table import BATCH_GET_LIMIT
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError

log = logging.getLogger(__name__)


@dataclass
class Repaired:
    """How many unfinished tasks ``repair`` looked at, and the ids of those it acted on.

    ``kept`` are tasks whose record and input would have expired. ``unsendable`` are tasks whose
    input is gone, or whose queue is.
    """

    examined: int = 0
    kept: list[str] = field(default_factory=list)
    resent: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    unsendable: list[str] = field(default_factory=list)


def repair(grace: timedelta) -> Repaired:
    """Keep tasks that have not ended, and send those again that have lost their message.

    A message may be lost whose task is overdue by ``grace``. Reads the index of unfinished tasks,
    and the records of those older than ``grace``: what has ended costs nothing. A second message
    is harmless, and so is a second repair at the same time.

    Raises:
        UnavailableError: AWS didn't answer. What was sent stays sent, and the next repair goes on.
    """
    now = clock.now()
    latest = now - clock.millis(grace)
    app = celery_app()
    keeping = Keeping(app)
    messages = LostMessages(app, grace)
    repaired = Repaired()
    for record in _older_than(max(latest, keeping.worn_before)):
        repaired.examined += 1
        overdue_at = _overdue_at(record)
        try:
            if _kept(keeping, record):
                repaired.kept.append(record.task_id)
            if overdue_at is None or overdue_at > latest:
                continue
            sent = messages.lost(record, overdue_at) and app.resend(record)
        except (ValueMissingError, UnknownQueueError, QueueNotFoundError) as error:
            log.warning("task %s can't be sent again: %s", record.task_id, error)
            repaired.unsendable.append(record.task_id)
            continue
        if sent:
            log.info("task %s was lost and is sent again", record.task_id)
            (repaired.restarted if record.running else repaired.resent).append(record.task_id)
    return repaired


def _kept(keeping: Keeping, record: TaskRecord) -> bool:
    """Whether a task needed to be kept for longer, and is. Raises ``ValueMissingError``."""
    try:
        return keeping.keep(record)
    except ValueMissingError:
        raise
    except Exception as error:  # noqa: BLE001 - one task's fault keeps no other from its repair
        # There is time: the next repair tries again.
        level = logging.WARNING if transient(error) else logging.ERROR
        log.log(level, "task %s isn't kept for longer now: %s", record.task_id, error)
        return False


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
    # A worker that returned it has ended its lease, and no later time is known of that.
    return max(record.lease_until or 0, record.started_at or 0)
