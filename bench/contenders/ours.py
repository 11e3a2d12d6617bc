"""Celeriac's worker, as ``python -m celeriac.worker`` runs it, with the benchmark's task type."""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import cache

from bench.contenders.workload import work
from celeriac import Celeriac
from celeriac.app.typed_task import TypedTask
from celeriac.contract import BaseModel, Catalogue, TaskContext, task
from celeriac.operations.submission import submit
from celeriac.worker.__main__ import main
from tasks.queues import DEFAULT
from worker.app import app


class Bench(BaseModel):
    """The length of the task, in seconds."""

    seconds: float


class Benched(BaseModel):
    """An empty result."""


@task(queue=DEFAULT, time_limit=timedelta(minutes=1))
def bench(payload: Bench, context: TaskContext) -> Benched:
    """Wait for the payload's seconds."""
    del context  # every task function takes one
    work(payload.seconds)
    return Benched()


TYPES = Catalogue([bench])
app.register_task(TypedTask.of(bench, bench.name))


@cache
def caller() -> Celeriac:
    """The app of a process that only submits."""
    return Celeriac("caller", catalogue=TYPES, set_as_current=False)


def send(seconds: float) -> None:
    """Submit one task."""
    submit("bench", Bench(seconds=seconds), app=caller())


if __name__ == "__main__":
    sys.exit(main())
