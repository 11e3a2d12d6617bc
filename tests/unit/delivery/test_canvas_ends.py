"""Nobody waits forever: whatever ends a task, its waiters are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain, chord
from celery.canvas import Signature
from celery.exceptions import SoftTimeLimitExceeded
from celery.result import AsyncResult

from celeriac import states
from celeriac.app.backend import RecordBackend
from celeriac.app.factory import Celeriac
from celeriac.contract import Cancelled
from celeriac.operations import cancelling
from celeriac.storage.services import services
from celeriac.worker.consumer import Consumer
from tests.unit.delivery.outages import (
    is_join,
    is_send,
    refused,
    state_of,
)
from tests.unit.delivery.single_worker import SingleWorker


@pytest.fixture
def signatures(app: Celeriac) -> dict[str, Signature]:
    @app.task(name="cancelled", shared=False)
    def cancelled(*_: object) -> None:
        raise Cancelled

    names = ("double", "add", "total", "fail", "cancelled")
    return {name: app.tasks[name].s() for name in names}


def step_of(result: AsyncResult[Any]) -> str:
    """The id of the first step of a chain that is the first member of a chord."""
    step: AsyncResult[Any] = result.parent.results[0].parent
    return str(step.id)


def bury(app: Celeriac, worker: SingleWorker) -> None:
    """Take one message as the worker's consumer takes one whose type it doesn't know."""
    consumer = object.__new__(Consumer)
    consumer.app = app
    request = worker.take()
    consumer.on_unknown_task(None, request.message, KeyError(request.name))


def unknown_member(app: Celeriac, body: Signature) -> AsyncResult[Any]:
    @app.task(name="not-known-here", shared=False)
    def not_known_here() -> None:
        """Registered, so that the test's own worker can receive it."""

    return chord([not_known_here.s()], body).delay()


def test_a_member_of_unknown_type_fails_its_chord(
    app: Celeriac, worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """Its message goes to the dead-letter queue, and the body isn't left waiting for it."""
    body = unknown_member(app, signatures["total"])

    bury(app, worker)

    assert state_of(body.id) == states.FAILURE
    assert worker.visible() + worker.hidden() == 0


@pytest.mark.parametrize("what", [is_join, lambda operation, _: operation == "GetItem"])
def test_a_dead_letter_waits_until_its_chord_has_been_told(
    app: Celeriac, worker: SingleWorker, signatures: dict[str, Signature], what: Any
) -> None:
    """AWS is out of reach when a member of unknown type is to be buried: it comes back."""
    body = unknown_member(app, signatures["total"])
    with refused(what):
        bury(app, worker)
    assert worker.hidden() == 1

    worker.show_all()
    bury(app, worker)

    assert state_of(body.id) == states.FAILURE
    assert worker.visible() + worker.hidden() == 0


def test_a_step_that_was_cancelled_while_it_waited_ends_its_chain_and_chord(
    worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """What comes after it is revoked with it; a chord whose member that is fails."""
    double, total = signatures["double"], signatures["total"]
    member = chain(double.clone((1,)), double, double)
    body = chord([member, double.clone((3,))], total).delay()
    last = body.parent.results[0]

    cancelling.cancel(last.parent.parent.id, "default")
    worker.run_all()

    assert [state_of(last.parent.id), state_of(last.id)] == [states.REVOKED, states.REVOKED]
    assert state_of(body.id) == states.FAILURE


def test_a_step_that_was_cancelled_while_it_ran_ends_its_chain_and_chord(
    worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """``Cancelled`` was raised in it."""
    member = chain(signatures["cancelled"], signatures["double"])
    body = chord([member], signatures["total"]).delay()

    worker.run_all()

    assert state_of(step_of(body)) == states.REVOKED
    assert state_of(body.parent.results[0].id) == states.REVOKED
    assert state_of(body.id) == states.FAILURE


def test_a_step_that_is_revoked_before_it_is_sent_ends_what_comes_after_it(
    app: Celeriac, worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """The step before it runs; the one after it isn't waited for."""
    double = signatures["double"]
    last = chain(double.clone((1,)), double, double).delay()
    app.control.revoke(last.parent.id)

    worker.run_all()

    assert state_of(last.parent.parent.id) == states.SUCCESS
    assert state_of(last.id) == states.REVOKED


@pytest.mark.parametrize("how", ["failing", "cancelled"])
def test_a_chord_hears_of_a_chain_even_if_the_join_could_not_be_written(
    worker: SingleWorker, signatures: dict[str, Signature], how: str
) -> None:
    """The chain has ended, its last step with it, and DynamoDB is out of reach just then."""
    first = signatures["fail" if how == "failing" else "cancelled"]
    body = chord([chain(first, signatures["double"])], signatures["total"]).delay()
    request = worker.take()
    with refused(is_join):
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert state_of(body.id) == states.FAILURE


def test_a_chord_whose_body_fails_with_its_member_fails_the_chord_around_it(
    worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """A chord as a member of another: both bodies end."""
    inner = chord([signatures["fail"]], signatures["total"])
    outer = chord([inner, signatures["double"].clone((1,))], signatures["total"]).delay()

    worker.run_all()

    assert [each.state for each in outer.parent.results] == [states.FAILURE, states.SUCCESS]
    assert state_of(outer.id) == states.FAILURE


@pytest.fixture
def strikes_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A time limit strikes when results are read for the first time: who has been struck."""
    struck: list[str] = []
    read = RecordBackend.get_many

    def get_many(self: RecordBackend, task_ids: Any, *args: Any, **options: Any) -> Iterator[Any]:
        if not struck:
            struck.extend(task_ids)
            raise SoftTimeLimitExceeded
        yield from read(self, task_ids, *args, **options)

    monkeypatch.setattr(RecordBackend, "get_many", get_many)
    return struck


def test_a_time_limit_that_strikes_during_the_join_fails_no_chord(
    worker: SingleWorker, signatures: dict[str, Signature], strikes_once: list[str]
) -> None:
    """It was the last member's, which had succeeded: its message comes back, and joins again."""
    body = chord([signatures["double"].clone((1,))], signatures["total"]).delay()
    request = worker.take()
    worker.run(request)
    assert (strikes_once, services().records.get(body.id)) == ([request.id], None)

    worker.show_all()
    worker.run_all()

    assert (state_of(request.id), body.get(timeout=60)) == (states.SUCCESS, 2)


def test_a_time_limit_that_strikes_during_a_later_join_fails_no_chord_either(
    worker: SingleWorker, signatures: dict[str, Signature], strikes_once: list[str]
) -> None:
    """The member has ended, and only the chord is still to be told."""
    body = chord([signatures["double"].clone((1,))], signatures["total"]).delay()
    request = worker.take()
    with refused(is_join):
        worker.run(request)
    for _ in range(2):
        worker.show_all()
        worker.run_all()

    assert strikes_once == [request.id]
    assert body.get(timeout=60) == 2


def test_what_a_time_limit_ends_in_a_member_fails_its_chord(
    app: Celeriac, worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """The member's own time limit is its failure, and so the chord's."""

    @app.task(name="slow", shared=False)
    def slow() -> None:
        raise SoftTimeLimitExceeded

    body = chord([slow.s()], signatures["total"]).delay()

    worker.run_all()

    assert state_of(body.id) == states.FAILURE


def test_errbacks_of_a_chord_survive_that_they_could_not_be_sent(
    app: Celeriac, worker: SingleWorker, signatures: dict[str, Signature]
) -> None:
    """Its body fails, SQS is out of reach just then, and the message comes back for them."""
    heard: list[str] = []

    @app.task(name="hears", shared=False)
    def hears(task_id: str) -> None:
        heard.append(task_id)

    body = chord([signatures["fail"]], signatures["total"].on_error(hears.s())).delay()
    request = worker.take()
    with refused(is_send):
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert heard == [body.id]
