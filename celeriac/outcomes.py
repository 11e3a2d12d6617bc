"""The outcome of a task that did well, to be written by another than its own process.

A child process that waits for DynamoDB to take each outcome does nothing meanwhile. So it hands
the outcome to the main process, with the report that its task is over, and goes on to the next
task; the main process writes it, and acknowledges the message once it is written.

    child           runs A ── reports ── runs B ── reports ──
    main process                 └─ finish A ✓ ─ acknowledge A
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from celeriac import states, telemetry
from celeriac.records import TaskRecord
from celeriac.services import services


@dataclass(frozen=True)
class Outcome:
    """What there is to write of a task that did well. ``result`` is a reference to its result."""

    task_id: str
    owner: str
    result: str
    children: str | None

    def write(self) -> TaskRecord:
        """Write it. Raises ``LeaseLostError``, and whatever DynamoDB gives."""
        ended = services().records.finish(
            self.task_id, self.owner, states.SUCCESS, result=self.result, children=self.children
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
