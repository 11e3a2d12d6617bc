"""Cancelling a task in each of its states."""

from __future__ import annotations

from celeriac import states
from celeriac.records import (
    Cancellation,
    RecordStore,
)
from tests.unit.engine.stages import (
    RUNNING,
    TERMINAL,
    WAITING,
    A,
    Stage,
    renew,
    report,
    stages,
    started,
)
from tests.unit.engine.support import START, Timer, World


@stages(*WAITING)
def test_a_waiting_task_ends_at_once(world: World, stage: Stage, timer: Timer) -> None:
    """No worker is needed to cancel what hasn't started."""
    task_id = stage(world).task_id
    timer.advance()

    answer = world.records.cancel(task_id)

    assert answer is not None
    outcome, record = answer
    assert outcome is Cancellation.ENDED
    assert (record.state, record.finished_at) == (states.REVOKED, timer.now)
    assert (record.due_at, record.failure) == (None, None)


@stages(*RUNNING)
def test_a_running_task_is_asked_to_stop(world: World, stage: Stage, timer: Timer) -> None:
    """The wish is written down, once; the task goes on until its worker sees it."""
    before = stage(world)
    first_wish = timer.advance()

    answer = world.records.cancel(before.task_id)
    timer.advance()
    again = world.records.cancel(before.task_id)

    assert answer is not None
    assert again is not None
    assert (answer[0], again[0]) == (Cancellation.STOPPING, Cancellation.STOPPING)
    assert again[1].cancel_requested_at == first_wish
    assert (again[1].state, again[1].lease_owner) == (before.state, A)


@stages(*RUNNING)
def test_the_holder_sees_the_wish_with_its_next_write(world: World, stage: Stage) -> None:
    """Renewals and reports answer with it: no read is needed."""
    task_id = stage(world).task_id
    world.records.cancel(task_id)

    assert renew(world.records, task_id, A).cancel_requested_at == START
    assert report(world.records, task_id, A).cancel_requested_at == START


@stages(*TERMINAL)
def test_a_task_that_is_over_cannot_be_cancelled(world: World, stage: Stage, timer: Timer) -> None:
    """The end stands."""
    before = stage(world)
    timer.advance()

    assert world.records.cancel(before.task_id) == (Cancellation.OVER, before)


def test_an_absent_task_cannot_be_cancelled(records: RecordStore) -> None:
    """No record is made of it."""
    assert records.cancel("unknown") is None
    assert records.get("unknown") is None


def test_a_cancelled_task_may_still_succeed(world: World) -> None:
    """Done before it saw the wish: the result is kept."""
    task_id = started(world).task_id
    world.records.cancel(task_id)

    assert world.records.finish(task_id, A, states.SUCCESS, result="=1").state == states.SUCCESS
