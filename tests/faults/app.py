"""The app of the fault tests: the worker's own, with tasks that can be watched and made to fail.

Their effects are items of the table, so that they outlive the processes that made them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import billiard
from celery import Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.exceptions import Retry as CeleryRetry

from celeriac import schedules
from celeriac.app.typed_task import TypedTask
from celeriac.contract import (
    BaseModel,
    Cancelled,
    Catalogue,
    Retry,
    Schedule,
    TaskContext,
    task,
)
from celeriac.marshalling import marshal, unmarshal
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.faults import limited
from tests.faults.ways import RETURNED, WAYS
from worker.app import app

#: One of Celery's own, for what a plain task raises.
EXPECTED = "as it was told to"


# -- what tasks leave behind


def _key(kind: str, name: str) -> dict[str, str]:
    return {"pk": f"{kind}#{name}", "sk": kind}


def count(name: str) -> None:
    """Count one execution under this name. A repeated write would count twice: no retries."""
    services().dynamodb.update_item(
        TableName=services().settings.table_name,
        Key=marshal(_key("count", name)),
        UpdateExpression="ADD #count :one SET #at = :at",
        ExpressionAttributeNames={"#count": "count", "#at": "at"},
        ExpressionAttributeValues=marshal({":one": 1, ":at": str(time.time())}),
    )


def counted(name: str) -> int:
    """How often this was executed."""
    answer = services().dynamodb.get_item(
        TableName=services().settings.table_name,
        Key=marshal(_key("count", name)),
        ConsistentRead=True,
    )
    return int(unmarshal(answer["Item"])["count"]) if "Item" in answer else 0


def commit(name: str, by: str) -> bool:
    """Commit an effect under this name, once; whether it was this call that did."""
    client = services().dynamodb
    try:
        client.put_item(
            TableName=services().settings.table_name,
            Item=marshal({**_key("effect", name), "by": by}),
            ConditionExpression="attribute_not_exists(pk) OR #by = :by",
            ExpressionAttributeNames={"#by": "by"},
            ExpressionAttributeValues=marshal({":by": by}),
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


# -- task types


class Work(BaseModel):
    """``name`` is counted under; ``seconds`` is how long it takes."""

    name: str
    seconds: float = 0


class Done(BaseModel):
    """``first`` tells whether this attempt committed the effect."""

    attempt: int
    first: bool = True


def _take(seconds: float) -> None:
    """Take so long, a little at a time: a thread can't be interrupted in its sleep."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        time.sleep(0.05)


@task(queue=DEFAULT, time_limit=timedelta(minutes=5), retry=Retry(attempts=3))
def effect(payload: Work, context: TaskContext) -> Done:
    """Commit an effect exactly once, however often it runs."""
    count(payload.name)
    time.sleep(payload.seconds)
    first = commit(context.task_id, f"{context.task_id}/{os.getpid()}/{time.time()}")
    return Done(attempt=context.attempt, first=first)


@task(queue=DEFAULT, time_limit=timedelta(minutes=5), retry=Retry(attempts=3))
def saving(payload: Work, context: TaskContext) -> Done:
    """Save an artifact, and then take a while."""
    context.save_artifact("part.txt", b"unfinished", content_type="text/plain")
    count(payload.name)
    _take(payload.seconds)
    return Done(attempt=context.attempt)


@task(queue=DEFAULT, time_limit=timedelta(minutes=5), retry=Retry(attempts=3))
def stubborn(payload: Work, context: TaskContext) -> Done:
    """Ignore every request to stop."""
    context.save_artifact("part.txt", b"unfinished", content_type="text/plain")
    count(payload.name)
    ends_at = time.monotonic() + payload.seconds
    while time.monotonic() < ends_at:
        try:
            time.sleep(0.05)
        except Cancelled:
            count(f"{payload.name}-asked")
    return Done(attempt=context.attempt)


@task(queue=DEFAULT, time_limit=timedelta(minutes=5), retry=Retry(attempts=3))
def fatal(payload: Work, context: TaskContext) -> Done:
    """Kill the process that runs it."""
    count(payload.name)
    os.kill(os.getpid(), signal.SIGKILL)
    return Done(attempt=context.attempt)


class Begun(BaseModel):
    """``at`` is when a process began with the task, in seconds since 1970."""

    at: float


@task(queue=DEFAULT, time_limit=timedelta(minutes=5), retry=Retry(attempts=3))
def timed(payload: Work, context: TaskContext) -> Begun:
    """Note when it begins, and take a while."""
    at = time.time()
    time.sleep(payload.seconds)
    return Begun(at=at)


class Death(BaseModel):
    """``by`` is an exit code, or the negative number of a signal."""

    by: int


@task(queue=DEFAULT, time_limit=timedelta(minutes=5), retry=Retry(attempts=3))
def dying(payload: Death, context: TaskContext) -> Done:
    """End the process of the first attempt."""
    if context.attempt == 1 and payload.by < 0:
        os.kill(os.getpid(), -payload.by)
    if context.attempt == 1:
        os._exit(payload.by)
    return Done(attempt=context.attempt)


_QUICK = Retry(attempts=2, first_delay=timedelta(0), max_delay=timedelta(0))


def _ignore_the_limit(payload: Work) -> None:
    count(payload.name)
    ends_at = time.monotonic() + payload.seconds
    while time.monotonic() < ends_at:
        try:
            time.sleep(0.05)
        except SoftTimeLimitExceeded:
            count(f"{payload.name}-soft")


@task(queue=DEFAULT, time_limit=timedelta(seconds=1), retry=_QUICK)
def overlong(payload: Work, context: TaskContext) -> Done:
    """Run past its soft limit on the first attempt only, and past the hard one too."""
    if context.attempt == 1:
        _ignore_the_limit(payload)
    return Done(attempt=context.attempt)


@task(queue=DEFAULT, time_limit=timedelta(seconds=1), retry=Retry(attempts=1))
def overlong_once(payload: Work, context: TaskContext) -> Done:
    """As overlong, without another attempt."""
    _ignore_the_limit(payload)
    return Done(attempt=context.attempt)


@task(queue=DEFAULT, time_limit=timedelta(seconds=1), retry=Retry(attempts=1))
def dawdling(payload: Work, context: TaskContext) -> Done:
    """Take longer than its time limit, and end when told."""
    count(payload.name)
    _take(payload.seconds)
    return Done(attempt=context.attempt)


class Ending(BaseModel):
    way: str
    name: str = "x"


@task(
    queue=DEFAULT,
    time_limit=timedelta(minutes=1),
    retry=Retry(attempts=2, first_delay=timedelta(0), max_delay=timedelta(0)),
)
def ending(payload: Ending, context: TaskContext) -> Done:
    """End in this way, each time."""
    count(payload.name)
    given = WAYS[payload.way].end()
    if payload.way in RETURNED:
        # A result of another type than is declared.
        return given  # type: ignore[no-any-return]
    return Done(attempt=context.attempt)


TYPES = Catalogue(
    [
        *(ending, effect, saving, stubborn, fatal, dying, overlong, overlong_once, dawdling, timed),
        *limited.TYPES,
    ]
)
for _each in TYPES.values():
    app.register_task(TypedTask.of(_each, _each.name))


# -- plain Celery tasks


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def counting_total(numbers: list[int], name: str) -> int:
    count(name)
    return sum(numbers)


@app.task
def identity(value: Any) -> Any:
    return value


@app.task
def counting(name: str, value: Any = None) -> Any:
    count(name)
    return value


@app.task
def sleeping(name: str, seconds: float) -> str:
    count(name)
    time.sleep(seconds)
    return name


@app.task
def failing(*_: Any, **__: Any) -> None:
    raise ValueError(EXPECTED)


@app.task
def failing_on_a_file(name: str) -> None:
    raise FileNotFoundError(name)


@app.task(ignore_result=True)
def ignored(name: str) -> str:
    count(name)
    return "nobody sees this"


@app.task(bind=True, max_retries=3)
def retrying(self: Task, name: str, failures: int, countdown: float = 0) -> int:
    count(name)
    if self.request.retries < failures:
        raise self.retry(exc=ValueError(EXPECTED), countdown=countdown)
    return int(self.request.retries)


@app.task
def ending_plainly(way: str) -> Any:
    """End in this way."""
    return WAYS[way].end()


@app.task(bind=True)
def ignoring(self: Task, state: str | None = None) -> None:
    """Raise ``Ignore``, in a state of its own if one is given."""
    if state is not None:
        self.update_state(state=state, meta={"exc_type": "OwnError", "exc_message": ["by hand"]})
    raise Ignore


@app.task
def raising_retry() -> None:
    """Raise ``Retry``, as ``self.retry()`` does after it has sent a message."""
    raise CeleryRetry("later")


@app.task(bind=True)
def eta_of(self: Task) -> Any:
    """When a task that was delayed was to begin."""
    return self.request.eta


@app.task
def scheduling() -> dict[str, Any]:
    """Do with a schedule what ``celeriac.schedules`` has; what was seen of it on the way."""
    payload = {"total_steps": 1, "step_seconds": 0}
    id = schedules.create("long-running", Schedule.cron("0 6 * * *", payload=payload)).schedule_id
    edited = schedules.edit(id, schedule=Schedule.rate(timedelta(hours=1)))
    paused = schedules.pause(id).paused
    listed = [each.schedule_id for each in schedules.list_all()]
    task_id = schedules.run_now(id).record.task_id
    resumed = not schedules.resume(id).paused
    fired = [each.task_id for each in schedules.history(id)]
    schedules.delete(id)
    return {
        "edited": edited.schedule.expression,
        "paused": paused,
        "listed": id in listed,
        "resumed": resumed,
        "fired": fired == [task_id],
        "left": id in [each.schedule_id for each in schedules.list_all()],
        "schedule_id": id,
        "task_id": task_id,
    }


@app.task(bind=True)
def headers_of(self: Task) -> Any:
    """The headers that a task sees on its second attempt."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    return self.request.headers


@app.task(bind=True)
def rejecting_once(self: Task, name: str) -> str:
    count(name)
    if not self.request.delivery_info["redelivered"]:
        raise Reject("not on the first delivery", requeue=True)
    return "redelivered"


@app.task(bind=True)
def reporting(self: Task, flag: str) -> str:
    """Report a state of its own until the flag is raised."""
    self.update_state(state="PROGRESS", meta={"done": 50})
    while not Path(flag).exists():
        time.sleep(0.05)
    return "reported"


@app.task(bind=True)
def parent(self: Task, x: int) -> int:
    """Start two children."""
    add.delay(x, 1)
    add.delay(x, 2)
    return x


@app.task(bind=True)
def replaced(self: Task, x: int) -> Any:
    raise self.replace(add.s(x, 100))


@app.task(bind=True)
def replaced_by_chain(self: Task, x: int) -> Any:
    raise self.replace(add.s(x, 4) | add.s(6))


@app.task
def errback(request: Any, error: BaseException, traceback: Any) -> None:
    count(f"errback-of-{request.id}")


@app.task
def old_errback(task_id: str) -> None:
    count(f"old-errback-of-{task_id}")


# -- tasks that start processes


def _by_process() -> int:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=sending.send, args=(49,))
    process.start()
    answer: int = receiving.recv()
    process.join()
    assert process.exitcode == 0
    return answer


def _by_pool() -> int:
    with multiprocessing.Pool(2) as pool:
        return sum(pool.map(_square, [7, 0]))


def _by_executor() -> int:
    with ProcessPoolExecutor(2) as executor:
        return sum(executor.map(_square, [7, 0]))


def _by_spawn() -> int:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return sum(pool.map(_square, [7, 0]))


def _by_billiard() -> int:
    process = billiard.Process(target=sys.exit, args=(49,))
    process.start()
    process.join()
    return int(process.exitcode)


def _by_terminated_process() -> int:
    process = multiprocessing.Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join()
    return 49 if process.exitcode == -signal.SIGTERM else 0


def _by_terminated_program() -> int:
    with subprocess.Popen(["/bin/sleep", "600"]) as program:
        program.terminate()
        return 49 if program.wait() == -signal.SIGTERM else 0


def _by_asyncio() -> int:
    async def run() -> int:
        program = await asyncio.create_subprocess_exec("/bin/sleep", "600")
        program.terminate()
        return await program.wait()

    return 49 if asyncio.run(run()) == -signal.SIGTERM else 0


def _square(number: int) -> int:
    return number * number


FAMILIES: dict[str, Callable[[], int]] = {
    "process": _by_process,
    "pool": _by_pool,
    "executor": _by_executor,
    "spawn": _by_spawn,
    "billiard": _by_billiard,
    "terminated process": _by_terminated_process,
    "terminated program": _by_terminated_program,
    "asyncio": _by_asyncio,
}


@app.task
def with_family(way: str) -> int:
    return FAMILIES[way]()


@app.task(time_limit=3)
def abandoning(path: str) -> None:
    """Start a process that would run for long, and be killed while it waits for it."""
    process = multiprocessing.Process(target=time.sleep, args=(600,))
    process.start()
    Path(path).write_text(str(process.pid))
    process.join()
