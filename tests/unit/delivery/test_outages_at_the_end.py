"""AWS fails while a task ends: nothing is acknowledged whose consequences aren't written."""

from __future__ import annotations

import pytest
from celery import chain, chord

from celeriac import clock, states
from celeriac.app.factory import Celeriac
from celeriac.contract import Cancelled
from celeriac.records import Failure
from celeriac.storage.services import services
from tests.unit.delivery.outages import (
    is_join,
    is_record_write,
    is_send,
    refused,
    reported,
    state_of,
)
from tests.unit.delivery.single_worker import SingleWorker


def test_a_chord_hears_of_a_member_even_if_the_join_could_not_be_written(
    app: Celeriac, worker: SingleWorker
) -> None:
    """The member's message comes back until its chord has been told."""
    result = chord([app.tasks["double"].s(1), app.tasks["double"].s(2)], app.tasks["total"].s())
    body = result.delay()
    with refused(is_join):
        for _ in range(2):
            request = worker.take()
            worker.run(request)

    worker.show_all()
    worker.run_all()

    assert body.get(timeout=60) == 6


def test_a_chord_survives_that_its_body_could_not_be_sent(
    app: Celeriac, worker: SingleWorker
) -> None:
    """SQS out of reach for a moment isn't the chord's failure."""
    body = chord([app.tasks["double"].s(1)], app.tasks["total"].s()).delay()
    request = worker.take()
    with refused(is_send):
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert body.get(timeout=60) == 2


def test_a_chord_survives_that_its_members_results_could_not_be_read(
    app: Celeriac, worker: SingleWorker
) -> None:
    """DynamoDB out of reach during the join isn't the failure of any member."""
    body = chord([app.tasks["double"].s(1)], app.tasks["total"].s()).delay()
    request = worker.take()
    with refused(lambda operation, _: operation == "BatchGetItem"):
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert body.get(timeout=60) == 2


def test_a_chain_survives_that_its_next_step_could_not_be_sent(
    app: Celeriac, worker: SingleWorker
) -> None:
    """The step runs again, and its successor is sent then."""
    result = chain(app.tasks["double"].s(1), app.tasks["double"].s()).delay()
    request = worker.take()
    with refused(is_send):
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert result.get(timeout=60) == 4
    first = services().records.get(result.parent.id)
    assert first is not None
    assert first.lost == 0


def test_a_message_that_stands_for_a_later_one_comes_back_until_that_is_sent(
    app: Celeriac, worker: SingleWorker
) -> None:
    """A worker died between a retry's record and its message, and SQS is out of reach then."""
    result = app.tasks["double"].delay(1)
    until = clock.now() + 60_000
    services().records.claim(result.id, 1, "dead", until)
    services().records.retry(result.id, "dead", clock.now(), Failure(type="X", message="x"))
    request = worker.take()
    with refused(is_send):
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert result.get(timeout=60) == 2


@pytest.mark.parametrize("how", ["timed out", "terminated", "expired"])
def test_what_the_main_process_cannot_write_down_is_not_kept_for_ever(
    app: Celeriac, worker: SingleWorker, how: str
) -> None:
    """The message goes back to its queue: it was neither acknowledged nor is it held."""
    app.tasks["double"].apply_async((1,), expires=-1 if how == "expired" else None)
    request = worker.take()
    if how != "expired":
        request.on_accepted(0, 0)
    with refused(is_record_write):
        match how:
            case "timed out":
                request.on_timeout(soft=False, timeout=1)
            case "terminated":
                request._announce_revoked("terminated", True, "9", False)
            case _:
                assert request.revoked()

    assert len(worker.channel.held) == 0
    worker.show_all()
    assert worker.visible() == 1


def test_a_task_that_expired_in_the_queue_is_revoked(app: Celeriac, worker: SingleWorker) -> None:
    """Nobody has claimed it, and its record ends all the same."""
    result = app.tasks["double"].apply_async((1,), expires=-1)
    request = worker.take()

    assert request.revoked()

    assert state_of(result.id) == states.REVOKED
    assert worker.visible() + worker.hidden() == 0


def test_a_task_without_memory_fails_and_its_worker_goes_on(
    app: Celeriac, worker: SingleWorker
) -> None:
    """Celery would end the main process, and with it all that its other children are at."""

    @app.task(name="greedy", shared=False)
    def greedy() -> None:
        raise MemoryError

    result = app.tasks["greedy"].delay()
    worker.run_all()

    assert state_of(result.id) == states.FAILURE
    assert worker.visible() + worker.hidden() == 0

    app.tasks["greedy"].delay()
    request = worker.take()
    request.on_accepted(0, 0)
    request.on_failure(reported(MemoryError()))
    assert len(worker.channel.held) == 0


def test_a_cancelled_task_is_revoked_even_if_its_artifacts_cannot_be_removed(
    app: Celeriac, worker: SingleWorker
) -> None:
    """S3 is out of reach: they stay until they expire, and no failure is made of it."""

    @app.task(name="cancelled", shared=False)
    def cancelled() -> None:
        raise Cancelled

    result = app.tasks["cancelled"].delay()
    request = worker.take()
    with refused(lambda operation, _: operation == "ListObjectsV2"):
        worker.run(request)

    assert state_of(result.id) == states.REVOKED
    assert request.acknowledged
