"""What a record store promises. DynamoDB's and the one in memory keep the same promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celeriac import states
from celeriac.records import (
    Failure,
    Progress,
    RecordExistsError,
    RecordStore,
    TaskRecord,
)
from celeriac.records.record import LONGEST_MESSAGE, LONGEST_PROGRESS
from celeriac.storage.services import services
from tests.unit.engine.stages import (
    RUNNING,
    TERMINAL,
    WAITING,
    A,
    Stage,
    claimed,
    pending,
    stages,
    started,
    waiting_for_retry,
)
from tests.unit.engine.support import START, World, new_record


def test_a_new_record_is_found_as_it_was_written(world: World) -> None:
    """Every field comes back, those that hold no plain values too."""
    record = new_record(
        tags=("spring", "beds"),
        fingerprint="abc",
        retry_of="t0",
        parent_id="t1",
        group_id="g1",
        due_at=START + 1000,
    )

    world.records.create(record)

    assert world.records.get(record.task_id) == record


def test_a_task_has_one_record(world: World) -> None:
    """A second creation changes nothing and shows the first."""
    first = pending(world, fingerprint="first")

    with pytest.raises(RecordExistsError) as refused:
        world.records.create(new_record(task_id=first.task_id, fingerprint="second"))

    assert refused.value.existing == first
    assert world.records.get(first.task_id) == first


def test_an_unknown_task_has_no_record(records: RecordStore) -> None:
    """Absence is an answer, not an error."""
    assert records.get("unknown") is None
    assert records.get_many(["unknown"]) == {}
    assert records.get_many([]) == {}


def test_many_records_are_read_at_once(world: World) -> None:
    """More than DynamoDB gives in one answer, some asked for twice, some absent."""
    made = [pending(world) for _ in range(105)]
    ids = [record.task_id for record in made]

    found = world.records.get_many([*ids, ids[0], "unknown"])

    assert found == {record.task_id: record for record in made}


def test_a_record_without_a_message_is_taken_back(world: World) -> None:
    """A submission whose message was not sent leaves nothing."""
    task_id = pending(world).task_id

    assert world.records.discard(task_id) is True
    assert world.records.get(task_id) is None
    assert world.records.discard(task_id) is True


@stages(waiting_for_retry, *RUNNING, *TERMINAL)
def test_an_accepted_task_is_not_taken_back(world: World, stage: Stage) -> None:
    """Somebody has received its message: it was sent after all."""
    before = stage(world)

    assert world.records.discard(before.task_id) is False
    assert world.records.get(before.task_id) == before


def test_a_task_that_was_sent_again_is_not_taken_back(world: World) -> None:
    """The first sender fails, a second one has noted that it sends: the task is accepted."""
    task_id = pending(world).task_id

    again = world.records.resend(task_id)

    assert again is not None
    assert again.resent == 1
    assert world.records.discard(task_id) is False
    assert world.records.get(task_id) == again


def test_a_task_that_was_taken_back_is_not_sent_again(world: World) -> None:
    """The second sender learns that there is nothing to send, and makes no record of it."""
    task_id = pending(world).task_id
    world.records.discard(task_id)

    assert world.records.resend(task_id) is None
    assert world.records.get(task_id) is None


@stages(*WAITING)
def test_a_waiting_task_is_sent_again(world: World, stage: Stage) -> None:
    """State, attempt and due time stay; the sending is counted."""
    before = stage(world)

    world.records.resend(before.task_id)
    again = world.records.resend(before.task_id)

    assert again is not None
    assert again.resent == 2
    assert (again.state, again.attempt, again.due_at) == (
        before.state,
        before.attempt,
        before.due_at,
    )


@stages(*RUNNING, *TERMINAL)
def test_what_is_held_or_over_is_not_sent_again(world: World, stage: Stage) -> None:
    """A task that runs has its message; one that is over needs none."""
    before = stage(world)

    assert world.records.resend(before.task_id) is None
    assert world.records.get(before.task_id) == before


@stages(*RUNNING)
def test_a_task_whose_lease_has_ended_is_sent_again(world: World, stage: Stage) -> None:
    """The sending and its time are noted, until a worker claims the task."""
    before = stage(world)
    world.timer.now += 60_001

    again = world.records.resend(before.task_id)

    assert again is not None
    assert (again.state, again.resent, again.resent_at) == (before.state, 1, world.timer.now)
    assert claimed(world, before.task_id, 1, "another").resent_at is None


def test_messages_are_cut(world: World) -> None:
    """A long message costs at every later write: bytes count, not characters."""
    task_id = started(world).task_id
    progress = Progress(current=1, total=2, message="🥕" * 500)

    kept = world.records.report(task_id, A, states.PROGRESS, progress=progress).progress
    failure = Failure.of(RuntimeError("ä" * 500))

    assert kept is not None
    assert kept.message == "🥕" * (LONGEST_PROGRESS // 4)
    assert failure.message == "ä" * (LONGEST_MESSAGE // 2)


def test_a_failure_of_broken_text_can_be_kept(world: World) -> None:
    """A file name that isn't UTF-8 is not DynamoDB's to keep: it takes UTF-8 only."""
    task_id = started(world).task_id

    record = world.records.finish(
        task_id, A, states.FAILURE, failure=Failure.of(OSError("no \udcff.txt"))
    )

    assert record.failure == Failure(type="OSError", message="no ?.txt")


def test_a_record_expires(aws: object) -> None:
    """DynamoDB's time-to-live wants seconds since 1970, as a number."""
    from celeriac.records import DynamoRecords

    settings, client = services().settings, services().dynamodb
    record = new_record(expires_at=1_900_000_000)
    DynamoRecords(client, settings.table_name).create(record)

    item = client.get_item(
        TableName=settings.table_name,
        Key={"pk": {"S": f"task#{record.task_id}"}, "sk": {"S": "task"}},
    )["Item"]
    expiry = client.describe_time_to_live(TableName=settings.table_name)["TimeToLiveDescription"]

    assert item[expiry["AttributeName"]] == {"N": "1900000000"}


def awaiting_its_canvas(world: World) -> TaskRecord:
    handed_on = world.records.hand_on(started(world).task_id, A)
    found = world.records.await_canvas(handed_on)
    assert found is not None
    return found


def released(world: World) -> TaskRecord:
    return world.records.release(started(world).task_id, A)


def told_to_stop(world: World) -> TaskRecord:
    answer = world.records.cancel(started(world).task_id)
    assert answer is not None
    return answer[1]


UNFINISHED = [*WAITING, *RUNNING, awaiting_its_canvas, released, told_to_stop]


@pytest.mark.parametrize(("further", "kept"), [(-1, 0), (0, 0), (1, 1), (86_400, 86_400)])
@stages(*UNFINISHED)
def test_an_unfinished_task_is_kept_for_longer_and_never_for_less(
    world: World, stage: Stage, further: int, kept: int
) -> None:
    """Nothing else changes: not even its version, since a caller sees no difference."""
    before = stage(world)
    expires_at = before.expires_at

    answer = world.sent_twice(lambda: world.records.keep(before.task_id, expires_at + further))

    assert answer == replace(before, expires_at=expires_at + kept)
    assert world.records.get(before.task_id) == answer


@stages(*TERMINAL)
def test_a_task_that_has_ended_expires_when_it_would_have(world: World, stage: Stage) -> None:
    """Unless it is asked for by name: a chord waits for what it gave."""
    before = stage(world)
    later = before.expires_at + 1

    assert world.records.keep(before.task_id, later) is None
    assert world.records.get(before.task_id) == before
    kept = world.records.keep(before.task_id, later, ended=True)
    assert kept == replace(before, expires_at=later)
    assert world.records.get(before.task_id) == kept


@pytest.mark.parametrize("ended", [False, True])
def test_a_record_that_has_expired_is_not_made_again(world: World, ended: bool) -> None:
    """An update of an item that isn't there would make one."""
    assert world.records.keep("gone", START, ended=ended) is None
    assert world.records.get("gone") is None


def test_a_task_that_is_kept_while_it_is_replaced_awaits_its_canvas(world: World) -> None:
    """The repair may come between the two writes that hand a task on to a canvas."""
    handed_on = world.records.hand_on(started(world).task_id, A)
    world.records.keep(handed_on.task_id, handed_on.expires_at + 1)

    assert world.records.await_canvas(handed_on) is not None
