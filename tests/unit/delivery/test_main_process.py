"""What the main process does about its children's tasks, at the moment these end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.records import LeaseLostError
from celeriac.storage.services import services
from celeriac.worker import drain
from celeriac.worker.cancellation import Cancellations
from celeriac.worker.keeper import Keeper
from celeriac.worker.request import RecordedRequest
from tests.unit.delivery.single_worker import SingleWorker


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends only when it is killed, or the test is over."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@pytest.fixture
def request_(app: Celeriac, worker: SingleWorker) -> RecordedRequest:
    app.tasks["double"].delay(1)
    return worker.take()


def claimed_long_ago(request: RecordedRequest, pid: int) -> None:
    request.on_accepted(pid, 0)
    request.time_start = 1


def lives(child: subprocess.Popen[bytes]) -> bool:
    """Whether it has not been killed: that would show within milliseconds."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=0.3)
    return child.returncode is None


def test_a_task_that_has_just_ended_is_not_taken_for_a_lost_one(
    worker: SingleWorker, request_: RecordedRequest, child: subprocess.Popen[bytes]
) -> None:
    """Its child has written the outcome and not yet said so: it lives, and its message is ours."""
    worker.begin(request_)
    claimed_long_ago(request_, child.pid)

    Keeper()._renew_leases([request_], timedelta(minutes=1))

    assert lives(child)
    assert worker.channel.held.get(request_.tag) is not None


def test_a_child_that_is_at_another_task_already_is_not_killed_for_the_last_one(
    worker: SingleWorker, request_: RecordedRequest, child: subprocess.Popen[bytes]
) -> None:
    """A task ends while the main process decides to end it."""
    record = services().records.get(request_.id)
    claimed_long_ago(request_, child.pid)
    request_.acknowledge()
    state.task_ready(request_)

    Cancellations().lost(request_, LeaseLostError(request_.id, request_.owner, record))

    assert lives(child)


def test_a_child_that_died_by_itself_does_not_keep_the_others_from_being_handed_back(
    worker: SingleWorker, request_: RecordedRequest
) -> None:
    """The drain hands back a task whose child is no more."""
    worker.begin(request_)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    claimed_long_ago(request_, gone.pid)

    drain._release(request_)


def test_the_drain_of_the_threads_pool_does_not_kill_the_worker_itself(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks run in this very process: their leases are handed back first."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _signal: killed.append(pid))
    result = app.tasks["double"].delay(1)
    request = worker.take()
    services().records.claim(result.id, 1, request.owner, 2**42)
    request.on_accepted(os.getpid(), 0)

    drain._release(request)

    record = services().records.get(result.id)
    assert record is not None
    assert (record.state, record.lease_until, killed) == (states.STARTED, 0, [])


def test_what_a_task_saved_that_did_well_before_it_was_killed_stays(
    request_: RecordedRequest, child: subprocess.Popen[bytes]
) -> None:
    """It ended between the keeper's look and the event loop's turn: its result names its files."""
    services().records.claim(request_.id, 1, request_.owner, 2**42)
    request_.on_accepted(child.pid, monotonic())
    cancelled = services().records.cancel(request_.id)
    assert cancelled is not None
    record = cancelled[1]
    key = f"tasks/{request_.id}/1/kept.txt"
    services().artifacts.put(record.tenant, key, b"kept", content_type="text/plain")
    turns: list[tuple[Any, ...]] = []
    consumer = SimpleNamespace(
        hub=SimpleNamespace(call_soon=lambda *call: turns.append(call)), pool=None
    )
    cancellations = Cancellations()
    cancellations._asked[request_.owner] = (float("-inf"), record)

    cancellations.enforce(consumer, [request_])
    state.task_ready(request_)
    for call, *arguments in turns:
        call(*arguments)

    assert [each.key for each in services().artifacts.list(record.tenant, key)] == [key]
    assert lives(child)
