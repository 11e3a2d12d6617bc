"""Celeriac's worker, as ``python -m worker`` runs it, with the benchmark's task type."""

from __future__ import annotations

import sys
from datetime import timedelta

from bench.contenders.workload import work
from celeriac.submission import submit
from celeriac.typed_task import TypedTask
from tasks.contract import BaseModel, Catalogue, Queue, TaskContext, task
from worker.__main__ import main
from worker.app import app


class Bench(BaseModel):
    """How long the task takes."""

    seconds: float


class Benched(BaseModel):
    """Nothing to tell."""


@task(queue=Queue.DEFAULT, time_limit=timedelta(minutes=1))
def bench(payload: Bench, context: TaskContext) -> Benched:
    """Do nothing, for a while."""
    del context  # every task function takes one
    work(payload.seconds)
    return Benched()


TYPES = Catalogue([bench])
app.register_task(TypedTask.of(bench, bench.name))


def send(seconds: float) -> None:
    """Submit one task."""
    submit("bench", Bench(seconds=seconds), types=TYPES)


if __name__ == "__main__":
    sys.exit(main())
