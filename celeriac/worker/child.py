"""A child process of the pool: how it starts, and how it runs a task.

It reports a task's outcome to the main process, which writes it. What it reports holds nothing of
the user's: the main process may not know the class of an exception, and would end by reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celeriac.app import interruption, outcomes
from celeriac.app.escapes import plain, told_plainly
from celeriac.app.outcomes import Outcome
from celeriac.worker import children


def prepare(**_: Any) -> None:
    """Let the child be interrupted, die with its parent, and outlive a signal to its group."""
    interruption.install()
    # Docker and shells may signal the whole group. A child that died first would look as if the
    # task had killed it. Processes that the task starts end as usual.
    children.allow()
    # Without its main process the lease is not renewed. Another worker takes the task over, and
    # this child must not run it at the same time.
    children.die_with_parent()


@dataclass(frozen=True)
class Report:
    """A task succeeded: its result as Celery's log shows it, and the outcome to write."""

    shown: str
    outcome: Outcome


def run(trace: Callable[..., Any], name: str, task_id: str, *args: Any) -> tuple[int, Any, float]:
    """Like Celery's ``trace``: whether the task failed, its result, and the seconds it took.

    The result of a task that succeeded is a ``Report``, unless its outcome is written already.

    Raises:
        Exception: the outcome can't be written.
    """
    children.outlive_sigterm()
    try:
        with outcomes.handed_over(task_id) as handover:
            failed, shown, seconds = trace(name, task_id, *args)
    except Exception as error:
        raise plain(error) from error
    if failed:
        return failed, told_plainly(shown), seconds
    if handover.outcome is None:
        return failed, shown, seconds
    return failed, Report(shown, handover.outcome), seconds
