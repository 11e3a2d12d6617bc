"""What ends an attempt, or its renewal, in the midst of something."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from celery import Task
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.app.factory import Celeriac
from celeriac.storage.services import services
from celeriac.worker.consumer import Consumer
from celeriac.worker.keeper import Keeper
from tests.unit.delivery.single_worker import SingleWorker


def test_a_retry_interrupted_before_its_message_is_sent_goes_on(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit strikes between the retry's record and its message: neither is lost."""

    @app.task(name="again", bind=True, shared=False)
    def again(self: Task) -> int:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return int(self.request.retries)

    result = app.tasks["again"].delay()
    request = worker.take()

    def strike(*_: Any, **__: Any) -> None:
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as patch:
        patch.setattr(app, "publish", strike)
        patch.setattr(
            again, "retry", lambda **_: app.send_task("again", task_id=result.id, retries=1)
        )
        worker.run(request)

    worker.show_all()
    worker.run_all()

    assert result.get(timeout=60) == 1


def test_a_renewal_that_sqs_refuses_is_not_asked_for_at_each_tick(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQS renews no message that was delivered again: once an interval is enough."""
    app.tasks["double"].delay(1)
    assert worker.receive() is not None
    asked: list[Any] = []

    def refuse(**parameters: Any) -> Any:
        asked.append(parameters)
        return {"Failed": [{"Id": "0", "Code": "InvalidParameterValue", "SenderFault": True}]}

    monkeypatch.setattr(services().sqs, "change_message_visibility_batch", refuse)
    due = time.monotonic() + 100
    monkeypatch.setattr("celeriac.worker.keeper.monotonic", lambda: due)
    keeper = Keeper()
    for _ in range(3):
        keeper._renew_visibility(worker.channel, [], timedelta(minutes=1))

    assert len(asked) == 1


def test_what_began_before_the_worker_connected_anew_is_renewed_too(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message is held by the channel of then; the consumer has another now."""
    app.tasks["double"].delay(1)
    request = worker.take()
    asked: list[Any] = []

    def renew(**parameters: Any) -> Any:
        asked.extend(entry["ReceiptHandle"] for entry in parameters["Entries"])
        return {"Successful": [{"Id": "0"}]}

    monkeypatch.setattr(services().sqs, "change_message_visibility_batch", renew)
    due = time.monotonic() + 100
    monkeypatch.setattr("celeriac.worker.keeper.monotonic", lambda: due)

    Keeper()._renew_visibility(SingleWorker(app).channel, [request], timedelta(minutes=1))

    assert asked == [request.message.delivery_tag]
    request.acknowledge()


def test_a_message_is_buried_even_if_its_record_refuses_the_mark(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synthetic id that DynamoDB takes for no key mustn't end the event loop."""
    app.tasks["double"].delay(1)
    request = worker.take()
    error: Any = {"Error": {"Code": "ValidationException"}}

    def refuse(*_: Any, **__: Any) -> None:
        raise ClientError(error, "UpdateItem")

    monkeypatch.setattr(services().records, "finish", refuse)

    Consumer._dead_letter(object.__new__(Consumer), request.message, "unknown-task-type", "why")

    assert len(worker.channel.held) == 0


@pytest.mark.parametrize("task_id", ["order:1", "x" * 80])
def test_an_id_of_the_callers_own_can_be_delayed_for_long(app: Celeriac, task_id: str) -> None:
    """A schedule's name takes 64 characters of a few kinds; it still tells attempts apart."""
    before = schedules()

    app.tasks["double"].apply_async((1,), task_id=task_id, countdown=3600)

    (name,) = schedules() - before
    assert re.fullmatch(r"[0-9a-f]{64}", name)


def schedules() -> set[str]:
    return {each["Name"] for each in services().scheduler.list_schedules()["Schedules"]}
