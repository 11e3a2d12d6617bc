"""What a worker does with a message when AWS, or another worker, gets in its way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from botocore.exceptions import EndpointConnectionError

from celeriac import states
from celeriac.app.backend import RecordBackend
from celeriac.app.factory import Celeriac
from celeriac.contract import Cancelled
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.testing import MemoryRecords
from tests.unit.engine.interleaving import System
from tests.unit.engine.pausing import VISIBILITY, Delivery, Step, TaskStep
from tests.unit.engine.support import Timer


@pytest.fixture
def system(staged_app: Celeriac, staged_timer: Timer) -> Iterator[System]:
    system = System(staged_app, staged_timer, MemoryRecords(clock=staged_timer))
    yield system
    system.close()


@pytest.fixture
def task_id(system: System) -> str:
    """A task that was accepted, and whose message waits."""
    task_id, caller = system.caller("key")
    while not caller.done:
        caller.resume(Step.GO)
    assert len(system.queue.visible) == 1
    return task_id


def received(system: System) -> Delivery:
    return system.receive(system.queue.visible[0])


def started(system: System) -> Delivery:
    delivery = received(system)
    delivery.resume(Step.GO)
    assert delivery.at == "task_step"
    return delivery


def go_on(system: System, delivery: Delivery, *steps: Step | TaskStep | Cancelled) -> None:
    for step in steps:
        delivery.resume(step)
    system.settle(delivery)


def record_of(system: System, task_id: str) -> TaskRecord:
    record = system.record(task_id)
    assert record is not None
    return record


def test_a_task_is_done_once(system: System, task_id: str) -> None:
    """Without faults: claimed, run, stored, acknowledged."""
    system.deliver_everything()

    record = record_of(system, task_id)
    assert (record.state, record.attempt, record.lost) == (states.SUCCESS, 1, 0)
    assert record.version == 3, "three writes in all"
    assert system.queue.messages == []


@pytest.mark.parametrize("fault", [Step.REFUSED, Step.UNHEARD])
def test_a_claim_that_fails_leaves_the_message(system: System, task_id: str, fault: Step) -> None:
    """DynamoDB is down: the message comes back some seconds later."""
    delivery = received(system)
    go_on(system, delivery, fault)

    assert delivery.done
    assert system.unacknowledged == []
    left = delivery.message.hidden_until - system.timer.now
    assert 0 < left < VISIBILITY.total_seconds() * 1000


@pytest.mark.parametrize("fault", [Step.REFUSED, Step.UNHEARD])
def test_a_result_that_cannot_be_stored_leaves_the_message(
    system: System, task_id: str, fault: Step
) -> None:
    """Rather run again than acknowledged and lost; if it was stored after all, it ran once."""
    go_on(system, started(system), TaskStep.RETURN, fault)
    assert system.unacknowledged == []

    system.deliver_everything()

    record = record_of(system, task_id)
    assert (record.state, record.lost) == (states.SUCCESS, int(fault is Step.REFUSED))


def test_a_retry_whose_message_is_not_sent_comes_back(system: System, task_id: str) -> None:
    """The record waits for attempt 2, message 1 comes back and has message 2 sent."""
    go_on(system, started(system), TaskStep.RAISE, Step.GO, Step.REFUSED)
    assert record_of(system, task_id).state == states.RETRY
    assert system.unacknowledged == []

    system.deliver_everything()

    record = record_of(system, task_id)
    assert (record.state, record.attempt, record.resent) == (states.SUCCESS, 2, 1)


@pytest.mark.parametrize("steps", [[Step.REFUSED], [Step.UNHEARD], [Step.GO, Step.REFUSED]])
def test_a_retry_is_not_forgotten_while_aws_is_down(
    system: System, task_id: str, steps: list[Step]
) -> None:
    """Message 1 is the only trace of attempt 2 until message 2 is sent: it must stay."""
    go_on(system, started(system), TaskStep.RAISE, Step.GO, Step.REFUSED)
    go_on(system, received(system), Step.GO, *steps)

    assert system.unacknowledged == []

    system.deliver_everything()
    assert record_of(system, task_id).state == states.SUCCESS


@pytest.mark.parametrize(
    "task_step", [TaskStep.RETURN, TaskStep.GIVE_UP, TaskStep.RAISE, TaskStep.REPORT, Cancelled()]
)
def test_a_worker_that_lost_its_task_leaves_the_message(
    system: System, task_id: str, task_step: TaskStep | Cancelled
) -> None:
    """It is the other worker's now: should that one die, the message has to come back."""
    frozen = started(system)
    system.timer.advance(VISIBILITY)
    other = started(system)
    hidden_until = other.message.hidden_until

    go_on(system, frozen, task_step)
    while not frozen.done:
        go_on(system, frozen, Step.GO)

    assert frozen.message not in system.unacknowledged
    assert other.message in system.queue.messages
    assert record_of(system, task_id).lease_owner == other.owner
    assert other.message.hidden_until == hidden_until


def test_a_task_that_is_held_elsewhere_comes_back_after_the_lease(
    system: System, task_id: str
) -> None:
    """A duplicate waits out the lease of the first, and no longer."""
    first = started(system)
    system.timer.advance(timedelta(seconds=20))
    second = system.receive(first.message)
    go_on(system, second, Step.GO)

    assert second.done
    lease = record_of(system, task_id).lease_until
    assert lease is not None
    assert lease < first.message.hidden_until <= lease + 5000


def test_a_cancelled_task_is_not_tried_again(system: System, task_id: str) -> None:
    """It fails before it has seen its caller's wish: REVOKED, with the policy's attempts left."""
    delivery = started(system)
    system.witness.cancel(task_id)
    go_on(system, delivery, TaskStep.RAISE, Step.GO)
    system.deliver_everything()

    record = record_of(system, task_id)
    assert (record.state, record.attempt) == (states.REVOKED, 1)


def test_a_task_that_kills_its_workers_is_given_up(system: System, task_id: str) -> None:
    """After the third death nobody runs it again: FAILURE, and the message is dead-lettered."""
    for _ in range(3):
        system.hand_back(started(system), lost=True)
    system.deliver_everything()

    record = record_of(system, task_id)
    assert record.state == states.FAILURE
    assert record.failure is not None
    assert record.failure.type == "worker-lost"


def test_draining_workers_are_not_held_against_a_task(system: System, task_id: str) -> None:
    """Handed back any number of times, it still runs."""
    for _ in range(5):
        system.hand_back(started(system), lost=False)
    system.deliver_everything()

    record = record_of(system, task_id)
    assert (record.state, record.lost) == (states.SUCCESS, 0)


def test_attempts_run_out(system: System, task_id: str) -> None:
    """The policy's last attempt fails for good, with the error of that attempt."""
    for _ in range(3):
        system.timer.advance(timedelta(minutes=10))
        delivery = started(system)
        go_on(system, delivery, TaskStep.RAISE)
        while not delivery.done:
            go_on(system, delivery, Step.GO)
        for message in list(system.unacknowledged):
            system.acknowledge(message)

    record = record_of(system, task_id)
    assert (record.state, record.attempt) == (states.FAILURE, 3)
    assert record.failure is not None
    assert (record.failure.type, record.failure.message) == ("RuntimeError", "a root in the way")
    assert system.queue.messages == []


@pytest.mark.parametrize("task_step", [TaskStep.RETURN, TaskStep.GIVE_UP, Cancelled()])
def test_a_chord_hears_of_an_end_though_aws_was_down(
    system: System,
    task_id: str,
    task_step: TaskStep | Cancelled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The member has ended, and joining its chord fails: the message comes back and joins again."""
    told: list[str] = []

    def join(group_id: str, member: str, _expires_at: int) -> int:
        told.append(member)
        if len(told) == 1:
            raise EndpointConnectionError(endpoint_url="groups")
        return 1

    monkeypatch.setattr(services().groups, "join", join)
    monkeypatch.setattr(RecordBackend, "restore_group", lambda *_, **__: [task_id, "other"])
    message = system.queue.visible[0]
    message.headers["group"] = "group"
    message.body[2]["chord"] = system.app.signature("play", args=({},)) | {"chord_size": 2}

    go_on(system, started(system), task_step, Step.GO)
    assert told == [task_id]
    assert system.unacknowledged == []

    system.deliver_everything()
    assert told == [task_id, task_id]
    assert record_of(system, task_id).attempt == 1
