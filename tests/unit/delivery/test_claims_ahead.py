"""What is claimed before a process is free, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery.signals import before_task_publish

from celeriac import clock, states
from celeriac.app.call_options import NEVER_SENT
from celeriac.storage.services import services
from celeriac.worker import drain
from celeriac.worker.keeper import Keeper
from celeriac.worker.request import RecordedRequest
from tests.unit.delivery.main_process import (
    ImmediatePool,
    Main,
    before,
    record_of,
    unreachable,
)
from tests.unit.delivery.single_worker import SingleWorker


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
    main.worker.channel.return_now([first.tag])
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
        outage.setattr(services().records, "claim", unreachable)
        [request] = main.receive()
        main.loop.turn_until(lambda: main.ran)

    main.run(request)

    assert record_of(request).state == states.STARTED


@pytest.mark.parametrize("why", ["can't be reached", "has ended"])
def test_what_could_not_be_claimed_ahead_can_be_given_back(
    main: Main, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """It waits for a process like any other: held forever, it would take up room forever."""
    with monkeypatch.context() as outage:
        if why == "can't be reached":
            outage.setattr(services().records, "claim", unreachable)
        else:
            outage.setattr(main.worker, "receive", _ended_first(main))
        [request] = main.receive()
        main.loop.turn_until(lambda: main.ran)

    request.return_now()
    main.loop.turn_until(lambda: main.worker.visible() == 1)

    assert len(main.worker.channel.held) == 0


def test_what_a_process_was_given_is_not_given_back(main: Main) -> None:
    """It may have begun, though it hasn't said so yet."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    request.execute_using_pool(ImmediatePool())

    request.return_now()

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
    """A header of that name, as any sender may write one, is not believed. Nor is any other of
    those that a worker notes, or that would hide a method of the request."""

    def write(headers: dict[str, Any], **_: Any) -> None:
        headers |= {name: {"state": "STARTED"} for name in NEVER_SENT}

    before_task_publish.connect(write)
    try:
        result = main.app.tasks["double"].delay(1)
    finally:
        before_task_publish.disconnect(write)
    request = worker.take()

    assert NEVER_SENT & request.request_dict.keys() == set()
    worker.run(request)
    assert result.result == 2


def test_what_is_given_back_is_claimable_before_it_is_visible(main: Main) -> None:
    """Another worker that receives it would find a live lease, and hide it."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    seen = []

    def look() -> None:
        seen.append((main.worker.visible(), record_of(request).lease_owner))

    with before(services().records, "release", look):
        request.return_now()
        main.loop.turn_until(lambda: main.worker.visible() == 1)

    assert seen == [(0, request.owner)]
    assert record_of(request).lease_owner is None
    assert record_of(request).lost == 0


def test_what_is_given_back_while_its_claim_is_under_way_is_claimable_too(main: Main) -> None:
    """The claim's own thread sees to it, and no process is given the request."""
    goes_on = threading.Event()
    with before(services().records, "claim", lambda: goes_on.wait(60)):
        [request] = main.receive()
        request.return_now()
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
    request.return_now()

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
    monkeypatch.setattr(Keeper, "channel", property(lambda _: main.worker.channel))
    monkeypatch.setattr(Keeper, "settings", property(lambda _: services().settings))

    drain._drain()

    assert main.worker.visible() == 3
    assert all(record_of(each).lease_owner is None for each in requests)


def _ended_first(main: Main) -> Callable[[], RecordedRequest | None]:
    """Receives a message whose task was cancelled meanwhile."""
    receive = main.worker.receive

    def received() -> RecordedRequest | None:
        request = receive()
        if request is not None:
            services().records.cancel(request.id)
        return request

    return received
