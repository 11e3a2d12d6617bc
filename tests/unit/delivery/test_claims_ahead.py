"""What is claimed before a process is free, and what becomes of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from celery.app.trace import trace_task_ret
from celery.worker import state

from celeriac import clock, states
from celeriac.app import CeleriacApp
from celeriac.records import TaskRecord
from celeriac.services import services
from tests.unit.delivery.single_worker import SingleWorker
from worker import drain, execution
from worker.claims import Claims
from worker.keeper import keeper
from worker.request import RecordedRequest
from worker.writers import Writers


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
        """Call back whatever has something to read, and what was put off."""
        later, self._later = self._later, []
        for callback in (*self._readers.values(), *later):
            callback()

    def turn_until(self, condition: Callable[[], object]) -> None:
        give_up_at = monotonic() + 5
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

    app: CeleriacApp
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
        assert function is execution.run
        assert trace is not None
        self.reported = function(trace_task_ret, name, task_id, dict(request), *rest)
        return self


def record_of(request: RecordedRequest) -> TaskRecord:
    record = services().records.get(request.id)
    assert record is not None
    return record


@pytest.fixture
def main(app: CeleriacApp, worker: SingleWorker) -> Iterator[Main]:
    main = Main(app, worker, Room(num_processes=2))
    yield main
    main.claims.writers.finish()
    state.reset_state()


def test_as_many_as_there_are_processes_are_claimed_before_one_is_free(main: Main) -> None:
    """The oldest are STARTED when a process takes them, the others wait unclaimed."""
    requests = main.receive(4)
    main.loop.turn_until(lambda: len(main.ran) == 2)

    found = [record_of(each) for each in requests]
    assert set(main.ran) == set(requests[:2])
    assert [each.state for each in found] == [states.STARTED] * 2 + [states.PENDING] * 2
    assert [each.ahead for each in found[:2]] == [True, True]
    assert [each.lease_owner for each in found[:2]] == [each.owner for each in requests[:2]]


def test_the_next_is_claimed_when_a_process_takes_one(main: Main) -> None:
    """The process needn't claim again, and there is room for one more."""
    requests = main.receive(3)
    main.loop.turn_until(lambda: len(main.ran) == 2)
    before = record_of(requests[0])

    main.run(requests[0])
    main.loop.turn_until(lambda: len(main.ran) == 3)

    after = record_of(requests[0])
    assert (after.version, after.started_at) == (before.version, before.started_at)
    assert record_of(requests[2]).state == states.STARTED


def test_what_a_free_process_takes_at_once_is_not_claimed_ahead(main: Main) -> None:
    """Should the worker be lost, it was at it."""
    main.room.value = 2
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)

    assert record_of(request).ahead is False


def test_a_redelivered_message_is_claimed_by_its_process(main: Main) -> None:
    """It may be what killed the last worker: who is at it then must be known."""
    main.app.tasks["double"].delay(1)
    first = main.worker.receive()
    assert first is not None
    main.worker.channel.give_back([first.tag])
    again = main.worker.receive()
    assert again is not None

    main.claims.take(again)

    assert main.ran == [again]
    assert record_of(again).state == states.PENDING


def test_a_claim_that_fails_is_left_to_the_process(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB can't be reached for a moment: the request runs, and its process claims."""
    with monkeypatch.context() as outage:
        outage.setattr(services().records, "claim", _unreachable)
        [request] = main.receive()
        main.loop.turn_until(lambda: main.ran)

    main.run(request)

    assert record_of(request).state == states.STARTED


@pytest.mark.parametrize("why", ["can't be reached", "has ended"])
def test_what_could_not_be_claimed_ahead_can_be_given_back(
    main: Main, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """It waits for a process like any other: held for ever, it would take up room for ever."""
    with monkeypatch.context() as outage:
        if why == "can't be reached":
            outage.setattr(services().records, "claim", _unreachable)
        else:
            outage.setattr(main.worker, "receive", _ended_first(main))
        [request] = main.receive()
        main.loop.turn_until(lambda: main.ran)

    request.give_back()
    main.loop.turn_until(lambda: main.worker.visible() == 1)

    assert len(main.worker.channel.held) == 0


def test_what_a_process_was_given_is_not_given_back(main: Main) -> None:
    """It may have begun, though it hasn't said so yet."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    request.execute_using_pool(ImmediatePool())

    request.give_back()

    assert main.worker.visible() == 0
    assert main.worker.channel.held.get(request.tag) is not None


def test_a_claim_that_has_passed_before_its_process_begins_is_made_again(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine slept; meanwhile another worker has taken the task over, and runs it."""
    ran: list[int] = []
    monkeypatch.setattr(main.app.tasks["double"], "run", ran.append)
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    later = clock.now() + 120_000
    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setattr(services().records, "_now", lambda: later)
    services().records.claim(request.id, 1, "another", later + 60_000)

    main.run(request)

    assert ran == []
    assert record_of(request).lease_owner == "another"


def test_what_is_cancelled_while_it_waits_for_a_process_does_not_begin(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``revoke()`` takes it for waiting, as its caller does, though it is claimed."""
    ran: list[int] = []
    monkeypatch.setattr(main.app.tasks["double"], "run", ran.append)
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    main.app.AsyncResult(request.id).revoke()
    later = clock.now() + 1000
    monkeypatch.setattr(clock, "now", lambda: later)

    main.run(request)

    assert ran == []
    assert record_of(request).state == states.REVOKED


def test_nobody_else_can_say_that_a_message_is_claimed(
    main: Main, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header of that name, as any sender may write one, is not believed."""
    main.app.tasks["double"].apply_async((1,), headers={"claimed": {"state": "STARTED"}})
    request = worker.receive()
    assert request is not None

    assert "claimed" not in request.request_dict


def test_what_is_given_back_is_claimable_before_it_is_visible(main: Main) -> None:
    """Another worker that receives it would find a live lease, and hide it."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    seen = []

    def look() -> None:
        seen.append((main.worker.visible(), record_of(request).lease_owner))

    with _before(services().records, "release", look):
        request.give_back()
        main.loop.turn_until(lambda: main.worker.visible() == 1)

    assert seen == [(0, request.owner)]
    assert record_of(request).lease_owner is None
    assert record_of(request).lost == 0


def test_what_is_given_back_while_its_claim_is_under_way_is_claimable_too(main: Main) -> None:
    """The claim's own thread sees to it, and no process is given the request."""
    goes_on = threading.Event()
    with _before(services().records, "claim", lambda: goes_on.wait(5)):
        [request] = main.receive()
        request.give_back()
        assert main.worker.visible() == 0
        goes_on.set()
        main.loop.turn_until(lambda: main.worker.visible() == 1)

    main.loop.turn()
    assert main.ran == []
    assert record_of(request).lease_owner is None
    assert record_of(request).running


def test_what_was_given_back_does_not_begin(main: Main) -> None:
    """The pool had it in line already."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    request.give_back()

    with pytest.raises(Exception, match=request.id):
        main.run(request)


def test_a_worker_that_stops_leaves_nothing_claimed_that_has_not_begun(main: Main) -> None:
    """What its processes have been given stays theirs; the rest can be claimed at once."""
    requests = main.receive(4)
    main.loop.turn_until(lambda: len(main.ran) == 2)
    begun = requests[0]
    begun.execute_using_pool(ImmediatePool())

    main.claims.close()
    main.claims.finish()

    assert main.worker.visible() == 3
    assert record_of(begun).lease_owner == begun.owner
    assert all(record_of(each).lease_owner is None for each in requests[1:])


def test_a_drain_hands_back_what_is_claimed_ahead(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visible and claimable at once, not after its lease."""
    requests = main.receive(3)
    main.loop.turn_until(lambda: len(main.ran) == 2)
    monkeypatch.setattr(type(keeper), "channel", property(lambda _: main.worker.channel))

    drain._drain()

    assert main.worker.visible() == 3
    assert all(record_of(each).lease_owner is None for each in requests)


def test_the_outcome_is_written_by_the_main_process_before_it_acknowledges(main: Main) -> None:
    """The child goes on meanwhile; the message stays until the outcome is down."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    reported = main.run(request)
    assert record_of(request).state == states.STARTED
    goes_on = threading.Event()

    with _before(services().records, "finish", lambda: goes_on.wait(5)):
        request.on_success(reported)
        assert not request.acknowledged
        assert request in state.active_requests
        goes_on.set()
        main.loop.turn_until(lambda: request.acknowledged)

    assert record_of(request).state == states.SUCCESS
    assert main.app.AsyncResult(request.id).get() == 0
    assert request not in state.active_requests


def test_an_outcome_that_cannot_be_written_now_is_written_later(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task isn't run again for that, and stays this worker's meanwhile."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    reported = main.run(request)
    tries = []

    def fail(*_: Any, **__: Any) -> None:
        tries.append(1)
        _unreachable()

    with monkeypatch.context() as outage:
        outage.setattr(services().records, "finish", fail)
        request.on_success(reported)
        main.loop.turn_until(lambda: len(tries) == 2)
        assert not request.acknowledged
        assert main.worker.channel.held.get(request.tag) is not None

    main.loop.turn_until(lambda: request.acknowledged)
    assert record_of(request).state == states.SUCCESS


def test_an_outcome_of_a_task_that_was_taken_over_is_dropped(main: Main) -> None:
    """The message is the other worker's: it is neither deleted nor shown."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    reported = main.run(request)
    services().records.release(request.id, request.owner)
    services().records.claim(request.id, 1, "another", 2**42)
    before = (main.worker.visible(), main.worker.hidden())

    request.on_success(reported)
    main.loop.turn_until(lambda: request.acknowledged)

    assert record_of(request).lease_owner == "another"
    assert record_of(request).state == states.STARTED
    assert (main.worker.visible(), main.worker.hidden()) == before


def test_an_outcome_that_comes_when_the_loop_has_ended_is_written_at_once(main: Main) -> None:
    """A worker that was told to stop waits for its children; then nothing turns the loop."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    reported = main.run(request)
    main.claims.close()
    main.claims.finish()

    request.on_success(reported)

    assert request.acknowledged
    assert record_of(request).state == states.SUCCESS


def _ended_first(main: Main) -> Callable[[], RecordedRequest | None]:
    """Receives a message whose task was cancelled meanwhile."""
    receive = main.worker.receive

    def received() -> RecordedRequest | None:
        request = receive()
        if request is not None:
            services().records.cancel(request.id)
        return request

    return received


def _unreachable(*_: Any, **__: Any) -> None:
    raise EndpointConnectionError(endpoint_url="dynamodb")


@contextmanager
def _before(target: Any, method: str, hook: Callable[[], object]) -> Iterator[None]:
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
