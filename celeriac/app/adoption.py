"""Every task of the app claims its record first, whatever class its author wrote.

A task's own class may have methods that Celery calls. ``__call__`` is Flask's documented way to
push a context. ``RecordedTask`` comes before all of them in the order in which Python looks a
method up (the MRO), and calls them by ``super()``. None is skipped, and none runs without a claim:

    RecordedTask     claims, calls, reports
    FlaskTask        the author's ``base=``, or the app's ``task_cls=``
    Innermost        calls ``run``
"""

from __future__ import annotations

from typing import Any

from celery import Task

from celeriac.app.options import OptionRefusedError
from celeriac.app.task import RecordedTask
from celeriac.contract.limits import MOST_STARTS, of_celery


class Innermost(Task):
    """Calls ``run`` with the request that the worker, or ``apply``, has given the task.

    Celery's own ``__call__`` would give it an empty one, unless a worker has replaced that method
    (celery/app/trace.py, ``_install_stack_protection``).
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if request.called_directly or request.get("in_run"):
            return super().__call__(*args, **kwargs)
        request.update(in_run=True)
        return self.run(*args, **kwargs)


def adopt(task: Any) -> Any:
    """Give a task the class that claims. It keeps its state, and its author's reference holds.

    Raises ``OptionRefusedError``.
    """
    _check_rate(task)
    kind = type(task)
    if not issubclass(kind, Innermost):
        first = (kind,) if issubclass(kind, RecordedTask) else (RecordedTask, kind)
        names = {
            "__module__": kind.__module__,
            "__doc__": kind.__doc__,
            # Whatever its author says: a message acknowledged early is lost with its worker.
            "acks_late": True,
        }
        task.__class__ = type(kind.__name__, (*first, Innermost), names)
    return task


def _check_rate(task: Any) -> None:
    """Raise ``OptionRefusedError`` for a ``rate_limit`` that is none."""
    try:
        of_celery(task.rate_limit)
    except ValueError:
        raise OptionRefusedError(
            f"rate_limit={task.rate_limit!r} of {task.name} is refused: write a number and a unit, "
            f"such as '100/m', up to {MOST_STARTS}/s. Units are s, m, h and d."
        ) from None
