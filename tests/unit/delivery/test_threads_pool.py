"""The pool of threads: what it runs, and what it doesn't."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from celery.concurrency.thread import TaskPool
from celery.exceptions import Reject
from celery.worker import state

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.storage.services import services
from celeriac.worker import drain
from celeriac.worker.request import RecordedRequest
from celeriac.worker.threads import Limits, ThreadPool
from tests.integration.processes import wait_for
from tests.unit.delivery.single_worker import SingleWorker


@pytest.fixture
def pool(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskPool]:
    # Where a thread of the pool finds its task. The test's own thread has a current app.
    monkeypatch.setattr("celery._state.default_app", app)
    pool = ThreadPool(limit=1)
    pool.start()
    yield pool
    pool.stop()


def take(worker: SingleWorker, pool: TaskPool) -> RecordedRequest:
    """Receive a task and give it to the pool, as Celery's consumer does."""
    request = worker.take()
    state.task_reserved(request)
    request.execute_using_pool(pool)
    return request


class Line:
    """Tasks given to a pool of one thread: the first runs until told to end, others wait."""

    def __init__(self, app: Celeriac, worker: SingleWorker, pool: TaskPool) -> None:
        self.goes_on = threading.Event()
        self.ran: list[int] = []
        self.worker = worker

        @app.task(name="numbered", shared=False)
        def numbered(number: int) -> int:
            self.ran.append(number)
            self.goes_on.wait(60)
            return number

        for number in range(3):
            numbered.delay(number)
        self.requests = [take(worker, pool) for _ in range(3)]
        wait_for(lambda: bool(self.ran), "the first to run")
        (self.first,) = [each for each in self.requests if each.time_start]
        self.others = [each for each in self.requests if each is not self.first]

    def end(self) -> None:
        """Let the first end, and the pool see to whatever it has left."""
        self.goes_on.set()
        wait_for(lambda: self.first.acknowledged, "the first to end")

    def states(self) -> list[str]:
        records = [services().records.get(each.id) for each in (self.first, *self.others)]
        return [record.state for record in records if record is not None]


@pytest.fixture
def line(app: Celeriac, worker: SingleWorker, pool: TaskPool) -> Iterator[Line]:
    line = Line(app, worker, pool)
    yield line
    line.goes_on.set()


def test_what_was_given_back_does_not_begin(line: Line, pool: TaskPool) -> None:
    """Another worker may have it by now; here it would run without being held."""
    for request in line.others:
        request.return_now()
    line.end()
    pool.stop()

    assert len(line.ran) == 1
    assert line.worker.visible() == 2
    assert line.states() == [states.SUCCESS, states.PENDING, states.PENDING]


def test_what_has_begun_is_not_given_back(line: Line) -> None:
    """Its thread has it, whether it has said so or not."""
    line.first.time_start = None
    line.first.return_now()

    assert line.worker.visible() == 0
    assert line.worker.channel.held.get(line.first.tag) is not None


def test_a_worker_that_stops_gives_back_what_no_thread_has_begun_with(
    line: Line, pool: TaskPool
) -> None:
    """All but what runs; none of it begins afterwards."""
    drain._return_waiting(line.worker.channel)
    assert line.worker.visible() == 2
    line.end()
    pool.stop()

    assert len(line.ran) == 1
    assert line.states() == [states.SUCCESS, states.PENDING, states.PENDING]


def test_what_is_raised_outside_a_tasks_own_code_reaches_its_request(pool: TaskPool) -> None:
    """An outcome that can't be written has the message come back, as in the prefork pool."""
    told = threading.Event()
    errors: list[Any] = []

    def cannot_write() -> None:
        raise Reject("the record can't be written now", requeue=True)

    def note(info: Any) -> None:
        errors.append(info.exception)
        told.set()

    pool.apply_async(
        cannot_write, (), callback=errors.append, accept_callback=None, error_callback=note
    )

    assert told.wait(60)
    assert len(errors) == 1
    assert getattr(errors[0], "exc", errors[0]).requeue


@pytest.mark.parametrize("limit", ["soft_time_limit", "time_limit"])
def test_a_task_is_interrupted_at_its_limit(
    app: Celeriac, worker: SingleWorker, pool: TaskPool, limit: str
) -> None:
    """Whichever it has: a thread can't be killed, so a hard limit is the same as a soft one."""

    @app.task(name="endless", shared=False, **{limit: 0.1})
    def endless() -> None:
        ends_at = monotonic() + 60
        while monotonic() < ends_at:
            pass

    endless.delay()
    request = take(worker, pool)
    limits = Limits()

    def ended() -> bool:
        limits.enforce([request])
        return request.acknowledged

    wait_for(ended, "the task to end")

    record = services().records.get(request.id)
    assert record is not None
    assert record.failure is not None
    assert record.failure.type == "SoftTimeLimitExceeded"
