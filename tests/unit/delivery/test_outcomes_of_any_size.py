"""What a task gave, raised or started is kept whatever its size, or the record says why not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from celery import Task
from celery.result import AsyncResult

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.app.outcomes import NOT_STORED
from celeriac.records import TaskRecord
from celeriac.storage import values
from celeriac.storage.services import services
from tests.unit.delivery.single_worker import SingleWorker


def record_of(task_id: str) -> TaskRecord:
    record = services().records.get(task_id)
    assert record is not None
    return record


def size_of(record: TaskRecord) -> int:
    return len(repr(record).encode())


@pytest.mark.parametrize("number", [1, 3, 300, 8000])
def test_a_task_may_start_any_number_of_others(
    app: Celeriac, worker: SingleWorker, number: int
) -> None:
    """It runs once, its record stays small, and its children can be followed."""
    ran = []

    @app.task(name="parent", bind=True, shared=False)
    def parent(self: Task) -> int:
        ran.append(1)
        # Thousands of real messages would take minutes; these are what Celery notes of each.
        self.request.children.extend(
            AsyncResult(f"01890000-0000-7000-8000-{each:012d}", app=app) for each in range(number)
        )
        return number

    result = parent.delay()
    worker.run_all()

    assert result.get(timeout=60) == number
    assert ran == [1]
    assert len(result.children) == number
    assert result.children[-1].id.endswith(f"{number - 1:012d}")
    assert size_of(record_of(result.id)) < 2000


def test_children_that_the_first_release_kept_are_still_read(
    app: Celeriac, worker: SingleWorker
) -> None:
    """It kept them in the record, as JSON."""
    result = app.tasks["double"].delay(1)
    record = record_of(result.id)
    kept = json.dumps([[["01890000-0000-7000-8000-000000000000", None], None]])
    services().records.claim(record.task_id, 1, "a", 2**42)
    services().records.finish(record.task_id, "a", states.SUCCESS, children=kept)

    assert [each.id for each in result.children] == ["01890000-0000-7000-8000-000000000000"]


def test_a_result_over_the_limit_is_a_failure(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its type says so, and the task isn't run again."""
    monkeypatch.setattr(values, "LARGEST", 1000)
    ran = []

    @app.task(name="large", shared=False)
    def large() -> str:
        ran.append(1)
        return "x" * 1001

    result = large.delay()
    worker.run_all()

    record = record_of(result.id)
    assert record.state == states.FAILURE
    assert record.failure is not None
    assert record.failure.type == "value-too-large"
    assert ran == [1]


def test_of_an_error_over_the_limit_its_name_and_message_stay(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks Celery for the result gets an error of that name; its chord is told."""
    monkeypatch.setattr(values, "LARGEST", 1000)

    @app.task(name="loud", shared=False)
    def loud() -> None:
        raise ValueError("x" * 1001)

    result = loud.delay()
    worker.run_all()

    record = record_of(result.id)
    assert (record.state, record.result) == (states.FAILURE, None)
    assert record.failure is not None
    assert record.failure.type == "ValueError"
    with pytest.raises(ValueError, match=r"^x+$"):
        result.get(timeout=60)


@pytest.mark.parametrize("task_name", ["double", "fail"])
def test_an_outcome_that_dynamodb_never_takes_ends_the_task_as_failed(
    app: Celeriac, worker: SingleWorker, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of running it again and again. The record says what DynamoDB says."""
    result = app.tasks[task_name].delay(1)
    finish = services().records.finish

    def refuse(*args: Any, **parts: Any) -> TaskRecord:
        """As DynamoDB does, which writes nothing then; moto writes half."""
        if parts.get("result") is None:
            return finish(*args, **parts)
        message = "Item size to update has exceeded the maximum allowed size"
        raise ClientError(
            {"Error": {"Code": "ValidationException", "Message": message}}, "UpdateItem"
        )

    monkeypatch.setattr(services().records, "finish", refuse)
    worker.run_all()

    record = record_of(result.id)
    assert record.state == states.FAILURE
    assert record.failure is not None
    assert record.failure.type == NOT_STORED
    assert "Item size to update has exceeded" in record.failure.message
    assert worker.visible() == worker.hidden() == 0
