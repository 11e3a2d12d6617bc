"""Task records on DynamoDB: each transition is one conditional write.

Two workers and a caller may act on one task at once. This is what the conditions keep apart:

    worker A    claim ✓ ───── runs ───── (freezes) ················· finish ✗  LeaseLostError
    lease       ├──────────────────────┤ passed
    worker B                               claim ✓ ── runs ── finish ✓
    caller                        cancel → asks B to stop       cancel → OVER

Whoever holds the lease may write; a terminal state is never left. The answer to a write may be
lost and botocore then sends it again: a refused write whose record already carries our own owner
and the state we asked for has succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from celeriac import clock, states
from celeriac.clock import Clock, Millis
from celeriac.records.expressions import (
    NOT_AWAITING,
    NOT_CANCELLED,
    RUNNING,
    WAITING,
    Condition,
    Update,
    attempt_is,
    held_by,
    lease_passed,
    version_is,
)
from celeriac.records.items import (
    RECORD,
    Item,
    from_item,
    listing_partition,
    marshal,
    partition,
    to_item,
    unmarshal,
)
from celeriac.records.record import Failure, Progress, TaskRecord
from celeriac.records.store import (
    Cancellation,
    Claimed,
    ClaimLost,
    Entry,
    LeaseLostError,
    LostClaim,
    Position,
    RecordExistsError,
    check_running_state,
    is_free,
    judge,
)
from celeriac.records.updates import Updates
from celeriac.topology import IndexShape

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
BATCH_GET_LIMIT = 100


class _Refused(Exception):
    """A condition did not hold; ``found`` is the record it was held against."""

    def __init__(self, found: TaskRecord | None) -> None:
        super().__init__()
        self.found = found


class DynamoRecords:
    """Implements ``RecordStore``. ``shards`` spreads each tenant's listing."""

    def __init__(
        self, client: DynamoDBClient, table: str, *, shards: int = 1, clock: Clock = clock.now
    ) -> None:
        self._client = client
        self._updates = Updates(client)
        self._table = table
        self._shards = shards
        self._now = clock

    def create(self, record: TaskRecord) -> None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(record, self._shards),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found = _found(error)
            if found is None:
                raise
            raise RecordExistsError(found) from None

    def get(self, task_id: str) -> TaskRecord | None:
        answer = self._client.get_item(
            TableName=self._table, Key=_key(task_id), ConsistentRead=True
        )
        return from_item(answer["Item"]) if "Item" in answer else None

    def get_many(self, task_ids: Iterable[str]) -> dict[str, TaskRecord]:
        records: dict[str, TaskRecord] = {}
        wanted = list(dict.fromkeys(task_ids))
        for start in range(0, len(wanted), BATCH_GET_LIMIT):
            keys: list[Any] = [_key(each) for each in wanted[start : start + BATCH_GET_LIMIT]]
            while keys:
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
                )
                for item in answer["Responses"].get(self._table, []):
                    record = from_item(item)
                    records[record.task_id] = record
                keys = list(answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"])
        return records

    def discard(self, task_id: str) -> bool:
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_key(task_id),
                ConditionExpression=(
                    "attribute_not_exists(pk) OR "
                    "(#state = :pending AND attribute_not_exists(resent))"
                ),
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues=marshal({":pending": states.PENDING}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
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
        try:
            changes = {"type": type, "queue": queue, "input": input}
            if type is None:
                return self._update(task_id, WAITING & NOT_AWAITING, changes, add={"resent": 1})
            return self._update(task_id, WAITING, changes, add={"resent": 1}, remove=("awaits",))
        except _Refused:
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
        leftovers: tuple[str, ...] = ("progress", "meta", "due_at", "failure")
        if not ahead:
            leftovers += ("ahead",)
        ours = attempt_is(attempt)
        try:
            waits = WAITING & NOT_AWAITING & ours
            return Claimed(self._update(task_id, waits, changes, remove=leftovers))
        except _Refused as refused:
            found = refused.found
        judgement = judge(found, attempt, owner, now)
        if isinstance(judgement, ClaimLost) and judgement.why is LostClaim.CANCELLED:
            return self._bury(task_id, now)
        if judgement is not None:
            return judgement
        # The lease has passed: its worker is dead, or frozen for longer than it had promised.
        # No owner means that a worker which had to stop handed the task back: none was lost.
        lost = {"lost": 1} if found and found.lease_owner and not found.ahead else {}
        try:
            return Claimed(
                self._update(
                    task_id,
                    lease_passed(now, cancelled=False) & ours,
                    changes,
                    remove=leftovers,
                    add=lost,
                )
            )
        except _Refused as refused:
            # Somebody was quicker. A renewal that came late counts as a live lease.
            again = judge(refused.found, attempt, owner, now)
            return again or ClaimLost(LostClaim.HELD, refused.found)

    def _bury(self, task_id: str, now: Millis) -> ClaimLost:
        """End a cancelled task whose worker didn't live to do it."""
        changes = {"state": states.REVOKED, "finished_at": now}
        try:
            ended = self._update(task_id, lease_passed(now, cancelled=True), changes)
        except _Refused as refused:
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
    ) -> TaskRecord:
        try:
            return self._held(
                task_id,
                owner,
                {"state": states.RETRY, "due_at": due_at, "failure": failure, "input": input},
                condition=NOT_CANCELLED,
                add={"attempt": 1},
                remove=("lease_until", "progress", "meta"),
            )
        except LeaseLostError as refused:
            found = refused.now_is
            if found is None or found.lease_owner != owner:
                raise
            if found.cancel_requested_at is None and found.state != states.REVOKED:
                raise
        return self.finish(task_id, owner, states.REVOKED)

    def release(self, task_id: str, owner: str, *, lost: bool = False) -> TaskRecord:
        # A lease that has an owner and has passed is one whose worker was lost; had it only claimed
        # the task ahead, it couldn't say so now.
        leftovers = ("ahead",) if lost else ("lease_owner",)
        try:
            return self._held(task_id, owner, {"lease_until": 0}, remove=leftovers)
        except LeaseLostError as refused:
            if refused.now_is is None or not is_free(refused.now_is):
                raise
            # Our own write, whose answer was lost on the way.
            return refused.now_is

    def hand_on(self, task_id: str, owner: str) -> TaskRecord:
        leftovers = ("lease_until", "progress", "meta")
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
            return self._update(handed_on.task_id, unchanged, {"awaits": True})
        except _Refused as refused:
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
        leftovers: tuple[str, ...] = ("lease_until", "due_at", "meta", "ahead")
        if failure is None:
            leftovers += ("failure",)
        copies = {"failed_pk": "list_pk"} if state == states.FAILURE else {}
        if owner is not None:
            return self._held(task_id, owner, changes, remove=leftovers, copies=copies)
        try:
            return self._update(task_id, WAITING, changes, remove=leftovers, copies=copies)
        except _Refused as refused:
            found = refused.found
            if found and (found.state, found.finished_at) == (state, changes["finished_at"]):
                # Our own write, whose answer was lost on the way.
                return found
            raise LeaseLostError(task_id, "nobody", found) from None

    def cancel(self, task_id: str) -> tuple[Cancellation, TaskRecord] | None:
        # A waiting task may be claimed, and a running one handed back, between the two writes:
        # then both are refused and the round is made again, against the newer state.
        while True:
            now = self._now()
            try:
                ended = self._update(
                    task_id,
                    WAITING,
                    {"state": states.REVOKED, "finished_at": now},
                    remove=("due_at", "failure"),
                )
            except _Refused as refused:
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
                asked = self._update(
                    task_id,
                    RUNNING,
                    {"cancel_requested_at": found.cancel_requested_at or now},
                )
            except _Refused:
                continue
            return Cancellation.STOPPING, asked

    def newest(self, index: IndexShape, position: Position, limit: int) -> list[Entry]:
        conditions = [f"{index.partition_key} = :partition"]
        values = {":partition": listing_partition(position.tenant, position.shard)}
        # A key condition takes one comparison, or BETWEEN, whose ends are included and in order.
        floor = f"{position.created_after:013d}$" if position.created_after is not None else None
        if position.below is not None and floor is not None and position.below <= floor:
            return []
        if position.below is not None and floor is not None:
            conditions.append(f"{index.sort_key} BETWEEN :floor AND :below")
        elif position.below is not None:
            conditions.append(f"{index.sort_key} < :below")
        elif floor is not None:
            conditions.append(f"{index.sort_key} > :floor")
        if position.below is not None:
            values[":below"] = position.below
        if floor is not None:
            values[":floor"] = floor
        answer = self._client.query(
            TableName=self._table,
            IndexName=index.name,
            KeyConditionExpression=" AND ".join(conditions),
            ExpressionAttributeValues=marshal(values),
            ScanIndexForward=False,
            Limit=limit + 1,
        )
        entries = (unmarshal(item) for item in answer["Items"])
        return [
            Entry(
                listing_key=entry[index.sort_key],
                task_id=entry["pk"].removeprefix("task#"),
                type=entry["type"],
                tags=tuple(entry.get("tags", ())),
            )
            for entry in entries
            if entry[index.sort_key] != position.below
        ][:limit]

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
            return self._update(task_id, held, changes, add=add, remove=remove, copies=copies)
        except _Refused as refused:
            found = refused.found
            if found and found.lease_owner == owner and found.state == changes.get("state"):
                # Our own write, whose answer was lost on the way.
                return found
            raise LeaseLostError(task_id, owner, found) from None

    def _update(
        self,
        task_id: str,
        condition: Condition,
        changes: Mapping[str, Any],
        *,
        add: Mapping[str, int] | None = None,
        remove: tuple[str, ...] = (),
        copies: Mapping[str, str] | None = None,
    ) -> TaskRecord:
        """One UpdateItem; ``copies`` sets attributes from what others of the item were before."""
        update = Update(changes, {"version": 1, **(add or {})}, remove, copies or {})
        try:
            answer = self._updates.update_item(
                {
                    "TableName": self._table,
                    "Key": _key(task_id),
                    **update.parameters(condition),
                    "ReturnValues": "ALL_NEW",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise _Refused(_found(error)) from None
        return from_item(answer["Attributes"])


def _key(task_id: str) -> Item:
    return marshal({"pk": partition(task_id), "sk": RECORD})


def _found(error: ClientError) -> TaskRecord | None:
    """The record that a condition was held against: ALL_OLD spares a read."""
    item: dict[str, Any] | None = error.response.get("Item")  # type: ignore[assignment]
    return from_item(item) if item else None
