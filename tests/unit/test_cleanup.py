"""``cleanup`` repairs what was lost, and looks at what has not ended alone."""

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
from celeriac.local.firing import fire_here
from celeriac.local.provision import provision, repair_hourly
from celeriac.local.schedules import Schedules
from celeriac.operations.firing import UnknownEventError, fire
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
    sqs, url = boto3.client("sqs"), services().settings.queue_url(DEFAULT)
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    if not changes:
        return submitted
    record = replace(submitted, task_id=f"{submitted.task_id}-again", **changes)  # type: ignore[arg-type]
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
    """A task that was just submitted is not overdue, and its record isn't even read."""
    a_task_without_a_message()

    result = cleanup(Cleanup(grace=timedelta(minutes=15)), context)

    assert result.tasks_examined == 0
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


def test_a_lost_task_is_sent_again_once_only(context: FakeContext) -> None:
    """The message that was sent again waits in the lane: the next repair sees it."""
    a_task_without_a_message()

    first = cleanup(NOW, context)
    second = cleanup(NOW, context)

    assert (first.messages_resent, second.messages_resent) == (1, 0)
    assert messages() == 1


@pytest.mark.parametrize("lost", ["input", "queue"])
def test_what_cant_be_sent_again_is_counted_and_keeps_nothing_else(
    context: FakeContext, lost: str
) -> None:
    """A task whose input or queue is gone doesn't keep another one from its repair."""
    gone = {"input": {"input": "s3:values/gone/input.json"}, "queue": {"queue": "gone"}}[lost]
    a_task_without_a_message(**gone)
    a_task_without_a_message()

    result = cleanup(NOW, context)

    assert (result.unsendable, result.messages_resent) == (1, 1)
    assert messages() == 1


def test_a_task_that_was_handed_back_has_its_grace_too(context: FakeContext) -> None:
    """The worker that drained has returned the message, for another one to receive."""
    record = a_task_without_a_message(created_at=clock.now() - 3_600_000)
    services().records.claim(record.task_id, 1, "a worker", clock.now() + 60_000)
    services().records.release(record.task_id, "a worker")

    within = cleanup(Cleanup(grace=timedelta(minutes=15)), context)
    later = cleanup(NOW, context)

    assert (within.workers_lost, later.workers_lost) == (0, 1)


@pytest.mark.parametrize(("late", "resent"), [(-60, 0), (60, 0), (899, 0), (901, 1)])
def test_a_delayed_task_whose_firing_was_lost_is_sent_when_its_grace_has_passed(
    context: FakeContext, late: int, resent: int
) -> None:
    """Grace counts from the time it was due: a task delayed for a year may be a year old."""
    now = clock.now()
    a_task_without_a_message(
        created_at=now - 365 * 86_400_000,
        due_at=now - late * 1000,
        expires_at=now // 1000 + 86_400,
    )

    result = cleanup(Cleanup(grace=timedelta(minutes=15)), context)

    assert result.tasks_examined == 1
    assert result.messages_resent == messages() == resent


def test_a_task_with_a_live_lease_is_left_alone(context: FakeContext) -> None:
    """However old it is, its worker still renews."""
    record = a_task_without_a_message(created_at=clock.now() - 86_400_000)
    services().records.claim(record.task_id, 1, "a worker", clock.now() + 60_000)

    result = cleanup(NOW, context)

    assert (result.tasks_examined, result.workers_lost) == (1, 0)
    assert messages() == 0


def test_tasks_of_every_tenant_are_repaired(context: FakeContext) -> None:
    """The index is of the whole deployment: no tenant has to be known."""
    for tenant in ("acme", "never-heard-of"):
        a_task_without_a_message(tenant=tenant)

    assert cleanup(NOW, context).messages_resent == 2


def test_the_hourly_event_sends_a_lost_message_again() -> None:
    """No worker and no task type is needed for it: the function that fires repairs."""
    lost = a_task_without_a_message()

    fire({"celeriac": "repair", "grace_seconds": 900})
    assert messages() == 0

    fire({"celeriac": "repair", "grace_seconds": 0})
    assert messages() == 1
    assert services().records.get(lost.task_id) is not None


def test_a_plain_celery_app_is_repaired() -> None:
    """``Celeriac("shop")`` has no typed task, and its lost message is sent again all the same."""
    factory.forget()
    shop = factory.Celeriac("shop")

    @shop.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    add.delay(1, 2)
    boto3.client("sqs").purge_queue(QueueUrl=services().settings.queue_url(DEFAULT))
    assert messages() == 0

    fire({"celeriac": "repair", "grace_seconds": 0})

    assert messages() == 1


def test_lost_tasks_are_repaired_each_hour_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``celeriac dev`` provisions comes due once an hour, and repairs."""
    repair_hourly(services().settings)
    a_task_without_a_message()
    created, said, ahead = clock.now(), list[str](), timedelta(0)
    monkeypatch.setattr(clock, "now", lambda: created + clock.millis(ahead))
    started = datetime.now(UTC)
    due = Schedules(services(), fire_here, said.append, lambda: started + ahead)
    fired = []
    for minutes in range(1, 181, 5):
        ahead = timedelta(minutes=minutes)
        fired += due.fire_due()

    assert said == []
    assert len(fired) in {2, 3}
    assert set(fired) == {"repair"}
    assert messages() == 1


def test_the_schedule_of_the_repair_is_made_once() -> None:
    """The firer reads a changed schedule again, so one that is there stays untouched."""

    def changed() -> datetime:
        group = services().settings.schedule_group
        there = services().scheduler.get_schedule(GroupName=group, Name="repair")
        return there["LastModificationDate"]

    repair_hourly(services().settings)
    first = changed()
    repair_hourly(services().settings)

    assert changed() == first


@pytest.mark.parametrize(
    "event",
    [
        {"celeriac": "repair"},
        {"celeriac": "repair", "grace_seconds": "900"},
        {"celeriac": "repair", "grace_seconds": -1},
        {"celeriac": "repair", "grace_seconds": None},
    ],
)
def test_a_malformed_event_is_an_error(event: dict[str, object]) -> None:
    """So Lambda keeps it as a dead letter, which is an alarm."""
    with pytest.raises(UnknownEventError):
        fire(event)
