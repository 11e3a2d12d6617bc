"""What Celery lets a caller forget: results of tasks, and groups of them."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from celery import chain, chord, group
from celery.result import GroupResult

from celeriac import clock, states
from celeriac.app.factory import Celeriac
from celeriac.errors import NotFoundError
from celeriac.operations import lookup
from celeriac.records import Failure, RecordStore
from celeriac.storage.services import services
from celeriac.testing import MemoryRecords
from tests.unit.delivery.single_worker import SingleWorker
from tests.unit.engine.support import new_record


@pytest.mark.parametrize("name", ["double", "fail"])
def test_an_ended_task_is_forgotten(app: Celeriac, worker: SingleWorker, name: str) -> None:
    """Its record is gone, for every reader."""
    result = app.tasks[name].delay(1)
    worker.run_all()
    assert result.state in states.TERMINAL

    result.forget()

    assert (result.state, app.AsyncResult(result.id).state) == (states.PENDING, states.PENDING)
    with pytest.raises(NotFoundError):
        lookup.find(result.id)


def test_forgetting_twice_is_harmless(app: Celeriac, worker: SingleWorker) -> None:
    """As is an id that never was."""
    result = app.tasks["double"].delay(1)
    worker.run_all()

    result.forget()
    result.forget()
    app.AsyncResult("never").forget()


def test_a_task_that_has_not_ended_runs_on(
    app: Celeriac, worker: SingleWorker, caplog: pytest.LogCaptureFixture
) -> None:
    """Forgetting it would be losing it; a log line says that it isn't forgotten."""
    result = app.tasks["double"].delay(4)
    with caplog.at_level(logging.WARNING, "celeriac"):
        result.forget()

    assert f"task {result.id} is not forgotten: it has not ended" in caplog.text
    worker.run_all()
    assert result.get() == 8


def test_a_chain_is_forgotten_with_its_steps(app: Celeriac, worker: SingleWorker) -> None:
    """As Celery does: a result forgets its parents too."""
    double = app.tasks["double"]
    result = chain(double.s(1), double.s(), double.s()).delay()
    worker.run_all()
    ids = [result.id, result.parent.id, result.parent.parent.id]
    assert result.get() == 8

    result.forget()

    assert services().records.get_many(ids) == {}


def test_a_second_delivery_of_a_forgotten_task_runs_nothing(
    app: Celeriac, worker: SingleWorker
) -> None:
    """SQS may deliver a message twice, the second time after the caller has its result."""
    result = app.tasks["double"].delay(1)
    record = services().records.get(result.id)
    assert record is not None
    app.publish_kept(record)
    first, second = worker.take(), worker.take()
    worker.run(first)
    result.forget()

    worker.run(second)

    assert services().records.get(result.id) is None
    assert worker.visible() + worker.hidden() == 0


def test_a_group_is_saved_restored_deleted_and_forgotten(
    app: Celeriac, worker: SingleWorker
) -> None:
    """``GroupResult`` has all of Celery's methods."""
    double = app.tasks["double"]
    result = group(double.s(n) for n in range(3)).delay()
    worker.run_all()

    result.save()
    restored: Any = GroupResult.restore(result.id, app=app)
    assert restored.get() == [0, 2, 4]
    restored.delete()
    assert GroupResult.restore(result.id, app=app) is None
    assert result.get() == [0, 2, 4]
    result.forget()

    assert services().records.get_many([each.id for each in result.results]) == {}


def test_a_group_of_thousands_is_saved(app: Celeriac) -> None:
    """By reference: it is larger than an item."""
    members = [app.AsyncResult(f"{n:036d}") for n in range(10_000)]
    app.GroupResult("thousands", members).save()

    restored: Any = GroupResult.restore("thousands", app=app)

    assert [each.id for each in restored] == [each.id for each in members]


def test_a_chord_is_forgotten(app: Celeriac, worker: SingleWorker) -> None:
    """With the members of its header."""
    result = chord([app.tasks["double"].s(1)], app.tasks["total"].s()).delay()
    worker.run_all()
    ids = [result.id, *(each.id for each in result.parent.results)]
    assert set(services().records.get_many(ids)) == set(ids)

    result.forget()

    assert services().records.get_many(ids) == {}


@pytest.mark.parametrize("kind", ["memory", "dynamodb"])
@pytest.mark.parametrize("state", [states.PENDING, states.STARTED, states.RETRY, states.SUCCESS])
def test_only_an_ended_record_is_removed(app: Celeriac, kind: str, state: str) -> None:
    """In memory as in DynamoDB."""
    records: RecordStore = MemoryRecords() if kind == "memory" else services().records
    record = new_record()
    records.create(record)
    if state != states.PENDING:
        until = clock.now() + clock.millis(timedelta(minutes=1))
        records.claim(record.task_id, 1, "me", until)
    if state == states.RETRY:
        records.retry(record.task_id, "me", 0, Failure(type="x", message="x"))
    elif state == states.SUCCESS:
        records.finish(record.task_id, "me", states.SUCCESS)

    assert records.forget(record.task_id) == (state == states.SUCCESS)
    assert (records.get(record.task_id) is None) == (state == states.SUCCESS)
    assert records.forget("absent")
