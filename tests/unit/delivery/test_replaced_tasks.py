from __future__ import annotations

from typing import Any

import pytest
from celery import Task

from celeriac import states
from celeriac.app import CeleriacApp
from celeriac.services import services
from tests.unit.delivery.single_worker import SingleWorker


@pytest.fixture
def replaced(app: CeleriacApp) -> Any:
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

    assert replaced.get(timeout=1) == 7


def test_what_replaces_a_task_is_what_is_sent_again(
    replaced: Any, app: CeleriacApp, worker: SingleWorker
) -> None:
    """The repair of a lost message sends the task that is due, with its own arguments."""
    first = worker.receive()
    assert first is not None
    worker.run(first)
    lost = worker.receive()
    assert lost is not None
    lost.acknowledge()

    record = services().records.get(replaced.id)
    assert record is not None
    app.resend(record)
    worker.run_all()

    assert (record.type, replaced.get(timeout=1)) == ("flaky", 7)


def test_a_second_delivery_of_a_replaced_task_claims_nothing(
    replaced: Any, worker: SingleWorker, app: CeleriacApp
) -> None:
    """What it was is over: only what replaces it is waited for, tried from the first time on."""
    first = worker.receive()
    assert first is not None
    worker.run(first)

    worker.begin(first)

    found = services().records.get(replaced.id)
    assert found is not None
    assert (found.state, found.attempt, found.retries) == (states.PENDING, 2, 0)
    worker.run_all()
    assert replaced.get(timeout=1) == 7
