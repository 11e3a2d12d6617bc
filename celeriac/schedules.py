"""Make, look at, edit, pause and run schedules from Python: ``from celeriac import schedules``.

found = schedules.create("send-digest", Schedule.cron("0 6 * * MON-FRI"))
schedules.pause(found.schedule_id)
"""

from celeriac.contract.schedule import ScheduleError
from celeriac.operations.schedule_tasks import RefusedError
from celeriac.operations.scheduled import (
    DeclaredScheduleError,
    Scheduled,
    ScheduleNotFoundError,
)
from celeriac.operations.schedules import (
    find,
    history,
    list_all,
    next_times,
    pause,
    resume,
    run_now,
)
from celeriac.operations.scheduling import create, delete, edit
from celeriac.storage.firings import Firing

__all__ = [
    "DeclaredScheduleError",
    "Firing",
    "RefusedError",
    "ScheduleError",
    "ScheduleNotFoundError",
    "Scheduled",
    "create",
    "delete",
    "edit",
    "find",
    "history",
    "list_all",
    "next_times",
    "pause",
    "resume",
    "run_now",
]
