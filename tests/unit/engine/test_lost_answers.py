"""A write whose answer was lost is sent again, and comes to the same."""

from __future__ import annotations

import pytest

from celeriac import states
from celeriac.records import (
    Cancellation,
    Claimed,
    ClaimLost,
    RecordExistsError,
)
from tests.unit.engine.stages import (
    HOLDERS_WRITES,
    WAITING,
    A,
    B,
    Stage,
    Write,
    hand_on,
    pending,
    retry,
    stages,
    started,
    waiting_for_retry,
    writes,
)
from tests.unit.engine.support import LEASE, START, Timer, World, new_record


def test_a_creation_sent_twice_finds_itself(world: World) -> None:
    """The submitter sees its own record, and can tell."""
    record = new_record()

    with pytest.raises(RecordExistsError) as refused:
        world.sent_twice(lambda: world.records.create(record))

    assert refused.value.existing == record


@stages(*WAITING)
def test_a_claim_sent_twice_is_one_claim(world: World, stage: Stage) -> None:
    """The worker that has the task is not told that somebody else has it."""
    before = stage(world)

    answer = world.sent_twice(
        lambda: world.records.claim(before.task_id, before.attempt, B, START + 60_000)
    )

    assert isinstance(answer, Claimed)
    assert answer.record.version == before.version + 1


def test_a_take_over_sent_twice_counts_one_loss(world: World, timer: Timer) -> None:
    """The second sending finds the task taken over by its own sender."""
    before = started(world)
    timer.advance(LEASE)

    def take_over() -> Claimed | ClaimLost:
        return world.records.claim(before.task_id, 1, B, timer.now + 60_000)

    answer = world.sent_twice(take_over)

    assert isinstance(answer, Claimed)
    assert answer.record.lost == 1


@writes(*HOLDERS_WRITES)
def test_a_holders_write_sent_twice_succeeds(world: World, write: Write) -> None:
    """Whatever the holder wrote, once is what comes of it."""
    before = started(world)

    record = world.sent_twice(lambda: write(world.records, before.task_id, A))

    assert record.attempt == before.attempt + (write in (retry, hand_on))
    assert world.records.get(before.task_id) == record


def test_awaiting_a_canvas_sent_twice_succeeds(world: World) -> None:
    """The second sending finds the task awaiting it."""
    handed_on = world.records.hand_on(started(world).task_id, A)

    record = world.sent_twice(lambda: world.records.await_canvas(handed_on))

    assert record is not None
    assert record.awaits
    assert world.records.get(record.task_id) == record


def test_an_end_by_nobody_sent_twice_succeeds(world: World) -> None:
    """The second sending finds the end it asked for."""
    task_id = pending(world).task_id

    record = world.sent_twice(lambda: world.records.finish(task_id, None, states.FAILURE))

    assert record.state == states.FAILURE


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        (pending, Cancellation.ENDED),
        (waiting_for_retry, Cancellation.ENDED),
        (started, Cancellation.STOPPING),
    ],
)
def test_a_cancellation_sent_twice_answers_as_once(
    world: World, stage: Stage, outcome: Cancellation
) -> None:
    """The caller is not told that somebody else had been quicker."""
    task_id = stage(world).task_id

    answer = world.sent_twice(lambda: world.records.cancel(task_id))

    assert answer is not None
    assert answer[0] is outcome


def test_taking_back_sent_twice_succeeds(world: World) -> None:
    """The record is gone, which is what was wanted."""
    task_id = pending(world).task_id

    assert world.sent_twice(lambda: world.records.discard(task_id)) is True
    assert world.records.get(task_id) is None
