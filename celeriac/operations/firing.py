"""What EventBridge Scheduler calls: a schedule is due, a delayed task, or the hourly repair.

    {"celeriac": "due", "task_id": "…", "attempt": 1}
    {"celeriac": "schedule", "schedule_id": "…", "scheduled_time": "…", "execution_id": "…"}
    {"celeriac": "repair", "grace_seconds": 900}

Each may be fired twice, late, or after what it is about has gone. The records decide:

    submit    record PENDING 1 ── schedule made
    cancel                                       REVOKED
    fire                                                   nothing is sent
    fire                                   sent ─► claimed 1
    fire again                             sent ─► STALE or HELD: dropped at the claim

On AWS ``celeriac.operations.fire_function`` calls it, and locally ``celeriac.local.schedules``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from celeriac import clock, states
from celeriac.app.factory import celery_app
from celeriac.contract.errors import Picklable
from celeriac.errors import unavailable
from celeriac.operations import firings, maintenance
from celeriac.operations.waking import wake_for
from celeriac.storage.services import services

log = logging.getLogger(__name__)


class UnknownEventError(Picklable, ValueError):
    """The event is none that this deployment's schedules send."""

    def __init__(self, event: object) -> None:
        super().__init__(
            f"{event!r:.300} is no schedule, delayed task or repair that is due. Delete the "
            "EventBridge schedule that sent it."
        )
        self.event = event


def fire(event: Mapping[str, Any]) -> None:
    """Do what is due. Doing it again is harmless.

    Raises:
        UnknownEventError: the event is of another form.
        UnavailableError: AWS didn't answer; the event is to be fired again.
        ValueMissingError: the input of a delayed task is gone.
    """
    match event:
        case {"celeriac": "due", "task_id": str(task_id), "attempt": int(attempt)}:
            _send_due(task_id, attempt)
        case {
            "celeriac": "schedule",
            "schedule_id": str(schedule_id),
            "scheduled_time": str(scheduled_time),
            "execution_id": str(execution_id),
        }:
            moment = datetime.fromisoformat(scheduled_time)
            firings.fire(schedule_id, moment, execution_id, times=event.get("times"))
        case {"celeriac": "repair", "grace_seconds": int(seconds)} if seconds >= 0:
            repaired = maintenance.repair(timedelta(seconds=seconds))
            log.info(
                "the repair examined %d tasks, and sent %d again; %d can't be sent",
                repaired.examined,
                len(repaired.resent) + len(repaired.restarted),
                len(repaired.unsendable),
            )
        case _:
            raise UnknownEventError(event)


def _send_due(task_id: str, attempt: int) -> None:
    """Send the message of a delayed task, and wake its fleet, if this attempt still waits."""
    with unavailable("DynamoDB"):
        record = services().records.get(task_id)
    if (
        record is None
        or record.state not in states.WAITING
        or record.attempt != attempt
        or record.awaits
    ):
        log.info("task %s, attempt %d, is due and no longer waits", task_id, attempt)
        return
    # Fired means due, whatever this machine's clock says: SQS adds no delay.
    due = replace(record, due_at=min(record.due_at or 0, clock.now()))
    celery_app().publish_kept(due)
    wake_for(due)
