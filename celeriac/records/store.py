"""The transitions of a task record: what each needs to hold, and what it answers.

Every method is one conditional write (or one read). A write that is repeated because its answer
was lost is recognised by its owner and succeeds again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from celeriac import states
from celeriac.clock import Millis
from celeriac.contract.errors import Picklable
from celeriac.records.record import Failure, Progress, TaskRecord
from celeriac.topology import IndexShape


class RecordExistsError(Picklable, Exception):
    """There is a record of this task already; ``existing`` is that record."""

    def __init__(self, existing: TaskRecord) -> None:
        super().__init__(f"Task {existing.task_id} has been submitted before.")
        self.existing = existing


class LeaseLostError(Picklable, Exception):
    """This attempt no longer holds the task: another took over, or the task has ended."""

    def __init__(self, task_id: str, owner: str, now_is: TaskRecord | None) -> None:
        state = f"{now_is.state}, held by {now_is.lease_owner}" if now_is else "gone"
        super().__init__(f"{owner} no longer holds task {task_id}: it is {state}.")
        self.task_id = task_id
        self.owner = owner
        self.now_is = now_is


class NotRunningStateError(Picklable, ValueError):
    """A running task can't say that it is in this state: it would be free for others to claim."""

    def __init__(self, state: str) -> None:
        super().__init__(
            f"A running task can't report the state {state!r}. Use PROGRESS, or a name of your own."
        )
        self.state = state


@dataclass(frozen=True)
class Claimed:
    """The task is ours, under a lease."""

    record: TaskRecord


class LostClaim(Enum):
    """Why a claim was lost."""

    ABSENT = "the task has no record: its submission failed, or it has expired"
    OVER = "the task has ended"
    HELD = "another worker holds a live lease"
    CANCELLED = "its worker was lost after the caller had cancelled it"
    STALE = "the message is of another attempt"


@dataclass(frozen=True)
class ClaimLost:
    """The task is not ours, and why. ``record`` is as the claim found it."""

    why: LostClaim
    record: TaskRecord | None


class Cancellation(Enum):
    """What a cancellation came to."""

    ENDED = "it hadn't started: it is REVOKED now"
    STOPPING = "it is running: its worker has been told"
    OVER = "it had ended already"


def judge(
    found: TaskRecord | None, attempt: int, owner: str, now: Millis
) -> Claimed | ClaimLost | None:
    """What a refused claim means; None where the lease has passed: the task may be taken over."""
    if found is None:
        return ClaimLost(LostClaim.ABSENT, None)
    if found.terminal:
        return ClaimLost(LostClaim.OVER, found)
    if found.attempt != attempt or not found.running:
        return ClaimLost(LostClaim.STALE, found)
    if found.lease_owner == owner:
        # Our own claim, whose answer was lost on the way.
        return Claimed(found)
    if found.lease_until is not None and found.lease_until > now:
        return ClaimLost(LostClaim.HELD, found)
    if found.cancel_requested_at is not None:
        return ClaimLost(LostClaim.CANCELLED, found)
    return None


def is_free(found: TaskRecord) -> bool:
    """Whether a running task has been handed back, and nobody has claimed it since."""
    return found.running and found.lease_owner is None


def check_running_state(state: str) -> None:
    """Raises ``NotRunningStateError`` for a state in which a task isn't running."""
    if state in states.WAITING | states.TERMINAL:
        raise NotRunningStateError(state)


@dataclass(frozen=True)
class Position:
    """Where a listing goes on: below this listing key, in this tenant's shard."""

    tenant: str
    shard: int
    below: str | None
    created_after: Millis | None = None


@dataclass(frozen=True)
class Entry:
    """What an index keeps of a task: what never changes."""

    listing_key: str
    task_id: str
    type: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class OpenTask:
    """What the index of unfinished tasks keeps of one."""

    task_id: str
    created_at: Millis


class RecordStore(Protocol):
    """Where task records live: DynamoDB, or memory in tests."""

    #: Over how many partitions each tenant's listing is spread.
    shards: int

    def create(self, record: TaskRecord) -> None:
        """Write a new record. Raises ``RecordExistsError`` if the task has one."""

    def get(self, task_id: str) -> TaskRecord | None:
        """The record as of now (a strongly consistent read)."""

    def get_many(self, task_ids: Iterable[str]) -> dict[str, TaskRecord]:
        """The records there are, by task id."""

    def discard(self, task_id: str) -> bool:
        """Take back a record whose message could not be sent.

        False if somebody has claimed it or had it sent again: then the task is accepted.
        """

    def forget(self, task_id: str) -> bool:
        """Remove the record of a task that has ended; False if it hasn't."""

    def resend(
        self,
        task_id: str,
        *,
        type: str | None = None,
        queue: str | None = None,
        input: str | None = None,
    ) -> TaskRecord | None:
        """Note that an unfinished task's message is sent again; None if it needs none.

        It needs none once it has ended, and while a worker's lease lasts. Comes before the sending,
        so that a ``discard`` by the first sender fails. What replaces a task under its id gives its
        own type, queue and input; until then a task that ``awaits`` it has no message.
        """

    def claim(
        self, task_id: str, attempt: int, owner: str, until: Millis, *, ahead: bool = False
    ) -> Claimed | ClaimLost:
        """Make an attempt one's own, under a lease that lasts ``until``.

        ``ahead`` says that no process is free for it yet: should its worker be lost, that doesn't
        count against the task. A task whose worker was lost after its caller had cancelled it
        becomes REVOKED instead.
        """

    def renew(self, task_id: str, owner: str, until: Millis) -> TaskRecord:
        """Hold on for longer. Raises ``LeaseLostError``."""

    def report(
        self,
        task_id: str,
        owner: str,
        state: str,
        *,
        progress: Progress | None = None,
        meta: str | None = None,
    ) -> TaskRecord:
        """Say how far a running task is.

        Raises:
            LeaseLostError: this attempt no longer holds the task.
            NotRunningStateError: a running task can't be in this state.
        """

    def retry(
        self,
        task_id: str,
        owner: str,
        due_at: Millis,
        failure: Failure,
        *,
        input: str | None = None,
        expires_at: int | None = None,
        limited: bool = False,
    ) -> TaskRecord:
        """End this attempt and make room for the next, with another input if one is given.

        ``limited``: a service refused this attempt, which doesn't count. ``expires_at``, in
        seconds since 1970, keeps the record for longer: the next attempt is due later.

        A task whose caller has asked for an end becomes REVOKED instead: nobody wants another
        attempt. Raises ``LeaseLostError``.
        """

    def release(self, task_id: str, owner: str, *, crash: str | None = None) -> TaskRecord:
        """Give a running task back unfinished, claimable at once.

        ``crash`` says how its process died, which counts against the task. Raises
        ``LeaseLostError``.
        """

    def hand_on(self, task_id: str, owner: str) -> TaskRecord:
        """Make a running task wait again, for the task that replaces it under its id.

        Counts as another attempt, so that a second delivery of the old message claims nothing.
        What replaces the task has all the attempts of its own type, whatever was refused before.
        Raises ``LeaseLostError``.
        """

    def await_canvas(self, handed_on: TaskRecord) -> TaskRecord | None:
        """Note that what replaces a task is a canvas, and has been sent; its last part comes later.

        Until then nothing can be claimed or sent again under the task's id. None if anything has
        happened to the record since it was handed on: that part may have been sent already.
        """

    def finish(
        self,
        task_id: str,
        owner: str | None,
        state: str,
        *,
        result: str | None = None,
        failure: Failure | None = None,
        children: str | None = None,
    ) -> TaskRecord:
        """End the task. Without an owner only a waiting task can be ended.

        Raises ``LeaseLostError``.
        """

    def keep(self, task_id: str, expires_at: int, *, ended: bool = False) -> TaskRecord | None:
        """Keep the record of an unfinished task until ``expires_at`` at least.

        In seconds since 1970. It is no transition: state and version stay. None if there is no
        record, or if the task has ended; ``ended`` keeps that of an ended task too.
        """

    def cancel(self, task_id: str) -> tuple[Cancellation, TaskRecord] | None:
        """End a waiting task, or ask a running one to stop; None if there is no such task."""

    def note_mail_events(self, task_id: str) -> TaskRecord | None:
        """Note that there is news of the task's mail, whatever its state; None without a record."""

    def newest(self, index: IndexShape, position: Position, limit: int) -> list[Entry]:
        """What an index holds below a position, newest first, at most ``limit`` entries."""

    def count_unfinished(self, tenant: str) -> int:
        """How many of a tenant's tasks have not ended, as the index knew a moment ago."""

    def unfinished(self) -> Iterator[OpenTask]:
        """The tasks of all tenants that have not ended, and maybe some that have just ended."""
