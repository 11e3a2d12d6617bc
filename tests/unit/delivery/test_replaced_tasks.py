from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Task, chain, chord, group
from celery.canvas import Signature
from celery.result import AsyncResult

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.storage.services import services
from tests.unit.delivery.outages import is_record_write, is_send, refused
from tests.unit.delivery.single_worker import SingleWorker


@pytest.fixture
def replaced(app: Celeriac) -> Any:
    @app.task(name="flaky", bind=True, shared=False)
    def flaky(self: Task, x: int) -> int:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return x

    @app.task(name="replaced", bind=True, shared=False)
    def replaced(self: Task) -> Any:
        raise self.replace(flaky.s(7))

    return replaced.delay()


def test_what_replaces_a_task_can_be_retried(replaced: Any, worker: SingleWorker) -> None:
    """The next attempt is one of the task that replaces it, not of the one replaced."""
    worker.run_all()

    assert replaced.get(timeout=60) == 7


def test_what_replaces_a_task_is_what_is_sent_again(
    replaced: Any, app: Celeriac, worker: SingleWorker
) -> None:
    """The repair of a lost message sends the task that is due, with its own arguments."""
    first = worker.take()
    worker.run(first)
    lost = worker.take()
    lost.acknowledge()

    record = services().records.get(replaced.id)
    assert record is not None
    app.resend(record)
    worker.run_all()

    assert (record.type, replaced.get(timeout=60)) == ("flaky", 7)


def test_a_second_delivery_of_a_replaced_task_claims_nothing(
    replaced: Any, worker: SingleWorker, app: Celeriac
) -> None:
    """What it was is over: only what replaces it is waited for, tried from the first time on."""
    first = worker.take()
    worker.run(first)

    worker.begin(first)

    found = services().records.get(replaced.id)
    assert found is not None
    assert (found.state, found.attempt, found.retries) == (states.PENDING, 2, 0)
    worker.run_all()
    assert replaced.get(timeout=60) == 7


class Canvas:
    """A task that is replaced by a canvas of several, and how often it has run."""

    def __init__(self, app: Celeriac, make: Callable[[], Signature]) -> None:
        self.runs = 0

        @app.task(name="replaced", bind=True, shared=False)
        def replaced(task: Task) -> Any:
            self.runs += 1
            raise task.replace(make())

        self.result: AsyncResult[Any] = replaced.delay()


@pytest.fixture(params=["chain", "group", "chord"])
def canvas(app: Celeriac, request: pytest.FixtureRequest) -> Canvas:
    add, total = app.tasks["add"], app.tasks["total"]
    several: dict[str, Callable[[], Signature]] = {
        "chain": lambda: chain(add.s(1, 1), add.s(2), add.s(3)),
        "group": lambda: group(add.s(1), add.s(2)),
        "chord": lambda: chord([add.s(1), add.s(2)], total.s()),
    }
    return Canvas(app, several[request.param])


def run_first(worker: SingleWorker) -> None:
    request = worker.take()
    worker.run(request)


def test_a_task_that_a_canvas_replaced_runs_once(canvas: Canvas, worker: SingleWorker) -> None:
    """Its message is delivered a second time, while the last part, which is to have its id, waits
    for the others."""
    request = worker.take()
    worker.begin(request)

    worker.run(request)

    worker.run_all()
    assert canvas.runs == 1
    assert canvas.result.get(timeout=60) in (7, [1, 2], 3)


def test_a_task_that_awaits_a_canvas_is_not_sent_again(
    canvas: Canvas, worker: SingleWorker, app: Celeriac
) -> None:
    """The canvas may take longer than the repair of lost messages waits."""
    run_first(worker)
    record = services().records.get(canvas.result.id)
    assert record is not None

    assert not app.resend(record)

    worker.run_all()
    assert canvas.runs == 1
    assert canvas.result.get(timeout=60) in (7, [1, 2], 3)


def test_a_canvas_that_could_not_be_sent_is_made_again(
    canvas: Canvas, worker: SingleWorker
) -> None:
    """Nothing waits for what was never sent."""
    with refused(is_send):
        run_first(worker)

    worker.show_all()
    worker.run_all()

    assert canvas.runs == 2
    assert canvas.result.get(timeout=60) in (7, [1, 2], 3)


def test_a_canvas_goes_on_if_nobody_noted_that_it_is_awaited(
    canvas: Canvas, worker: SingleWorker
) -> None:
    """DynamoDB is out of reach just then: the task isn't run once more for that."""
    with refused(
        lambda operation, parameters: (
            is_record_write(operation, parameters)
            and "#awaits = :new_awaits" in parameters["UpdateExpression"]
        )
    ):
        run_first(worker)

    worker.show_all()
    worker.run_all()

    assert canvas.runs == 1
    assert canvas.result.get(timeout=60) in (7, [1, 2], 3)


def test_what_a_canvas_sends_under_its_id_is_what_is_sent_again(
    canvas: Canvas, worker: SingleWorker, app: Celeriac
) -> None:
    """Its last part is an ordinary task: the repair of a lost message sends that."""
    run_first(worker)
    for _ in range(50):
        request = worker.take()
        if request.id == canvas.result.id:
            break
        worker.run(request)
    assert request is not None
    request.acknowledge()
    record = services().records.get(canvas.result.id)
    assert record is not None

    assert app.resend(record)

    worker.run_all()
    assert canvas.runs == 1
    assert canvas.result.get(timeout=60) in (7, [1, 2], 3)
