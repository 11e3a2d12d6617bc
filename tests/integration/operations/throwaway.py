"""Task types that exist for these tests only, and the worker that runs them.

``python -m tests.integration.operations.throwaway`` runs the worker; what it is given as arguments
are the names of the task types that it doesn't know.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from celeriac.contract import (
    BaseModel,
    Catalogue,
    Retry,
    TaskContext,
    catalogue,
    task,
)
from tasks.queues import DEFAULT


class Note(BaseModel):
    """A file to write a line into."""

    path: str
    line: str = "done"


class Noted(BaseModel):
    """What was written."""

    line: str


@task(queue=DEFAULT, time_limit=timedelta(minutes=1), retry=Retry(attempts=1))
def note(payload: Note, context: TaskContext) -> Noted:
    """Write a line into a file."""
    with Path(payload.path).open("a") as file:
        file.write(f"{payload.line}\n")
    return Noted(line=payload.line)


@task(queue=DEFAULT, time_limit=timedelta(minutes=30), retry=Retry(attempts=1))
def stay(payload: Note, context: TaskContext) -> Noted:
    """Run until a file exists."""
    while not Path(payload.path).exists():
        time.sleep(0.02)
    return Noted(line=payload.line)


@task(queue=DEFAULT, time_limit=timedelta(minutes=1), retry=Retry(attempts=1))
def fail(payload: Note, context: TaskContext) -> Noted:
    """Fail."""
    raise RuntimeError(payload.line)


TYPES = [note, stay, fail]
CATALOGUE = Catalogue(TYPES, catalogue().queues)


def main(unknown: list[str]) -> None:
    """Run a worker of two processes on the default queue."""
    from celery.utils.nodenames import default_nodename

    from celeriac.app.factory import make_app
    from celeriac.app.logs import configure
    from celeriac.settings import settings

    configure(settings().log_level)
    known = Catalogue([each for each in TYPES if each.name not in unknown], catalogue().queues)
    worker = make_app(settings(), known).Worker(
        hostname=default_nodename("worker"),
        pool_cls="prefork",
        concurrency=2,
        queues=[DEFAULT.name],
        loglevel="INFO",
        quiet=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main(sys.argv[1:])
