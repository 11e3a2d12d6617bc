"""A message is deleted only once its task has an outcome, and what follows from it is under way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from botocore.exceptions import ClientError
from celery import chord
from celery.exceptions import SoftTimeLimitExceeded

from celeriac import clock, states
from celeriac.app.factory import Celeriac
from celeriac.marshalling import marshal
from celeriac.records import TaskRecord
from celeriac.records.items import RECORD, partition
from celeriac.storage.services import services
from celeriac.topology import MAX_RECEIVES
from celeriac.worker.request import RecordedRequest
from tests.unit.delivery.outages import is_record_write, refused
from tests.unit.delivery.single_worker import SingleWorker

#: A task that expires this soon can still be claimed before.
SOON = timedelta(seconds=0.5)


@pytest.fixture(autouse=True)
def leave_nothing(worker: SingleWorker) -> Iterator[None]:
    yield
    worker.channel.return_now(list(worker.channel.held.snapshot()))
    worker.show_all()


def received(worker: SingleWorker) -> RecordedRequest:
    return worker.take()


def record_of(task_id: str) -> TaskRecord:
    record = services().records.get(task_id)
    assert record is not None
    return record


def as_told(error: BaseException) -> ExceptionInfo:
    """As billiard tells what a child has raised."""
    try:
        raise error  # noqa: TRY301 - for the traceback
    except BaseException:  # noqa: BLE001 - whatever it is
        return ExceptionInfo()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_task_that_may_not_be_claimed_stays_in_its_queue(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A policy that is wrong for a minute doesn't empty the queue."""
    result = app.tasks["double"].delay(4)

    def deny(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")

    with monkeypatch.context() as denied:
        denied.setattr("celeriac.records.updates.Updates.update_item", deny)
        worker.run(received(worker))
    worker.show_all()
    worker.run_all()

    assert result.get(timeout=60) == 8


def test_a_time_limit_that_strikes_before_the_claim_is_made_loses_nothing(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB was too slow; the task's own code had not begun."""
    result = app.tasks["double"].delay(4)

    def strike(*_: Any, **__: Any) -> Any:
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as slow:
        slow.setattr(services().records, "claim", strike)
        worker.run(received(worker))
    worker.show_all()
    worker.run_all()

    assert result.get(timeout=60) == 8


def test_no_task_is_acknowledged_before_it_has_ended(app: Celeriac, worker: SingleWorker) -> None:
    """Not even one whose author asked for that."""

    @app.task(name="early", shared=False, acks_late=False)
    def early() -> int:
        return 1

    result = early.delay()
    with refused(is_record_write):
        worker.run(received(worker))
    worker.show_all()
    worker.run_all()

    assert result.get(timeout=60) == 1


def test_a_chord_whose_member_died_before_it_told_it_goes_on(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member's SUCCESS is written, and its process was killed while it joined the results."""
    body = chord([app.tasks["double"].s(1)], app.tasks["total"].s()).delay()
    member = received(worker)

    class Killed(BaseException):
        """What the kernel does, as far as a test in one process can have it."""

    def die(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(services().groups, "join", die)
        with pytest.raises(Killed):
            worker.begin(member)
    assert record_of(member.id).state == states.SUCCESS

    member.on_failure(as_told(WorkerLostError("out of memory")))
    worker.show_all()
    worker.run_all()

    assert body.get(timeout=60) == 2


@pytest.mark.parametrize("lease_left", [timedelta(minutes=1), timedelta(milliseconds=-1)])
def test_what_has_begun_in_time_does_not_expire(
    app: Celeriac, worker: SingleWorker, lease_left: timedelta
) -> None:
    """Delivered again, it stays while another worker has it, and runs if that one is lost."""
    result = app.tasks["double"].apply_async((4,), expires=datetime.now(UTC) + SOON)
    lease_until = clock.now() + clock.millis(lease_left)
    services().records.claim(result.id, 1, "another", lease_until)
    time.sleep(SOON.total_seconds())  # until it has expired, which nothing announces

    again = received(worker)
    assert not again.revoked()
    worker.run(again)

    if lease_left > timedelta(0):
        assert record_of(result.id).lease_owner == "another"
        assert worker.hidden() == 1
    else:
        assert result.get(timeout=60) == 8


def test_what_nobody_has_begun_expires(app: Celeriac, worker: SingleWorker) -> None:
    """It ends as revoked, and its message is gone."""
    result = app.tasks["double"].apply_async((4,), expires=datetime.now(UTC) + SOON)
    time.sleep(SOON.total_seconds())  # as above

    assert received(worker).revoked()

    assert result.state == states.REVOKED
    assert (worker.visible(), worker.hidden()) == (0, 0)


def test_a_hard_limit_leaves_the_message_of_a_task_that_was_taken_over(
    app: Celeriac, worker: SingleWorker
) -> None:
    """The worker was frozen, and its timer fires before it knows that another has the task now."""
    result = app.tasks["double"].delay(4)
    frozen = received(worker)
    services().records.claim(result.id, 1, frozen.owner, clock.now() - 1)
    frozen.on_accepted(0, monotonic())
    services().sqs.change_message_visibility(
        QueueUrl=worker.url, ReceiptHandle=frozen.tag, VisibilityTimeout=0
    )
    other = received(worker)
    services().records.claim(result.id, 1, other.owner, clock.now() + 60_000)

    frozen.on_timeout(soft=False, timeout=1)

    assert worker.hidden() == 1
    assert record_of(result.id).lease_owner == other.owner


def test_an_outage_of_an_hour_makes_no_dead_letter(app: Celeriac, worker: SingleWorker) -> None:
    """SQS counts receives: the longer its record can't be reached, the rarer a message comes."""
    result = app.tasks["double"].delay(4)
    hidden_for: list[int] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        hidden_for.extend(each["VisibilityTimeout"] for each in params["Entries"])

    event = "before-parameter-build.sqs.ChangeMessageVisibilityBatch"
    sqs = worker.channel.sqs()
    sqs.meta.events.register(event, note)
    try:
        with refused(is_record_write):
            while (request := worker.receive()) is not None:
                worker.run(request)
                worker.show_all()
    finally:
        sqs.meta.events.unregister(event, note)

    assert len(hidden_for) == MAX_RECEIVES
    assert set(hidden_for[:5]) == {5}  # at first it comes back soon
    assert timedelta(seconds=sum(hidden_for)) > timedelta(hours=1)
    assert result.state == states.PENDING


def test_a_task_that_ends_its_process_can_be_claimed_at_once_and_counts(
    app: Celeriac, worker: SingleWorker
) -> None:
    """``sys.exit()`` in a task is the loss of a worker, as a crash is."""
    result = app.tasks["double"].delay(4)
    request = received(worker)
    services().records.claim(result.id, 1, request.owner, clock.now() + 60_000)
    request.on_accepted(0, monotonic())

    request.on_failure(as_told(SystemExit(1)))

    assert worker.visible() == 1
    worker.run_all()
    assert result.get(timeout=60) == 8
    record = record_of(result.id)
    assert (record.crashes, record.attempts) == (1, 2)


def test_a_message_whose_record_is_gone_runs_nothing_and_is_told(
    app: Celeriac, worker: SingleWorker, caplog: pytest.LogCaptureFixture
) -> None:
    """Its record expired while it waited, or was forgotten."""
    ran: list[str] = []

    @app.task(name="late", shared=False)
    def late() -> None:
        ran.append("late")

    task_id = late.delay().id
    services().dynamodb.delete_item(
        TableName=services().settings.table_name,
        Key=marshal({"pk": partition(task_id), "sk": RECORD}),
    )
    worker.run_all()

    assert not ran
    assert f"task {task_id} has no record" in caplog.text
    assert (worker.visible(), worker.hidden()) == (0, 0)
