"""Celery's stamps reach the worker: a task's own, and those of its callbacks and errbacks."""

from __future__ import annotations

from typing import Any

import pytest
from celery.canvas import Signature, StampingVisitor, chord
from celery.exceptions import TaskRevokedError

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.operations.control import NoBroadcastError
from tests.unit.delivery.outages import refused
from tests.unit.delivery.single_worker import SingleWorker


class Stamp(StampingVisitor):
    """Stamps every signature with one order's number."""

    def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        return {"order": "1234"}


@pytest.mark.parametrize(("name", "link"), [("double", "link"), ("fail", "link_error")])
def test_a_stamp_goes_with_a_task_and_with_what_follows_it(
    app: Celeriac, worker: SingleWorker, name: str, link: str
) -> None:
    """A listener to ``task_received`` in the worker finds it in each request."""
    signature = app.tasks[name].s(*[1] if name == "double" else ())
    getattr(signature, link)(app.tasks["double"].si(2))
    signature.stamp(visitor=Stamp())
    signature.apply_async()

    for _ in range(2):
        request = worker.take()
        assert (request.stamped_headers, request.stamps) == (["order"], {"order": "1234"})
        worker.run(request)
    assert worker.receive() is None


def stamped(signature: Signature, **stamps: Any) -> Signature:
    signature.stamp(**stamps)
    return signature


@pytest.mark.parametrize(
    ("stamp", "revoked"),
    [
        ("1234", "1234"),
        ("1234", ["0", "1234"]),
        (["1234", "5"], "5"),
        (1234, [1234]),
        ("1234", {"1234"}),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_a_task_is_revoked_by_its_stamp(
    app: Celeriac, worker: SingleWorker, stamp: Any, revoked: Any, early: bool
) -> None:
    """Whether it waits or is sent later. Its chord is told."""
    name = f"order-{early}-{stamp}-{revoked}"
    task = stamped(app.tasks["double"].s(1), **{name: stamp})
    if early:
        app.control.revoke_by_stamped_headers({name: revoked})
    result = task.delay()
    joined = chord([task.clone(), app.tasks["double"].s(1)], app.tasks["total"].s()).delay()
    if not early:
        app.control.revoke_by_stamped_headers({name: revoked})
    worker.run_all()

    assert result.state == states.REVOKED
    assert joined.state == states.FAILURE
    with pytest.raises(TaskRevokedError):
        result.get()


@pytest.mark.parametrize("stamps", [{}, {"colour": "1234"}, {"order": "12345"}, {"order": 1234}])
def test_other_stamps_are_left_alone(
    app: Celeriac, worker: SingleWorker, stamps: dict[str, Any]
) -> None:
    """Name and value are compared, and the value's type."""
    answer = app.control.revoke_by_stamped_headers({"order": ["1234"]}, reply=True)
    result = stamped(app.tasks["double"].s(1), **stamps).delay()
    worker.run_all()

    assert result.get() == 2
    said = "headers {'order': ['1234']} flagged as revoked, but not terminated"
    assert answer == [{"records": {"ok": said}}]


def test_a_task_returns_while_its_stamps_cannot_be_looked_up(
    app: Celeriac, worker: SingleWorker
) -> None:
    """In an outage of DynamoDB's it neither runs nor ends."""
    result = stamped(app.tasks["double"].s(1), order="9").delay()
    with refused(lambda operation, _: operation == "BatchGetItem"):
        worker.run(worker.take())
    assert result.state == states.PENDING

    worker.show_all()
    worker.run_all()

    assert result.get() == 2


def test_what_runs_is_not_revoked_by_stamps(app: Celeriac) -> None:
    """Which tasks run with a stamp isn't known: the caller is told."""
    with pytest.raises(NoBroadcastError, match="with terminate"):
        app.control.revoke_by_stamped_headers({"order": "1"}, terminate=True)
