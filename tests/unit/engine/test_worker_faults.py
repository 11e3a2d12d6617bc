"""What a worker does with a message when AWS, or another worker, gets in its way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from botocore.exceptions import EndpointConnectionError

from celeriac import states
from celeriac.app import CeleriacApp
from celeriac.backend import RecordBackend
from celeriac.records import MemoryRecords, TaskRecord
from celeriac.services import services
from tasks.contract import Cancelled
from tests.unit.engine.stage import VISIBILITY, Act, Cue, Delivery
from tests.unit.engine.support import Timer
from tests.unit.engine.theatre import Theatre


@pytest.fixture
def theatre(staged_app: CeleriacApp, staged_timer: Timer) -> Iterator[Theatre]:
    theatre = Theatre(staged_app, staged_timer, MemoryRecords(clock=staged_timer))
    yield theatre
    theatre.close()


@pytest.fixture
def task_id(theatre: Theatre) -> str:
    """A task that was accepted, and whose message waits."""
    task_id, caller = theatre.caller("key")
    while not caller.done:
        caller.cue(Cue.GO)
    assert len(theatre.queue.visible) == 1
    return task_id


def received(theatre: Theatre) -> Delivery:
    return theatre.receive(theatre.queue.visible[0])


def started(theatre: Theatre) -> Delivery:
    delivery = received(theatre)
    delivery.cue(Cue.GO)
    assert delivery.at == "act"
    return delivery


def go_on(theatre: Theatre, delivery: Delivery, *cues: Cue | Act | Cancelled) -> None:
    for cue in cues:
        delivery.cue(cue)
    theatre.settle(delivery)


def record_of(theatre: Theatre, task_id: str) -> TaskRecord:
    record = theatre.record(task_id)
    assert record is not None
    return record


def test_a_task_is_done_once(theatre: Theatre, task_id: str) -> None:
    """Without faults: claimed, run, stored, acknowledged."""
    theatre.deliver_everything()

    record = record_of(theatre, task_id)
    assert (record.state, record.attempt, record.lost) == (states.SUCCESS, 1, 0)
    assert record.version == 3, "three writes in all"
    assert theatre.queue.messages == []


@pytest.mark.parametrize("fault", [Cue.REFUSED, Cue.UNHEARD])
def test_a_claim_that_fails_leaves_the_message(theatre: Theatre, task_id: str, fault: Cue) -> None:
    """DynamoDB is down: the message comes back some seconds later."""
    delivery = received(theatre)
    go_on(theatre, delivery, fault)

    assert delivery.done
    assert theatre.unacknowledged == []
    left = delivery.message.hidden_until - theatre.timer.now
    assert 0 < left < VISIBILITY.total_seconds() * 1000


@pytest.mark.parametrize("fault", [Cue.REFUSED, Cue.UNHEARD])
def test_a_result_that_cannot_be_stored_leaves_the_message(
    theatre: Theatre, task_id: str, fault: Cue
) -> None:
    """Rather run again than acknowledged and lost; if it was stored after all, it ran once."""
    go_on(theatre, started(theatre), Act.RETURN, fault)
    assert theatre.unacknowledged == []

    theatre.deliver_everything()

    record = record_of(theatre, task_id)
    assert (record.state, record.lost) == (states.SUCCESS, int(fault is Cue.REFUSED))


def test_a_retry_whose_message_is_not_sent_comes_back(theatre: Theatre, task_id: str) -> None:
    """The record waits for attempt 2, message 1 comes back and has message 2 sent."""
    go_on(theatre, started(theatre), Act.RAISE, Cue.GO, Cue.REFUSED)
    assert record_of(theatre, task_id).state == states.RETRY
    assert theatre.unacknowledged == []

    theatre.deliver_everything()

    record = record_of(theatre, task_id)
    assert (record.state, record.attempt, record.resent) == (states.SUCCESS, 2, 1)


@pytest.mark.parametrize("cues", [[Cue.REFUSED], [Cue.UNHEARD], [Cue.GO, Cue.REFUSED]])
def test_a_retry_is_not_forgotten_while_aws_is_down(
    theatre: Theatre, task_id: str, cues: list[Cue]
) -> None:
    """Message 1 is the only trace of attempt 2 until message 2 is sent: it must stay."""
    go_on(theatre, started(theatre), Act.RAISE, Cue.GO, Cue.REFUSED)
    go_on(theatre, received(theatre), Cue.GO, *cues)

    assert theatre.unacknowledged == []

    theatre.deliver_everything()
    assert record_of(theatre, task_id).state == states.SUCCESS


@pytest.mark.parametrize("act", [Act.RETURN, Act.GIVE_UP, Act.RAISE, Act.REPORT, Cancelled()])
def test_a_worker_that_lost_its_task_leaves_the_message(
    theatre: Theatre, task_id: str, act: Act | Cancelled
) -> None:
    """It is the other worker's now: should that one die, the message has to come back."""
    frozen = started(theatre)
    theatre.timer.advance(VISIBILITY)
    other = started(theatre)
    hidden_until = other.message.hidden_until

    go_on(theatre, frozen, act)
    while not frozen.done:
        go_on(theatre, frozen, Cue.GO)

    assert frozen.message not in theatre.unacknowledged
    assert other.message in theatre.queue.messages
    assert record_of(theatre, task_id).lease_owner == other.owner
    assert other.message.hidden_until == hidden_until


def test_a_task_that_is_held_elsewhere_comes_back_after_the_lease(
    theatre: Theatre, task_id: str
) -> None:
    """A duplicate waits out the lease of the first, and no longer."""
    first = started(theatre)
    theatre.timer.advance(timedelta(seconds=20))
    second = theatre.receive(first.message)
    go_on(theatre, second, Cue.GO)

    assert second.done
    lease = record_of(theatre, task_id).lease_until
    assert lease is not None
    assert lease < first.message.hidden_until <= lease + 5000


def test_a_cancelled_task_is_not_tried_again(theatre: Theatre, task_id: str) -> None:
    """It fails before it has seen its caller's wish: REVOKED, with the policy's attempts left."""
    delivery = started(theatre)
    theatre.witness.cancel(task_id)
    go_on(theatre, delivery, Act.RAISE, Cue.GO)
    theatre.deliver_everything()

    record = record_of(theatre, task_id)
    assert (record.state, record.attempt) == (states.REVOKED, 1)


def test_a_task_that_kills_its_workers_is_given_up(theatre: Theatre, task_id: str) -> None:
    """After the third death nobody runs it again: FAILURE, and the message is dead-lettered."""
    for _ in range(3):
        theatre.hand_back(started(theatre), lost=True)
    theatre.deliver_everything()

    record = record_of(theatre, task_id)
    assert record.state == states.FAILURE
    assert record.failure is not None
    assert record.failure.type == "worker-lost"


def test_draining_workers_are_not_held_against_a_task(theatre: Theatre, task_id: str) -> None:
    """Handed back any number of times, it still runs."""
    for _ in range(5):
        theatre.hand_back(started(theatre), lost=False)
    theatre.deliver_everything()

    record = record_of(theatre, task_id)
    assert (record.state, record.lost) == (states.SUCCESS, 0)


def test_attempts_run_out(theatre: Theatre, task_id: str) -> None:
    """The policy's last attempt fails for good, with the error of that attempt."""
    for _ in range(3):
        theatre.timer.advance(timedelta(minutes=10))
        delivery = started(theatre)
        go_on(theatre, delivery, Act.RAISE)
        while not delivery.done:
            go_on(theatre, delivery, Cue.GO)
        for message in list(theatre.unacknowledged):
            theatre.acknowledge(message)

    record = record_of(theatre, task_id)
    assert (record.state, record.attempt) == (states.FAILURE, 3)
    assert record.failure is not None
    assert (record.failure.type, record.failure.message) == ("RuntimeError", "a root in the way")
    assert theatre.queue.messages == []


@pytest.mark.parametrize("act", [Act.RETURN, Act.GIVE_UP, Cancelled()])
def test_a_chord_hears_of_an_end_though_aws_was_down(
    theatre: Theatre, task_id: str, act: Act | Cancelled, monkeypatch: pytest.MonkeyPatch
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
    message = theatre.queue.visible[0]
    message.headers["group"] = "group"
    message.body[2]["chord"] = theatre.app.signature("play", args=({},)) | {"chord_size": 2}

    go_on(theatre, started(theatre), act, Cue.GO)
    assert told == [task_id]
    assert theatre.unacknowledged == []

    theatre.deliver_everything()
    assert told == [task_id, task_id]
    assert record_of(theatre, task_id).attempt == 1
