"""``Retry-After``: when it is worth looking at a task again that hasn't ended.

The pause is a quarter of the time since something last happened to the task: it was submitted, was
due, started, or was asked to stop. A caller therefore sees the end at most a quarter too
late, and asks ever more rarely: 18 times in a minute, and 31 times in ten.

    seconds   0 1 2 3 4 5 6 7 8 10 12 15 18 22 27 33 41 51 63 … 235 293 353 413
              every second      a quarter of the age            every minute

The record alone says this. The usual time of a task type would have to be read, or be learnt by
each of Lambda's short-lived processes. It says little where the tasks of a type differ.
"""

from __future__ import annotations

from datetime import timedelta

from celeriac import clock
from celeriac.records import TaskRecord

SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(minutes=1)
#: Which part of a task's age a caller may learn too late of its end.
_SHARE = 4

#: ``Retry-After`` of an answer with a task, for the documentation.
HEADER = {
    "description": "After how many seconds it is worth looking again; absent if the task has ended "
    "or the request has waited.",
    "schema": {"type": "integer"},
}


def retry_after(record: TaskRecord) -> dict[str, str]:
    """The header for a task that hasn't ended, and nothing for one that has.

    A task that isn't due is worth looking at when it is.
    """
    if record.terminal:
        return {}
    now = clock.now()
    events = (record.created_at, record.due_at, record.started_at, record.cancel_requested_at)
    latest = max(moment for moment in events if moment is not None)
    if latest > now:
        pause = timedelta(milliseconds=latest - now)
    else:
        pause = min(timedelta(milliseconds=now - latest) / _SHARE, LONGEST)
        pause -= pause % SHORTEST
    return {"Retry-After": str(-(-max(pause, SHORTEST) // SHORTEST))}
