"""A worker's main process, whose event loop the test turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from botocore.exceptions import EndpointConnectionError
from celery.app.trace import trace_task_ret
from celery.worker import state

from celeriac.app.factory import Celeriac
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.worker import child
from celeriac.worker.claims import Claims
from celeriac.worker.request import RecordedRequest
from celeriac.worker.writers import Writers
from tests.unit.delivery.single_worker import SingleWorker


class Loop:
    """The part of kombu's event loop that writers use; the test turns it."""

    def __init__(self) -> None:
        self._readers: dict[int, Callable[[], None]] = {}
        self._later: list[Callable[[], None]] = []

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._readers[descriptor] = callback

    def remove(self, descriptor: int) -> None:
        self._readers.pop(descriptor, None)

    def call_later(self, _: float, callback: Callable[[], None]) -> None:
        self._later.append(callback)

    def turn(self) -> None:
        """Call back whatever has something to read, and all that was postponed."""
        later, self._later = self._later, []
        for callback in (*self._readers.values(), *later):
            callback()

    def turn_until(self, condition: Callable[[], object]) -> None:
        give_up_at = monotonic() + 60
        while not condition():
            assert monotonic() < give_up_at, "it didn't come to that"
            self.turn()
            time.sleep(0.005)


@dataclass
class Room:
    """How many processes there are, and how many are free."""

    num_processes: int
    value: int = 0


@dataclass
class Main:
    """A worker's main process: requests it has given to its pool are in ``ran``."""

    app: Celeriac
    worker: SingleWorker
    room: Room
    loop: Loop = field(default_factory=Loop)
    ran: list[RecordedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = self.semaphore = self.room
        self.claims = Claims(self, self.ran.append, Writers(self.loop, 4))

    def receive(self, tasks: int = 1) -> list[RecordedRequest]:
        """Submit tasks, and take them as Celery's consumer does."""
        requests = []
        for number in range(tasks):
            self.app.tasks["double"].delay(number)
        for _ in range(tasks):
            request = self.worker.receive()
            assert request is not None
            state.task_reserved(request)
            self.claims.take(request)
            requests.append(request)
        return requests

    def run(self, request: RecordedRequest) -> Any:
        """What a child reports of a request, once the pool has a process for it."""
        pool = ImmediatePool()
        request.execute_using_pool(pool)
        request.on_accepted(os.getpid(), monotonic())
        return pool.reported


class ImmediatePool:
    """Runs in this thread, and keeps what the main process is to be told."""

    reported: Any = None

    def apply_async(self, function: Callable[..., Any], args: Any, **_: Any) -> ImmediatePool:
        trace, name, task_id, request, *rest = args
        assert function is child.run
        assert trace is not None
        self.reported = function(trace_task_ret, name, task_id, dict(request), *rest)
        return self


def record_of(request: RecordedRequest) -> TaskRecord:
    record = services().records.get(request.id)
    assert record is not None
    return record


def unreachable(*_: Any, **__: Any) -> None:
    raise EndpointConnectionError(endpoint_url="dynamodb")


@contextmanager
def before(target: Any, method: str, hook: Callable[[], object]) -> Iterator[None]:
    """Have something happen before each call of a method."""
    original = getattr(target, method)

    def call(*args: Any, **kwargs: Any) -> Any:
        hook()
        return original(*args, **kwargs)

    setattr(target, method, call)
    try:
        yield
    finally:
        delattr(target, method)
