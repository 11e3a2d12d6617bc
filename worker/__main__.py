"""Start a worker: ``python -m worker``.

CELERIAC_QUEUES        the queues to consume, with commas between; all unless given
CELERIAC_CONCURRENCY   how many tasks to run side by side; one a core unless given
"""

from __future__ import annotations

import os
import sys
import warnings

from celery.exceptions import SecurityWarning
from celery.utils.nodenames import default_nodename

from celeriac.app import celery_app
from celeriac.logs import configure
from celeriac.settings import settings
from tasks.contract import Queue
from worker.equipment import equip


class WorkerOptionError(ValueError):
    """A variable that tells this worker what to do has a wrong value."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        super().__init__(f"{variable}={value!r} is wrong: give {expected}.")


def queue_names(value: str | None) -> list[str]:
    """The queues that a list with commas names; all of them for None."""
    known = [queue.queue_name for queue in Queue]
    names = known if value is None else [name.strip() for name in value.split(",")]
    if not set(names) <= set(known):
        raise WorkerOptionError("CELERIAC_QUEUES", str(value), f"some of {', '.join(known)}")
    return names


def concurrency(value: str | None) -> int:
    """How many processes to keep."""
    if value is None:
        return os.cpu_count() or 1
    if not value.isdecimal() or int(value) < 1:
        raise WorkerOptionError("CELERIAC_CONCURRENCY", value, "a whole number from 1")
    return int(value)


def main() -> int:
    """Run a worker until it is told to stop."""
    try:
        queues = queue_names(os.environ.get("CELERIAC_QUEUES"))
        processes = concurrency(os.environ.get("CELERIAC_CONCURRENCY"))
    except WorkerOptionError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure(settings().log_level)
    # Celery warns of root since pickle would let a message run code; messages here are JSON.
    warnings.simplefilter("ignore", SecurityWarning)
    worker = equip(celery_app()).Worker(
        hostname=default_nodename(f"worker-{os.getpid()}"),
        pool_cls="prefork",
        concurrency=processes,
        queues=queues,
        loglevel=settings().log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
