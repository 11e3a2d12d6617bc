"""A task is sent again if its message is lost, and left alone if it waits anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from celery import chord
from moto import mock_aws

from celeriac import clock
from celeriac.app import factory
from celeriac.app.factory import celery_app
from celeriac.contract import catalogue
from celeriac.local.provision import provision
from celeriac.operations import pausing
from celeriac.operations.maintenance import repair
from celeriac.operations.submission import submit
from celeriac.records import Failure, TaskRecord
from celeriac.storage import services as services_module
from celeriac.storage.heartbeats import ReservedTask, RunningTask, Worker
from celeriac.storage.services import services
from tasks.queues import DEFAULT

GRACE = timedelta(minutes=15)
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
#: Since when the task has been overdue.
OVERDUE = 3 * HOUR
LONG = {"total_steps": 1, "items": [], "step_seconds": 0}


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


def receive() -> list[dict[str, Any]]:
    """Take what the normal lane holds, and delete it; the bodies."""
    sqs, url = boto3.client("sqs"), services().settings.queue_url(DEFAULT)
    bodies: list[dict[str, Any]] = []
    while True:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        if not (found := answer.get("Messages")):
            return bodies
        for each in found:
            bodies.append(json.loads(each["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])


def a_record(age: int, **fields: Any) -> TaskRecord:
    """A task of so many milliseconds, without a message."""
    submitted = submit("long-running", LONG).record
    receive()
    services().records.cancel(submitted.task_id)
    services().records.forget(submitted.task_id)
    record = replace(submitted, created_at=clock.now() - age, **fields)
    services().records.create(record)
    return record


# The states of an unfinished task that nobody holds, all overdue since the same time.


def pending(**fields: Any) -> TaskRecord:
    return a_record(OVERDUE, **fields)


def delayed(**fields: Any) -> TaskRecord:
    return a_record(40 * OVERDUE, due_at=clock.now() - OVERDUE, **fields)


def waiting_for_retry(**fields: Any) -> TaskRecord:
    record = a_record(2 * OVERDUE, **fields)
    services().records.claim(record.task_id, 1, "a worker", clock.now() + HOUR)
    failure = Failure(type="E", message="m")
    return services().records.retry(record.task_id, "a worker", clock.now() - OVERDUE, failure)


def of_a_dead_worker(**fields: Any) -> TaskRecord:
    return a_record(
        2 * OVERDUE,
        state="STARTED",
        started_at=clock.now() - OVERDUE - MINUTE,
        lease_owner="a dead worker",
        lease_until=clock.now() - OVERDUE,
        **fields,
    )


def returned(**fields: Any) -> TaskRecord:
    """As its worker left it when it drained."""
    started_at = clock.now() - OVERDUE
    return a_record(2 * OVERDUE, state="STARTED", started_at=started_at, lease_until=0, **fields)


UNHELD = [pending, delayed, waiting_for_retry, of_a_dead_worker, returned]


# What is known of the messages.


def nothing(record: TaskRecord) -> None:
    """Its lane is empty."""


def its_lane_holds_messages(record: TaskRecord) -> None:
    submit("long-running", LONG)


def its_lane_holds_delayed_messages(record: TaskRecord) -> None:
    submit("long-running", LONG, delay=timedelta(minutes=10))


def a_worker_has_received_all_messages(record: TaskRecord) -> None:
    submit("long-running", LONG)
    boto3.client("sqs").receive_message(QueueUrl=services().settings.queue_url(DEFAULT))


def only_the_other_lane_holds_messages(record: TaskRecord) -> None:
    submit("long-running", LONG, priority="high")


def _received(sent_before: int, tenant: str, **fields: Any) -> TaskRecord:
    """A worker runs a task that was sent so long ago. Others wait."""
    task = a_record(sent_before, tenant=tenant, state="STARTED", started_at=clock.now(), **fields)
    services().records.cancel(task.task_id)
    its_lane_holds_messages(task)
    heartbeat(active=(RunningTask(task_id=task.task_id, type=task.type, since=clock.now()),))
    return task


def heartbeat(**fields: Any) -> None:
    worker = Worker(
        id="a worker",
        hostname="h",
        pid=1,
        queues=("default",),
        concurrency=1,
        prefetch=1,
        started_at=0,
        seen_at=clock.now(),
        stopping=False,
        **{"active": (), "reserved": (), **fields},
        processed=1,
        failed=0,
        registered=(),
    )
    services().workers.report(worker)


def a_later_message_was_received(record: TaskRecord) -> None:
    _received(OVERDUE - 20 * MINUTE, record.tenant)


def a_later_urgent_message_was_received(record: TaskRecord) -> None:
    _received(OVERDUE - 20 * MINUTE, record.tenant, priority="high")


def a_message_of_the_same_time_was_received(record: TaskRecord) -> None:
    _received(OVERDUE - 10 * MINUTE, record.tenant)


def a_later_message_of_another_tenant_was_received(record: TaskRecord) -> None:
    _received(MINUTE, "another")


def a_worker_holds_it_ahead(record: TaskRecord) -> None:
    a_later_message_was_received(record)
    heartbeat(reserved=(ReservedTask(task_id=record.task_id, type=record.type),))


def its_queue_is_paused(record: TaskRecord) -> None:
    a_later_message_was_received(record)
    pausing.pause(DEFAULT)


def its_type_is_paused(record: TaskRecord) -> None:
    a_later_message_was_received(record)
    pausing.pause(catalogue()["long-running"])


def its_type_was_just_resumed(record: TaskRecord) -> None:
    its_type_is_paused(record)
    pausing.resume(catalogue()["long-running"])


def it_was_sent_again_since(record: TaskRecord) -> None:
    services().records.resend(record.task_id)
    a_later_message_was_received(record)


LOST = [nothing, only_the_other_lane_holds_messages, a_later_message_was_received]
WAITS = [
    its_lane_holds_messages,
    its_lane_holds_delayed_messages,
    a_worker_has_received_all_messages,
    a_later_urgent_message_was_received,
    a_message_of_the_same_time_was_received,
    a_later_message_of_another_tenant_was_received,
    a_worker_holds_it_ahead,
    its_queue_is_paused,
    its_type_is_paused,
    its_type_was_just_resumed,
    it_was_sent_again_since,
]

Known = Callable[[TaskRecord], object]


def named(which: Callable[..., object]) -> str:
    return which.__name__


@pytest.mark.parametrize("known", [*LOST, *WAITS], ids=named)
@pytest.mark.parametrize("state", UNHELD, ids=named)
def test_what_is_lost_is_sent_again_and_what_waits_is_not(
    state: Callable[[], TaskRecord], known: Known
) -> None:
    """Whatever the state of the task is that nobody holds."""
    record = state()
    known(record)
    receives_before = services().records.get(record.task_id)
    assert receives_before is not None

    repaired = repair(GRACE)

    sent = [*repaired.resent, *repaired.restarted]
    assert sent == ([record.task_id] if known in LOST else [])
    after = services().records.get(record.task_id)
    assert after is not None
    assert after.resent - receives_before.resent == len(sent)


def live_lease() -> TaskRecord:
    return a_record(
        40 * OVERDUE, state="STARTED", lease_owner="w", lease_until=clock.now() + MINUTE
    )


def lease_that_has_just_ended() -> TaskRecord:
    return a_record(
        40 * OVERDUE, state="STARTED", lease_owner="w", lease_until=clock.now() - 14 * MINUTE
    )


def delayed_by_sqs() -> TaskRecord:
    return a_record(MINUTE, due_at=clock.now() + 10 * MINUTE)


def delayed_by_a_schedule() -> TaskRecord:
    return a_record(40 * OVERDUE, due_at=clock.now() + 1000 * HOUR)


def retried_later() -> TaskRecord:
    return a_record(40 * OVERDUE, state="RETRY", attempt=2, due_at=clock.now() + MINUTE)


def awaiting_its_canvas() -> TaskRecord:
    return a_record(40 * OVERDUE, awaits=True)


def ended() -> TaskRecord:
    return a_record(40 * OVERDUE, state="SUCCESS")


@pytest.mark.parametrize(
    "state",
    [
        live_lease,
        lease_that_has_just_ended,
        delayed_by_sqs,
        delayed_by_a_schedule,
        retried_later,
        awaiting_its_canvas,
        ended,
    ],
    ids=named,
)
def test_what_is_held_not_due_or_over_is_never_sent_again(
    state: Callable[[], TaskRecord],
) -> None:
    """Nor is its queue asked about: an empty lane says nothing of these."""
    state()

    repaired = repair(GRACE)

    assert (repaired.resent, repaired.restarted) == ([], [])
    assert receive() == []


@pytest.mark.parametrize(("hours", "resent"), [(3, 0), (23, 0), (25, 1)])
def test_a_task_that_waits_under_a_limit_is_sent_again_once_a_day_at_most(
    hours: int, resent: int
) -> None:
    """The order of its copies says nothing; a lost one is found within a day, all the same."""

    @celery_app().task(name="limited", rate_limit="1/m", shared=False)
    def limited() -> None: ...

    record = a_record(hours * HOUR, type="limited")
    _received(HOUR, record.tenant)

    first, second = repair(GRACE), repair(GRACE)

    assert (len(first.resent), len(second.resent)) == (resent, 0)


@pytest.mark.parametrize(
    ("known", "resent"),
    [(its_lane_holds_messages, 1), (its_queue_is_paused, 0), (its_type_is_paused, 0)],
    ids=lambda each: named(each) if callable(each) else str(each),
)
def test_a_day_is_long_enough_unless_it_is_paused(known: Known, resent: int) -> None:
    """A pause may last for as long as SQS keeps messages."""
    record = a_record(30 * HOUR)
    known(record)

    assert len(repair(GRACE).resent) == resent
    assert repair(GRACE).resent == []


def test_many_that_wait_in_a_long_queue_are_never_doubled() -> None:
    """However many tasks wait, a repair of each hour sends no message."""
    for _ in range(12):
        record = submit("long-running", LONG).record
        aged = replace(record, created_at=clock.now() - 6 * HOUR)
        services().records.cancel(record.task_id)
        services().records.forget(record.task_id)
        services().records.create(aged)

    for _ in range(3):
        assert repair(GRACE).examined == 12

    assert len(receive()) == 12


def test_lost_members_of_a_chord_are_sent_again_with_their_chord() -> None:
    """Its body has no record before its members have ended, and none is made."""

    @celery_app().task(name="part", shared=False)
    def part(*_: object) -> None: ...

    body = chord([part.si(), part.si()])(part.s())
    lost = receive()

    repaired = repair(timedelta(0))

    members = {each["headers"]["id"] for each in lost}
    assert set(repaired.resent) == members
    again = receive()
    assert {each["headers"]["id"] for each in again} == members
    assert services().records.get(body.id) is None
    chords = [_embedded(each)["chord"]["options"]["task_id"] for each in again]
    assert chords == [body.id, body.id]


def _embedded(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body["body"])[2]
    return found
