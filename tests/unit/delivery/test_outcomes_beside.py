"""The main process writes outcomes, while its children go on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery.worker import state

from celeriac import states
from celeriac.storage.services import services
from tests.unit.delivery.main_process import (
    Main,
    before,
    record_of,
    unreachable,
)


def test_the_outcome_is_written_by_the_main_process_before_it_acknowledges(main: Main) -> None:
    """The child goes on meanwhile; the message stays until the outcome is down."""
    [request] = main.receive()
    main.loop.turn_until(lambda: main.ran)
    reported = main.run(request)
    assert record_of(request).state == states.STARTED
    goes_on = threading.Event()

    with before(services().records, "finish", lambda: goes_on.wait(60)):
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
        unreachable()

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
