"""``cleanup`` removes what has expired and repairs what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from celeriac import clock, states
from celeriac.app import factory
from celeriac.contract import Queue, catalogue
from celeriac.local.provision import provision
from celeriac.operations.submission import submit
from celeriac.records import TaskRecord
from celeriac.storage import services as services_module
from celeriac.storage.services import services
from celeriac.testing.context import FakeContext
from tasks.cleanup import Cleanup, cleanup
from tasks.queues import DEFAULT

NOW = Cleanup(grace=timedelta(0))


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv(
        "CELERIAC_QUEUE_URL_PREFIX",
        "https://sqs.us-east-1.amazonaws.com/123456789012/celeriac-",
    )
    with mock_aws():
        services_module.reset()
        factory.forget()
        provision(services().settings, catalogue())
        yield
    services_module.reset()
    factory.forget()


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    return FakeContext(workdir=tmp_path)


def messages(queue: Queue = DEFAULT) -> int:
    """How many messages a queue holds."""
    url = services().settings.queue_url(queue)
    found = boto3.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def a_task_without_a_message(**changes: object) -> TaskRecord:
    """A record as it stands when its submitter has died before sending."""
    submitted = submit("long-running", {"total_steps": 1, "items": [], "step_seconds": 0}).record
    boto3.client("sqs").purge_queue(QueueUrl=services().settings.queue_url(DEFAULT))
    if not changes:
        return submitted
    record = replace(submitted, task_id=f"{submitted.task_id[:-4]}0000", **changes)  # type: ignore[arg-type]
    services().records.create(record)
    services().records.cancel(submitted.task_id)
    return record


def test_a_lost_message_is_sent_again(context: FakeContext) -> None:
    """A task that has waited longer than the grace gets another message, and is counted."""
    a_task_without_a_message()

    result = cleanup(NOW, context)

    assert result.messages_resent == 1
    assert messages() == 1


def test_a_task_within_its_grace_is_left_alone(context: FakeContext) -> None:
    """A task that was just submitted is not overdue."""
    a_task_without_a_message()

    result = cleanup(Cleanup(grace=timedelta(minutes=15)), context)

    assert result.tasks_examined == 1
    assert result.messages_resent == 0
    assert messages() == 0


def test_a_delayed_task_is_not_overdue_before_it_is_due(context: FakeContext) -> None:
    """What counts is when the task may start, not when it was submitted."""
    a_task_without_a_message(due_at=clock.now() + 60_000)

    assert cleanup(NOW, context).messages_resent == 0


def test_a_task_of_a_dead_worker_is_sent_again(context: FakeContext) -> None:
    """A running task whose lease has passed gets a message, so that a worker takes it over."""
    record = a_task_without_a_message()
    services().records.claim(record.task_id, 1, "a dead worker", clock.now() - 1)

    result = cleanup(NOW, context)

    assert result.workers_lost == 1
    assert messages() == 1
    found = services().records.get(record.task_id)
    assert found is not None
    assert found.state == states.STARTED


def test_an_ended_task_is_not_repaired(context: FakeContext) -> None:
    """A terminal record stays as it is."""
    record = a_task_without_a_message()
    services().records.cancel(record.task_id)

    result = cleanup(NOW, context)

    assert (result.messages_resent, result.workers_lost) == (0, 0)
    assert messages() == 0


def test_a_task_that_awaits_its_canvas_is_not_repaired(context: FakeContext) -> None:
    """What is to be sent under its id comes from the canvas that has replaced it."""
    record = a_task_without_a_message()
    services().records.claim(record.task_id, 1, "a worker", clock.now() + 60_000)
    services().records.await_canvas(services().records.hand_on(record.task_id, "a worker"))

    result = cleanup(NOW, context)

    assert (result.messages_resent, result.workers_lost) == (0, 0)
    assert messages() == 0


def test_a_task_in_a_long_queue_is_sent_again_once_only(context: FakeContext) -> None:
    """While its queue holds messages, a task that was resent before is not resent again."""
    a_task_without_a_message()

    first = cleanup(NOW, context)
    second = cleanup(NOW, context)

    assert first.messages_resent == 1
    assert second.messages_resent == 0
    assert messages() == 1


def test_a_task_whose_input_has_expired_is_counted(context: FakeContext) -> None:
    """It can't be sent again, and the report says so instead of failing."""
    a_task_without_a_message(input="s3:values/gone/input.json")

    result = cleanup(NOW, context)

    assert result.inputs_expired == 1


def test_expired_uploads_and_artifacts_go(context: FakeContext) -> None:
    """Files outlive their own time and no longer; what is counted is gone, the rest is there."""
    from celeriac.operations import maintenance

    store = services().artifacts
    store.put("acme", "files/1/old.csv", b"12345", content_type="text/csv")
    store.put("acme", "tasks/1/1/report.pdf", b"123", content_type="application/pdf")

    in_two_days = maintenance.remove_expired(datetime.now(UTC) + timedelta(days=2))
    left = [artifact.key for _, artifact in store.list_all()]
    in_ten_days = maintenance.remove_expired(datetime.now(UTC) + timedelta(days=10))

    assert (in_two_days.uploads, in_two_days.artifacts, in_two_days.bytes) == (1, 0, 5)
    assert left == ["tasks/1/1/report.pdf"]
    assert (in_ten_days.uploads, in_ten_days.artifacts, in_ten_days.bytes) == (0, 1, 3)
    assert list(store.list_all()) == []
