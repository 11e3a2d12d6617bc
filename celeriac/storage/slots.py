"""What runs under a limit: one item names it all, and no more than fit.

A task takes a slot before it is claimed, and its worker frees it when the attempt has ended:

    max_running 1
    worker A     take ✓ ── claim ── runs ───── finish ── free ✓
    worker B               take ✗ full ·················   take ✓ ── claim ── runs ── (killed)
    worker C                                               take ✗ full ···· looks: B's lease ended
                                                                            evict B ✓ ── take ✓

DynamoDB counts and adds in one step, so two workers never take the last slot. A slot carries the
task's id, and a tag of the delivery that took it. So a task takes one however often it asks, a
second delivery of its message can't free the first one's, and nobody renews anything: whether a
holder still runs is what its record's lease says. A holder that has yet to be claimed is left alone
for half a lease; a worker that claims later than that doesn't run the task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.clock import Clock, Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.records import RecordStore, TaskRecord
from celeriac.records.updates import Updates
from celeriac.storage.line import Later, Place, has_place, next_place, refused
from celeriac.topology import LIMITS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: How often, at most, the holders of a full limit are looked up.
LOOK_INTERVAL = timedelta(seconds=2)
#: The pace of a line: a freed slot is asked for within the slowest, whatever waits.
FIRST_PACE = timedelta(milliseconds=20)
FASTEST_PACE = timedelta(milliseconds=10)
SLOWEST_PACE = timedelta(seconds=1)
#: A little faster than slots were freed lately, so that none stays free.
_HASTE = 0.8
#: The pace is measured over so long.
_MEASURED = timedelta(seconds=5)
_STALE = timedelta(minutes=1)
#: A task asks again after so long at the latest: tasks may have become shorter.
LONGEST_WAIT = timedelta(seconds=30)
#: How long an item outlives the last start; tasks run for 11 hours at most.
_KEPT = timedelta(days=2)
#: Before a holder's task id: the other attributes have no such name.
_HOLDER = "h."
#: Two deliveries that ask at once see each other's changes after so many tries.
_TRIES = 5


class Slots:
    """The slots of a deployment's limits."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        records: RecordStore,
        *,
        lease: timedelta,
        clock: Clock = clock.now,
    ) -> None:
        self._updates = Updates(client)
        self._refusal = client.exceptions.ConditionalCheckFailedException
        self._table = table
        self._records = records
        self._now = clock
        #: A slot that was taken is its holder's for so long without a claim.
        self.claim_within = lease / 2

    def take(
        self, scope: str, most: int, task_id: str, owner: str, place: Place | None
    ) -> Later | None:
        """Take a slot for a delivery of a task; None if it has one, or when to ask again.

        A task that has ended gets none and needs none: its claim will say so.

        Raises:
            botocore.exceptions.ClientError: DynamoDB refuses for now, or has no permission.
            botocore.exceptions.BotoCoreError: DynamoDB can't be reached.
        """
        for _ in range(_TRIES):
            found = self._enter(scope, most, task_id, owner)
            if found is None:
                return None
            holder = found.get(f"{_HOLDER}{task_id}")
            if holder is None:
                if self._evict(scope, found):
                    continue
                return self._line_up(scope, found, place)
            taken_over = self._take_over(scope, task_id, owner, holder)
            if taken_over is not None:
                return None if taken_over else _soon(self._now(), place)
        return _soon(self._now(), place)

    def free(self, scope: str, task_id: str, owner: str) -> None:
        """Free a delivery's slot, if it still has one. Raises as ``take``."""
        self._remove(scope, task_id, "begins_with(#holder, :tag)", {":tag": _tag(owner)})

    def _enter(self, scope: str, most: int, task_id: str, owner: str) -> dict[str, Any] | None:
        """Take a free slot; otherwise the item that has none, or has this task."""
        now = self._now()
        try:
            self._update(
                scope,
                "SET #holder = :holder, #expires_at = :expires_at ADD #running :one, #starts :one",
                "attribute_not_exists(#holder) "
                "AND (attribute_not_exists(#running) OR #running < :most)",
                {
                    ":holder": self._holder(owner, now),
                    ":expires_at": (now + clock.millis(_KEPT)) // 1000,
                    ":one": 1,
                    ":most": most,
                },
                task_id,
            )
        except self._refusal as error:
            return unmarshal(error.response["Item"])  # type: ignore[typeddict-item]
        return None

    def _take_over(self, scope: str, task_id: str, owner: str, holder: str) -> bool | None:
        """Whether the slot that this task has is this delivery's now; None if it has changed.

        delivery A   take ✓ ── claim ── runs ── (killed) ···· lease ended
        delivery B              take: A runs ✗                 take: A's ✓ ── claim ── runs
        """
        now = self._now()
        ours = holder.startswith(_tag(owner))
        if not ours:
            record = self._records.get(task_id)
            if record is None or record.terminal:
                return True
            if _leased(record, now) or _until(holder) > now:
                return False
        elif _until(holder) > now:
            return True
        try:
            self._update(
                scope,
                "SET #holder = :holder",
                "#holder = :before",
                {":holder": self._holder(owner, now), ":before": holder},
                task_id,
            )
        except self._refusal:
            return None
        return True

    def _evict(self, scope: str, found: Mapping[str, Any]) -> bool:
        """Free the slots of tasks that have ended, or whose worker is gone; whether any was."""
        now = self._now()
        holders = {
            name.removeprefix(_HOLDER): value
            for name, value in found.items()
            if name.startswith(_HOLDER) and _until(value) <= now
        }
        looked_at = found.get("looked_at", 0)
        if not holders or looked_at + clock.millis(LOOK_INTERVAL) > now:
            return False
        if not self._note_look(scope, found, now):
            return False
        records = self._records.get_many(holders)
        gone = [each for each in holders if not _runs(records.get(each), now)]
        freed = [
            self._remove(scope, each, "#holder = :before", {":before": holders[each]})
            for each in gone
        ]
        return any(freed)

    def _note_look(self, scope: str, found: Mapping[str, Any], now: Millis) -> bool:
        """Whether it is this worker that looks: others needn't at the same time."""
        condition, values = "attribute_not_exists(#looked_at)", {}
        if "looked_at" in found:
            condition, values = "#looked_at = :before", {":before": found["looked_at"]}
        try:
            self._update(scope, "SET #looked_at = :now", condition, {":now": now, **values})
        except self._refusal:
            return False
        return True

    def _remove(self, scope: str, task_id: str, condition: str, values: Mapping[str, Any]) -> bool:
        try:
            self._update(
                scope,
                "REMOVE #holder ADD #running :minus_one",
                condition,
                {":minus_one": -1, **values},
                task_id,
            )
        except self._refusal:
            return False
        return True

    def _line_up(self, scope: str, found: Mapping[str, Any], place: Place | None) -> Later:
        now = self._now()
        if not has_place(place):
            pace, measured = _pace(found, now)
            at = next_place(found.get("line", 0), pace, now + clock.millis(pace))
            values: dict[str, Any] = {":line": at, ":pace": clock.millis(pace)}
            update = "SET #line = :line, #pace = :pace"
            if measured:
                values |= {":now": now, ":starts": found["starts"]}
                update += ", #seen_at = :now, #seen_starts = :starts"
            self._update(scope, update, "attribute_exists(#running)", values)
            place = Place(at)
        return refused(place, now, now, LONGEST_WAIT)

    def _holder(self, owner: str, now: Millis) -> str:
        return f"{_tag(owner)} {now + clock.millis(self.claim_within)}"

    def _update(
        self,
        scope: str,
        update: str,
        condition: str,
        values: Mapping[str, Any],
        task_id: str | None = None,
    ) -> None:
        names = {f"#{each}": each for each in _ATTRIBUTES if f"#{each}" in f"{update} {condition}"}
        if task_id is not None:
            names["#holder"] = f"{_HOLDER}{task_id}"
        self._updates.update_item(
            {
                "TableName": self._table,
                "Key": marshal({"pk": f"{LIMITS}{scope}", "sk": "running"}),
                "UpdateExpression": update,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": marshal(values),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        )


_ATTRIBUTES = (
    "expires_at",
    "line",
    "looked_at",
    "pace",
    "running",
    "seen_at",
    "seen_starts",
    "starts",
)


def _tag(owner: str) -> str:
    """Which delivery has a slot, in few bytes: each write is billed by the size of the item."""
    return hashlib.blake2s(owner.encode(), digest_size=5).hexdigest()


def _until(holder: str) -> Millis:
    """Until when a slot is its holder's without a claim."""
    return int(holder.rpartition(" ")[2])


def _leased(record: TaskRecord, now: Millis) -> bool:
    return record.running and (record.lease_until or 0) > now


def _runs(record: TaskRecord | None, now: Millis) -> bool:
    return record is not None and _leased(record, now)


def _soon(now: Millis, place: Place | None) -> Later:
    """Its other delivery runs it, or is about to; or has just ended."""
    return refused(place or Place(now), now, now, LONGEST_WAIT)


def _pace(found: Mapping[str, Any], now: Millis) -> tuple[timedelta, bool]:
    """How far apart places are, and whether that was measured just now.

    slots freed   │  │ │   │ │  │ │   │     in one second: 8
    places        │ │ │ │ │ │ │ │ │ │       1 s ÷ 8 × 0.8 apart
    """
    pace = timedelta(milliseconds=found.get("pace", clock.millis(FIRST_PACE)))
    if "seen_at" not in found:
        return pace, True
    elapsed = timedelta(milliseconds=now - found["seen_at"])
    if elapsed > _STALE:
        return FIRST_PACE, True
    if elapsed < _MEASURED:
        return pace, False
    starts = found["starts"] - found["seen_starts"]
    measured = _HASTE * elapsed / max(starts, 0.5)
    return min(max(measured, FASTEST_PACE), SLOWEST_PACE), True
