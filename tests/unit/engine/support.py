"""What the tests of the engine share: a clock they set, records, and faults of AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber

from celeriac.clock import Millis, millis
from celeriac.records import RecordStore, TaskRecord, identifiers
from celeriac.testing import MemoryRecords

T = TypeVar("T")

START: Millis = 1_800_000_000_000
LEASE = timedelta(minutes=1)


class Timer:
    """A clock that a test sets."""

    def __init__(self, now: Millis = START) -> None:
        self.now = now

    def __call__(self) -> Millis:
        return self.now

    def advance(self, duration: timedelta = timedelta(milliseconds=1)) -> Millis:
        self.now += millis(duration)
        return self.now


def new_record(**fields: Any) -> TaskRecord:
    """A PENDING record of a task of its own, with these fields."""
    defaults: dict[str, Any] = {
        "task_id": identifiers.new_task_id(),
        "type": "dig-beds",
        "tenant": "shop",
        "queue": "default",
        "created_at": START,
        "expires_at": START // 1000 + 3600,
        "input": '={"args":[{}]}',
    }
    return TaskRecord(**defaults | fields)


@contextmanager
def answer_lost(client: Any) -> Iterator[None]:
    """AWS carries out the next request of this client, and its answer never arrives."""
    lost: list[str] = []

    def carry_out_and_hang_up(event_name: str, request: AWSPreparedRequest, **_: Any) -> None:
        if lost:
            return
        lost.append(event_name)
        stubber: BotocoreStubber = botocore_stubber
        stubber(event_name, request)
        raise ConnectionClosedError(endpoint_url=str(request.url))

    client.meta.events.register_first("before-send", carry_out_and_hang_up)
    try:
        yield
    finally:
        client.meta.events.unregister("before-send", carry_out_and_hang_up)
    assert lost, "no request was sent"


@contextmanager
def out_of_reach(service: str, *, carries_out: bool = False) -> Iterator[list[str]]:
    """Every request to a service fails; it ``carries_out`` them, or never sees them.

    Gives the names of the operations that were tried.
    """
    tried: list[str] = []
    handle = BotocoreStubber.__call__

    def fail(stubber: BotocoreStubber, event_name: str, request: Any, **named: Any) -> Any:
        _, called, operation = event_name.split(".")
        if called != service:
            return handle(stubber, event_name, request, **named)
        tried.append(operation)
        if carries_out:
            handle(stubber, event_name, request, **named)
        raise EndpointConnectionError(endpoint_url=str(request.url))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", fail)
        yield tried


class World:
    """A store under test, the clock that it reads, and how its answers get lost."""

    def __init__(self, records: RecordStore, timer: Timer, client: Any = None) -> None:
        self.records = records
        self.timer = timer
        self._client = client

    def sent_twice(self, write: Callable[[], T]) -> T:
        """Make a write whose first answer is lost, so that it is sent again."""
        if isinstance(self.records, MemoryRecords):
            write()
            return write()
        with answer_lost(self._client):
            return write()
