"""Task types of the rehearsal alone, with the limits that no built-in type has."""

from __future__ import annotations

import time
from datetime import timedelta

from celeriac import BaseModel, Debounce, Schedule, TaskContext, task
from tasks.queues import DEFAULT


class Short(BaseModel):
    """How long it takes."""

    seconds: float = 0.5


class Ran(BaseModel):
    """When it ran, in seconds since 1970."""

    began: float
    ended: float


@task(queue=DEFAULT, max_running=1, rate="60/m")
def alone(payload: Short, context: TaskContext) -> Ran:
    """Take a little while, as the only one."""
    began = time.time()
    time.sleep(payload.seconds)
    context.progress(1, 1)
    return Ran(began=began, ended=time.time())


@task(queue=DEFAULT, schedule=Schedule.rate(timedelta(hours=1)))
def hourly(payload: Short, context: TaskContext) -> Short:
    """Be submitted by a schedule that code declares."""
    context.progress(1, 1)
    return payload


@task(queue=DEFAULT, debounce=Debounce(delay=timedelta(minutes=20)))
def much_later(payload: Short, context: TaskContext) -> Short:
    """Be due later than SQS's delays reach, whenever it is submitted."""
    context.progress(1, 1)
    return payload
