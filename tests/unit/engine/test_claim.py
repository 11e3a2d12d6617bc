"""Claiming a task: who gets it, who doesn't, and what each is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from celeriac import states
from celeriac.records import (
    Claimed,
    ClaimLost,
    LostClaim,
    RecordStore,
    TaskRecord,
)
from celeriac.records.record import WITH_ITS_WORKER
from celeriac.storage.services import services
from tests.unit.engine.stages import (
    RUNNING,
    TERMINAL,
    WAITING,
    A,
    B,
    Stage,
    claimed,
    pending,
    stages,
    started,
)
from tests.unit.engine.support import LEASE, START, Timer, World


@stages(*WAITING)
def test_a_waiting_task_is_claimed(world: World, stage: Stage) -> None:
    """The claimed task is STARTED, ours, under a lease; nothing of an earlier attempt is left."""
    before = stage(world)

    answer = world.records.claim(before.task_id, before.attempt, B, START + 60_000)

    assert isinstance(answer, Claimed)
    record = answer.record
    assert (record.state, record.lease_owner, record.lease_until) == (
        states.STARTED,
        B,
        START + 60_000,
    )
    assert (record.started_at, record.attempt) == (START, before.attempt)
    assert (record.due_at, record.failure, record.progress, record.meta) == (None,) * 4
    assert record.version == before.version + 1
    assert world.records.get(record.task_id) == record


@stages(*WAITING, *RUNNING)
@pytest.mark.parametrize("shift", [-1, 1])
def test_a_message_of_another_attempt_claims_nothing(
    world: World, stage: Stage, shift: int
) -> None:
    """A late or an early message is told that it is stale."""
    before = stage(world)

    answer = world.records.claim(before.task_id, before.attempt + shift, B, START + 60_000)

    assert answer == ClaimLost(LostClaim.STALE, before)
    assert world.records.get(before.task_id) == before


@stages(*TERMINAL)
def test_a_task_that_is_over_is_never_claimed(world: World, stage: Stage, timer: Timer) -> None:
    """However long ago it ended, for any claimer."""
    before = stage(world)
    timer.advance(timedelta(days=1))

    for owner in (A, B):
        answer = world.records.claim(before.task_id, before.attempt, owner, timer.now + 60_000)
        assert answer == ClaimLost(LostClaim.OVER, before)
    assert world.records.get(before.task_id) == before


def test_an_absent_task_is_not_claimed(records: RecordStore) -> None:
    """A message whose submission was taken back leads nowhere."""
    assert records.claim("unknown", 1, A, START + 60_000) == ClaimLost(LostClaim.ABSENT, None)
    assert records.get("unknown") is None


@stages(*RUNNING)
def test_a_live_lease_keeps_others_away(world: World, stage: Stage, timer: Timer) -> None:
    """A second delivery is refused until the very end of the lease."""
    before = stage(world)
    timer.now = START + 59_999

    answer = world.records.claim(before.task_id, 1, B, timer.now + 60_000)

    assert answer == ClaimLost(LostClaim.HELD, before)
    assert world.records.get(before.task_id) == before


@stages(*RUNNING)
def test_a_lease_that_has_passed_is_taken_over(world: World, stage: Stage, timer: Timer) -> None:
    """The task starts again elsewhere, and the lost worker is counted."""
    before = stage(world)
    timer.advance(LEASE)

    record = claimed(world, before.task_id, 1, B)

    assert (record.state, record.lease_owner, record.attempt) == (states.STARTED, B, 1)
    assert (record.crashes, record.lost, record.loss) == (0, 1, WITH_ITS_WORKER)
    assert record.attempts == 2
    assert record.progress is None


def test_each_lost_worker_counts(world: World, timer: Timer) -> None:
    """A task that kills its workers can be told by the count."""
    task_id = started(world).task_id
    for owner in ("b", "c", "d"):
        timer.advance(LEASE)
        claimed(world, task_id, 1, owner)

    found = world.records.get(task_id)
    assert found is not None
    assert found.lost == 3


def test_a_worker_lost_before_it_could_begin_does_not_count(world: World, timer: Timer) -> None:
    """It had claimed the task ahead; the next one, which begins at once, does count."""
    task_id = pending(world).task_id
    world.records.claim(task_id, 1, A, START + 60_000, ahead=True)

    timer.advance(LEASE)
    assert claimed(world, task_id, 1, B).lost == 0
    timer.advance(LEASE)
    assert claimed(world, task_id, 1, "c").lost == 1


def test_a_process_that_dies_at_a_task_claimed_ahead_counts(world: World) -> None:
    """Its main process has seen it die at it."""
    task_id = pending(world).task_id
    world.records.claim(task_id, 1, A, START + 60_000, ahead=True)
    world.records.release(task_id, A, crash="signal 9 (SIGKILL)")

    record = claimed(world, task_id, 1, B)
    assert (record.crashes, record.lost, record.loss) == (1, 0, "signal 9 (SIGKILL)")
    assert (record.attempt, record.attempts) == (1, 2)


@stages(*RUNNING)
def test_a_cancelled_task_whose_worker_was_lost_ends(
    world: World, stage: Stage, timer: Timer
) -> None:
    """Nobody starts it again: the next claim writes REVOKED, and leaves the message alone."""
    before = stage(world)
    world.records.cancel(before.task_id)
    timer.advance(LEASE)

    answer = world.records.claim(before.task_id, 1, B, timer.now + 60_000)

    assert isinstance(answer, ClaimLost)
    assert answer.why is LostClaim.CANCELLED
    assert answer.record is not None
    assert (answer.record.state, answer.record.finished_at) == (states.REVOKED, timer.now)
    assert world.records.get(before.task_id) == answer.record


def test_a_cancelled_task_with_a_live_worker_is_left_to_it(world: World) -> None:
    """While the lease lives, its holder ends the task by itself."""
    before = started(world)
    world.records.cancel(before.task_id)

    answer = world.records.claim(before.task_id, 1, B, START + 60_000)

    assert isinstance(answer, ClaimLost)
    assert answer.why is LostClaim.HELD


def test_a_renewal_that_comes_late_saves_the_lease(
    aws: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that renews between the two writes of a take-over keeps the task.

    Cancelled or not, the message stays: should the holder die after all, somebody has to come
    back to the task.
    """
    from celeriac.records import DynamoRecords

    client, table = services().dynamodb, services().settings.table_name
    for cancelled in (False, True):
        timer = Timer()
        records = DynamoRecords(client, table, clock=timer)
        holder = World(DynamoRecords(client, table, clock=timer), timer)
        task_id = started(holder).task_id
        if cancelled:
            records.cancel(task_id)
        timer.advance(LEASE)
        update = records._table.update

        def renewed_meanwhile(
            *arguments: object,
            _update: Callable[..., TaskRecord] = update,
            _task_id: str = task_id,
            _holder: World = holder,
            **named: object,
        ) -> TaskRecord:
            try:
                return _update(*arguments, **named)
            finally:
                _holder.records.renew(_task_id, A, _holder.timer.now + 60_000)

        monkeypatch.setattr(records._table, "update", renewed_meanwhile)

        answer = records.claim(task_id, 1, B, timer.now + 60_000)

        assert isinstance(answer, ClaimLost)
        assert answer.why is LostClaim.HELD
        found = holder.records.get(task_id)
        assert found is not None
        assert found.lease_owner == A
