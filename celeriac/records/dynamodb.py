"""Task records on DynamoDB: each transition is one conditional write.

Two workers and a caller may act on one task at once. This is what the conditions keep apart:

    worker A    claim ✓ ───── runs ───── (freezes) ················· finish ✗  LeaseLostError
    lease       ├──────────────────────┤ passed
    worker B                               claim ✓ ── runs ── finish ✓
    caller                        cancel → asks B to stop       cancel → OVER

Only the holder of the lease may write, and a terminal state is never left. If the answer to a
write is lost, botocore sends the write again: a refused write whose record already carries our own
owner and the state we asked for has succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celeriac import clock, states
from celeriac.clock import Clock, Millis
from celeriac.records.expressions import (
    ENDED,
    EXISTS,
    NOT_AWAITING,
    NOT_CANCELLED,
    NOT_ENDED,
    RUNNING,
    UNSENT,
    WAITING,
    Condition,
    attempt_is,
    expires_before,
    held_by,
    lease_passed,
    unheld,
    version_is,
)
from celeriac.records.items import to_item
from celeriac.records.record import WITH_ITS_WORKER, Failure, Progress, TaskRecord
from celeriac.records.store import (
    Cancellation,
    Claimed,
    ClaimLost,
    Entry,
    LeaseLostError,
    LostClaim,
    OpenTask,
    Position,
    check_running_state,
    is_free,
    judge,
)
from celeriac.records.table import RefusedError, Table
from celeriac.topology import OPEN_SHARDS, UNFINISHED, IndexShape

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: A task's entry in the index of unfinished ones. The write that ends the task removes it.
_OPEN = (UNFINISHED.partition_key, UNFINISHED.sort_key)


class DynamoRecords:
    """Implements ``RecordStore``. ``shards`` spreads each tenant's listing."""

    def __init__(
        self, client: DynamoDBClient, table: str, *, shards: int = 1, clock: Clock = clock.now
    ) -> None:
        self._table = Table(client, table)
        self.shards = shards
        self._now = clock

    def create(self, record: TaskRecord) -> None:
        self._table.put_new(to_item(record, self.shards))

    def get(self, task_id: str) -> TaskRecord | None:
        return self._table.get(task_id)

    def get_many(self, task_ids: Iterable[str]) -> dict[str, TaskRecord]:
        return self._table.get_many(task_ids)

    def discard(self, task_id: str) -> bool:
        try:
            self._table.delete(task_id, UNSENT)
        except RefusedError:
            return False
        return True

    def forget(self, task_id: str) -> bool:
        try:
            self._table.delete(task_id, ENDED)
        except RefusedError:
            return False
        return True

    def resend(
        self,
        task_id: str,
        *,
        type: str | None = None,
        queue: str | None = None,
        input: str | None = None,
    ) -> TaskRecord | None:
        now = self._now()
        changes = {"type": type, "queue": queue, "input": input, "resent_at": now}
        condition, leftovers = (unheld(now), ()) if type is None else (WAITING, ("awaits",))
        try:
            return self._table.update(
                task_id, condition, changes, add={"resent": 1}, remove=leftovers
            )
        except RefusedError:
            return None

    def claim(
        self, task_id: str, attempt: int, owner: str, until: Millis, *, ahead: bool = False
    ) -> Claimed | ClaimLost:
        now = self._now()
        changes: dict[str, Any] = {
            "state": states.STARTED,
            "lease_owner": owner,
            "lease_until": until,
            "started_at": now,
            "ahead": ahead or None,
        }
        leftovers: tuple[str, ...] = ("progress", "meta", "due_at", "failure", "resent_at")
        if not ahead:
            leftovers += ("ahead",)
        ours = attempt_is(attempt)
        try:
            waits = WAITING & NOT_AWAITING & ours
            return Claimed(self._table.update(task_id, waits, changes, remove=leftovers))
        except RefusedError as refused:
            found = refused.found
        judgement = judge(found, attempt, owner, now)
        if isinstance(judgement, ClaimLost) and judgement.why is LostClaim.CANCELLED:
            return self._revoke_orphan(task_id, now)
        if judgement is not None:
            return judgement
        # The lease has passed: its worker is dead, or frozen for longer than it had promised.
        # No owner means that it was handed back: by a worker that had to stop, or by one that saw
        # its process die, and has counted that.
        lost: dict[str, int] = {}
        if found and found.lease_owner and not found.ahead:
            lost = {"lost": 1}
            changes["loss"] = WITH_ITS_WORKER
        try:
            return Claimed(
                self._table.update(
                    task_id,
                    lease_passed(now, cancelled=False) & ours,
                    changes,
                    remove=leftovers,
                    add=lost,
                )
            )
        except RefusedError as refused:
            # Somebody was quicker. A renewal that came late counts as a live lease.
            again = judge(refused.found, attempt, owner, now)
            return again or ClaimLost(LostClaim.HELD, refused.found)

    def _revoke_orphan(self, task_id: str, now: Millis) -> ClaimLost:
        """End a cancelled task whose worker didn't live to do it."""
        changes = {"state": states.REVOKED, "finished_at": now}
        passed = lease_passed(now, cancelled=True)
        try:
            ended = self._table.update(task_id, passed, changes, remove=_OPEN)
        except RefusedError as refused:
            # It lives after all, and has renewed its lease; or somebody was quicker.
            why = LostClaim.OVER if refused.found and refused.found.terminal else LostClaim.HELD
            return ClaimLost(why, refused.found)
        return ClaimLost(LostClaim.CANCELLED, ended)

    def renew(self, task_id: str, owner: str, until: Millis) -> TaskRecord:
        return self._held(task_id, owner, {"lease_until": until})

    def report(
        self,
        task_id: str,
        owner: str,
        state: str,
        *,
        progress: Progress | None = None,
        meta: str | None = None,
    ) -> TaskRecord:
        check_running_state(state)
        return self._held(task_id, owner, {"state": state, "progress": progress, "meta": meta})

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
        changes = {
            "state": states.RETRY,
            "due_at": due_at,
            "failure": failure,
            "input": input,
            "expires_at": expires_at,
        }
        try:
            return self._held(
                task_id,
                owner,
                changes,
                condition=NOT_CANCELLED,
                add={"attempt": 1, "limited": 1} if limited else {"attempt": 1},
                remove=("lease_until", "progress", "meta"),
            )
        except LeaseLostError as refused:
            found = refused.now_is
            if found is None or found.lease_owner != owner:
                raise
            if found.cancel_requested_at is None and found.state != states.REVOKED:
                raise
        return self.finish(task_id, owner, states.REVOKED)

    def release(self, task_id: str, owner: str, *, crash: str | None = None) -> TaskRecord:
        # A lease that has an owner and has passed is one whose worker was lost.
        changes = {"lease_until": 0, "loss": crash}
        add = {"crashes": 1} if crash else {}
        try:
            return self._held(task_id, owner, changes, remove=("lease_owner", "ahead"), add=add)
        except LeaseLostError as refused:
            if refused.now_is is None or not is_free(refused.now_is):
                raise
            # Our own write, whose answer was lost on the way.
            return refused.now_is

    def hand_on(self, task_id: str, owner: str) -> TaskRecord:
        leftovers = ("lease_until", "progress", "meta", "limited")
        return self._held(
            task_id,
            owner,
            {"state": states.PENDING},
            remove=leftovers,
            add={"attempt": 1},
            copies={"first_attempt": "attempt + :add_attempt"},
        )

    def await_canvas(self, handed_on: TaskRecord) -> TaskRecord | None:
        unchanged = WAITING & version_is(handed_on.version)
        try:
            return self._table.update(handed_on.task_id, unchanged, {"awaits": True})
        except RefusedError as refused:
            found = refused.found
            if found and (found.version, found.awaits) == (handed_on.version + 1, True):
                # Our own write, whose answer was lost on the way.
                return found
            return None

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
        changes: dict[str, Any] = {
            "state": state,
            "finished_at": self._now(),
            "result": result,
            "failure": failure,
            "children": children,
        }
        leftovers: tuple[str, ...] = ("lease_until", "due_at", "meta", "ahead", *_OPEN)
        if failure is None:
            leftovers += ("failure",)
        copies = {"failed_pk": "list_pk"} if state == states.FAILURE else {}
        if owner is not None:
            return self._held(task_id, owner, changes, remove=leftovers, copies=copies)
        try:
            return self._table.update(task_id, WAITING, changes, remove=leftovers, copies=copies)
        except RefusedError as refused:
            found = refused.found
            if found and (found.state, found.finished_at) == (state, changes["finished_at"]):
                # Our own write, whose answer was lost on the way.
                return found
            raise LeaseLostError(task_id, "nobody", found) from None

    def keep(self, task_id: str, expires_at: int, *, ended: bool = False) -> TaskRecord | None:
        # repair     reads: PENDING ────────────── keep ✗ ended: expires when it would have
        # worker            claim ✓ ── finish ✓
        #
        # repair     reads: STARTED ──────── keep ✓
        # worker            hand_on ✓ ── sends a canvas ── await_canvas ✓ the version is the same
        longer = (EXISTS if ended else NOT_ENDED) & expires_before(expires_at)
        try:
            changes = {"expires_at": expires_at}
            return self._table.update(task_id, longer, changes, add={"version": 0})
        except RefusedError as refused:
            # Another repair was quicker, or the answer to this one was lost on the way.
            found = refused.found
            return found if found is not None and (ended or not found.terminal) else None

    def cancel(self, task_id: str) -> tuple[Cancellation, TaskRecord] | None:
        # A waiting task may be claimed, and a running one handed back, between the two writes:
        # then both are refused and the round is made again, against the newer state.
        while True:
            now = self._now()
            try:
                ended = self._table.update(
                    task_id,
                    WAITING,
                    {"state": states.REVOKED, "finished_at": now},
                    remove=("due_at", "failure", *_OPEN),
                )
            except RefusedError as refused:
                found = refused.found
            else:
                return Cancellation.ENDED, ended
            if found is None:
                return None
            if (found.state, found.finished_at) == (states.REVOKED, now):
                # Our own write, whose answer was lost on the way.
                return Cancellation.ENDED, found
            if found.terminal:
                return Cancellation.OVER, found
            try:
                asked = self._table.update(
                    task_id,
                    RUNNING,
                    {"cancel_requested_at": found.cancel_requested_at or now},
                )
            except RefusedError:
                continue
            return Cancellation.STOPPING, asked

    def note_mail_events(self, task_id: str) -> TaskRecord | None:
        try:
            return self._table.update(task_id, EXISTS, {"mail_events": True})
        except RefusedError:
            return None

    def newest(self, index: IndexShape, position: Position, limit: int) -> list[Entry]:
        return self._table.newest(index, position, limit)

    def count_unfinished(self, tenant: str) -> int:
        return sum(self._table.count_open(shard, tenant) for shard in range(OPEN_SHARDS))

    def unfinished(self) -> Iterator[OpenTask]:
        for shard in range(OPEN_SHARDS):
            yield from self._table.open_tasks(shard)

    def _held(
        self,
        task_id: str,
        owner: str,
        changes: Mapping[str, Any],
        *,
        condition: Condition | None = None,
        add: Mapping[str, int] | None = None,
        remove: tuple[str, ...] = (),
        copies: Mapping[str, str] | None = None,
    ) -> TaskRecord:
        """A write that only the holder of the lease may make."""
        held = held_by(owner) & condition if condition else held_by(owner)
        try:
            return self._table.update(task_id, held, changes, add=add, remove=remove, copies=copies)
        except RefusedError as refused:
            found = refused.found
            if found and found.lease_owner == owner and found.state == changes.get("state"):
                # Our own write, whose answer was lost on the way.
                return found
            raise LeaseLostError(task_id, owner, found) from None
