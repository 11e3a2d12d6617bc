"""What the holder of a lease may write, and that nobody else may."""

from __future__ import annotations

import pytest

from celeriac import states
from celeriac.records import (
    ClaimLost,
    Failure,
    LeaseLostError,
    LostClaim,
    NotRunningStateError,
    Progress,
    RecordStore,
)
from tests.unit.engine.stages import (
    FAILURE,
    HOLDERS_WRITES,
    RUNNING,
    SECOND,
    TERMINAL,
    WAITING,
    A,
    B,
    Stage,
    Write,
    claimed,
    fail,
    failed,
    hand_on,
    release,
    renew,
    report,
    retry,
    stages,
    started,
    succeeded,
    writes,
)
from tests.unit.engine.support import LEASE, START, Timer, World


def test_a_lease_is_renewed(world: World, timer: Timer) -> None:
    """The task stays its holder's, and another's claim is refused for longer."""
    before = started(world)
    timer.advance(LEASE - SECOND)

    record = world.records.renew(before.task_id, A, timer.now + 60_000)

    assert record.lease_until == timer.now + 60_000
    timer.advance(2 * SECOND)
    answer = world.records.claim(before.task_id, 1, B, timer.now + 60_000)
    assert answer == ClaimLost(LostClaim.HELD, record)


def test_progress_is_kept(world: World) -> None:
    """A report says how far the task is; one without numbers leaves the last ones."""
    task_id = started(world).task_id
    progress = Progress(current=1, total=3, message="digging")

    first = world.records.report(task_id, A, states.PROGRESS, progress=progress)
    second = world.records.report(task_id, A, "WATERING", meta='{"can": 2}')

    assert (first.state, first.progress) == (states.PROGRESS, progress)
    assert (second.state, second.progress, second.meta) == ("WATERING", progress, '{"can": 2}')
    assert second.running


@pytest.mark.parametrize("state", sorted(states.WAITING | states.TERMINAL))
def test_a_running_task_says_only_that_it_runs(world: World, state: str) -> None:
    """``update_state(state="PENDING")`` would open the task to others: it is refused."""
    before = started(world)

    with pytest.raises(NotRunningStateError, match=f"can't report the state '{state}'"):
        world.records.report(before.task_id, A, state)

    assert world.records.get(before.task_id) == before


def test_an_attempt_makes_room_for_the_next(world: World, timer: Timer) -> None:
    """The record waits for attempt 2 from its due time, says why, and nobody holds it."""
    task_id = started(world).task_id
    world.records.report(task_id, A, "X", progress=Progress(current=1, total=2), meta="1")

    record = world.records.retry(task_id, A, START + 5000, FAILURE, input="item:other")

    assert (record.state, record.attempt, record.due_at) == (states.RETRY, 2, START + 5000)
    assert (record.failure, record.input, record.lease_until) == (FAILURE, "item:other", None)
    assert (record.progress, record.meta) == (None, None)
    assert world.records.get(task_id) == record


def test_a_retry_keeps_the_input_it_was_not_given(world: World) -> None:
    """The next attempt gets what this one got."""
    before = started(world)

    assert world.records.retry(before.task_id, A, START, FAILURE).input == before.input


def test_a_cancelled_task_is_not_tried_again(world: World, timer: Timer) -> None:
    """An attempt that fails after its caller has asked for an end is the last: REVOKED."""
    task_id = started(world).task_id
    world.records.cancel(task_id)
    timer.advance(SECOND)

    record = world.records.retry(task_id, A, timer.now + 5000, FAILURE)

    assert (record.state, record.attempt, record.finished_at) == (states.REVOKED, 1, timer.now)
    assert world.records.get(task_id) == record


@pytest.mark.parametrize("crash", [None, "signal 11 (SIGSEGV)"])
def test_a_task_that_is_handed_back_is_claimable_at_once(world: World, crash: str | None) -> None:
    """A worker that drains loses nothing; a process that died counts against the task."""
    before = started(world)

    world.records.release(before.task_id, A, crash=crash)
    record = claimed(world, before.task_id, 1, B)

    assert (record.crashes, record.lost, record.loss) == (int(crash is not None), 0, crash)
    assert (record.lease_owner, record.attempt) == (B, 1)
    assert record.attempts == 1 + record.crashes


def test_a_cancelled_task_that_is_handed_back_ends(world: World) -> None:
    """Drained while being cancelled: the next claim writes REVOKED."""
    before = started(world)
    world.records.cancel(before.task_id)
    world.records.release(before.task_id, A)

    answer = world.records.claim(before.task_id, 1, B, START + 60_000)

    assert isinstance(answer, ClaimLost)
    assert answer.why is LostClaim.CANCELLED


def test_a_task_is_handed_on_to_what_replaces_it(world: World) -> None:
    """It waits again, as another attempt and of another type, and can be claimed at once."""
    before = started(world)

    handed_on = world.records.hand_on(before.task_id, A)
    sent = world.records.resend(before.task_id, type="sow", queue="files", input="=2")

    assert (handed_on.state, handed_on.lease_until) == (states.PENDING, None)
    assert sent is not None
    assert (sent.type, sent.queue, sent.input) == ("sow", "files", "=2")
    stale = world.records.claim(before.task_id, 1, B, START + 60_000)
    assert stale == ClaimLost(LostClaim.STALE, sent)
    record = claimed(world, before.task_id, 2, B)
    assert (record.type, record.lost, record.retries) == ("sow", 0, 0)


def test_what_replaces_a_task_has_all_its_own_attempts_and_no_more(world: World) -> None:
    """Refusals of a service, which don't count for the replaced task, are none of the new one's."""
    before = started(world)
    refused = Failure(type="RateLimited", message="too many")
    world.records.retry(before.task_id, A, START, refused, limited=True)
    claimed(world, before.task_id, 2, A)

    handed_on = world.records.hand_on(before.task_id, A)

    assert (handed_on.retries, handed_on.limited, handed_on.counted) == (0, 0, 0)


def test_a_task_that_awaits_a_canvas_is_its_last_parts(world: World) -> None:
    """Nobody claims it or sends it again as what it was, until that part is sent under its id."""
    task_id = started(world).task_id
    waiting = world.records.await_canvas(world.records.hand_on(task_id, A))

    assert waiting is not None
    assert world.records.resend(task_id) is None
    assert world.records.claim(task_id, 2, B, START + 60_000) == ClaimLost(LostClaim.STALE, waiting)
    sent = world.records.resend(task_id, type="sow", queue="files", input="=2")
    assert sent is not None
    assert claimed(world, task_id, 2, B).type == "sow"


def test_a_canvas_that_was_quicker_is_not_awaited(world: World) -> None:
    """Its last part was sent before the worker that began it could say that it is to come."""
    task_id = started(world).task_id
    handed_on = world.records.hand_on(task_id, A)
    sent = world.records.resend(task_id, type="sow", queue="files", input="=2")

    assert world.records.await_canvas(handed_on) is None
    assert world.records.get(task_id) == sent


@stages(*RUNNING)
@pytest.mark.parametrize(
    ("state", "result", "failure"),
    [
        (states.SUCCESS, "=1", None),
        (states.FAILURE, "=2", FAILURE),
        (states.REVOKED, None, None),
    ],
)
def test_a_holder_ends_its_task(
    world: World, stage: Stage, state: str, result: str | None, failure: Failure | None
) -> None:
    """The outcome is kept, and nobody holds the task any more."""
    task_id = stage(world).task_id

    record = world.records.finish(task_id, A, state, result=result, failure=failure, children="[1]")

    assert (record.state, record.result, record.failure) == (state, result, failure)
    assert (record.children, record.finished_at) == ("[1]", START)
    assert (record.lease_until, record.due_at, record.meta) == (None, None, None)
    assert record.terminal
    assert world.records.get(task_id) == record


@stages(*WAITING)
def test_a_waiting_task_can_be_ended_by_nobody_in_particular(world: World, stage: Stage) -> None:
    """A chain's later step fails with the step before it, without ever being claimed."""
    task_id = stage(world).task_id

    record = world.records.finish(task_id, None, states.FAILURE, failure=FAILURE)

    assert (record.state, record.failure, record.due_at) == (states.FAILURE, FAILURE, None)


@stages(*RUNNING, *TERMINAL)
def test_what_is_not_waiting_cannot_be_ended_by_nobody(
    world: World, stage: Stage, timer: Timer
) -> None:
    """A task that somebody holds, or that is over, stays as it is."""
    before = stage(world)
    timer.advance()

    with pytest.raises(LeaseLostError):
        world.records.finish(before.task_id, None, states.REVOKED)

    assert world.records.get(before.task_id) == before


@writes(*HOLDERS_WRITES)
def test_a_frozen_worker_that_wakes_up_changes_nothing(
    world: World, write: Write, timer: Timer
) -> None:
    """Fencing: once another worker has taken over, the first one's writes are refused."""
    before = started(world)
    timer.advance(LEASE)
    taken_over = claimed(world, before.task_id, 1, B)

    with pytest.raises(LeaseLostError) as refused:
        write(world.records, before.task_id, A)

    assert refused.value.now_is == taken_over
    assert world.records.get(before.task_id) == taken_over


@writes(*HOLDERS_WRITES)
@stages(*TERMINAL)
def test_the_end_is_the_end(world: World, stage: Stage, write: Write, timer: Timer) -> None:
    """No write of another worker changes a task that is over."""
    before = stage(world)
    timer.advance()

    with pytest.raises(LeaseLostError):
        write(world.records, before.task_id, B)

    assert world.records.get(before.task_id) == before


@writes(renew, report, retry, release, hand_on)
@stages(succeeded, failed)
def test_the_end_is_the_end_for_its_own_worker_too(
    world: World, stage: Stage, write: Write
) -> None:
    """What the holder still wanted to say comes too late."""
    before = stage(world)

    with pytest.raises(LeaseLostError):
        write(world.records, before.task_id, A)

    assert world.records.get(before.task_id) == before


def test_a_success_is_not_followed_by_a_failure(world: World) -> None:
    """The first of two ends by one worker stands."""
    before = succeeded(world)

    with pytest.raises(LeaseLostError):
        fail(world.records, before.task_id, A)

    assert world.records.get(before.task_id) == before


@writes(*HOLDERS_WRITES)
@stages(*WAITING)
def test_a_waiting_task_is_nobodys(world: World, stage: Stage, write: Write) -> None:
    """Only a claim makes a task one's own."""
    before = stage(world)

    with pytest.raises(LeaseLostError):
        write(world.records, before.task_id, B)

    assert world.records.get(before.task_id) == before


@writes(*HOLDERS_WRITES)
def test_an_absent_task_is_nobodys(records: RecordStore, write: Write) -> None:
    """No write makes a record out of nothing."""
    with pytest.raises(LeaseLostError) as refused:
        write(records, "unknown", A)

    assert refused.value.now_is is None
    assert records.get("unknown") is None
