"""Runs a task in a child process, and reports its outcome instead of writing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celeriac import outcomes
from celeriac.outcomes import Outcome


@dataclass(frozen=True)
class Report:
    """A task did well: what Celery's log shows of its result, and the outcome to write."""

    shown: str
    outcome: Outcome


def run(trace: Callable[..., Any], name: str, task_id: str, *args: Any) -> tuple[int, Any, float]:
    """As Celery's ``trace`` does, whether it failed, what it gave and the seconds it took.

    What a task that did well gave is a ``Report``, unless its outcome is written already.
    """
    with outcomes.handed_over(task_id) as handover:
        failed, shown, seconds = trace(name, task_id, *args)
    if failed or handover.outcome is None:
        return failed, shown, seconds
    return failed, Report(shown, handover.outcome), seconds
