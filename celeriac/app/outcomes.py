"""How a task ends: the outcome, and who writes it.

A child process that waits for DynamoDB to take each outcome does nothing meanwhile. So it reports
the outcome of a task that succeeded to the main process, and goes on to the next task. The main
process writes the outcome and then acknowledges the message.

    child           runs A ── reports ── runs B ── reports ──
    main process                 └─ finish A ✓ ─ acknowledge A
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from botocore.exceptions import ClientError

from celeriac import states
from celeriac.app import telemetry
from celeriac.errors import invalid
from celeriac.records import Failure, TaskRecord
from celeriac.storage.services import services

log = logging.getLogger(__name__)

#: The error type of a task that ended, but whose outcome DynamoDB refuses.
NOT_STORED = "outcome-not-stored"


@dataclass(frozen=True)
class Outcome:
    """The end of a task. ``result`` and ``children`` are references to what it gave and started.

    ``owner`` is None for a task that ends before anybody has claimed it.
    """

    task_id: str
    owner: str | None
    state: str
    result: str | None = None
    children: str | None = None
    failure: Failure | None = None

    def write(self) -> TaskRecord:
        """Write it. An outcome that DynamoDB will never take ends the task as failed.

        Raises:
            LeaseLostError: another attempt holds the task.
            botocore.exceptions.ClientError: DynamoDB refuses for now, or has no permission.
            botocore.exceptions.BotoCoreError: DynamoDB can't be reached.
        """
        try:
            ended = services().records.finish(
                self.task_id,
                self.owner,
                self.state,
                result=self.result,
                failure=self.failure,
                children=self.children,
            )
        except ClientError as error:
            if not invalid(error):
                raise
            log.exception("the outcome of task %s, %s, can't be stored", self.task_id, self.state)
            why = error.response["Error"]["Message"]
            failure = Failure(
                type=NOT_STORED, message=f"DynamoDB refuses to store {self.state}: {why}"
            )
            ended = services().records.finish(
                self.task_id, self.owner, states.FAILURE, failure=failure
            )
        telemetry.ended(ended)
        return ended


class Handover:
    """Takes the outcome of one task."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.outcome: Outcome | None = None


_current: ContextVar[Handover | None] = ContextVar("handover", default=None)


@contextmanager
def handed_over(task_id: str) -> Iterator[Handover]:
    """Inside, this task's outcome is kept for another process instead of being written."""
    handover = Handover(task_id)
    token = _current.set(handover)
    try:
        yield handover
    finally:
        _current.reset(token)


def takes(outcome: Outcome) -> bool:
    """Whether the outcome has been handed over: if not, it is still to be written."""
    handover = _current.get()
    if handover is None or handover.task_id != outcome.task_id:
        return False
    handover.outcome = outcome
    return True
