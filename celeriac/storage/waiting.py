"""How many unfinished tasks each tenant has, counted for all processes together.

Each tenant has an item with a number that is never too small: its unfinished tasks when they were
last counted, and every task accepted since. Nothing counts down, so nothing drifts when a process
dies. Once the number has reached the limit, the tasks are counted again, in the index of unfinished
tasks:

    limit 3        │ accept  accept  accept │ accept: counted again     │ accept
    unfinished     │   1       2       3    │ 3 ─ one ends ─► 2     3   │   3
    the item says  │   1       2       3    │ 3 ────────────► 2     3   │   3, counted just now: ✗

DynamoDB compares and adds in one step, so processes never share a place. The index follows the
records within a second or so, and the count misses those accepted in that time. A burst may so
exceed the limit by what is accepted in a second, and never by more than the limit itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from celeriac import clock
from celeriac.clock import Clock, Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import UNFINISHED_COUNTS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: A tenant's tasks are counted this often at most. Longer than the index needs to follow.
INTERVAL = timedelta(seconds=5)
#: How long the item of a tenant is kept that submits nothing. Without one its tasks are counted.
_KEPT = timedelta(days=1)


class Waiting:
    """The unfinished tasks of a deployment's tenants. ``count`` counts those of one."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        count: Callable[[str], int],
        *,
        clock: Clock = clock.now,
    ) -> None:
        self._client = client
        self._table = table
        self._count = count
        self._now = clock
        #: Until when each tenant is refused.
        self._refused: dict[str, Millis] = {}

    def admit(self, tenant: str, limit: int) -> timedelta | None:
        """Count a new task of this tenant, if it has fewer unfinished ones than the limit.

        Returns how long the caller must wait until they are counted again, and None for a task
        that may be accepted.
        """
        now = self._now()
        refused_until = self._refused.get(tenant, 0)
        if now >= refused_until:
            if self._add(tenant, limit):
                return None
            refused_until = self._recount(tenant, now) + clock.millis(INTERVAL)
            if self._add(tenant, limit):
                return None
            self._refused = {each: until for each, until in self._refused.items() if until > now}
            self._refused[tenant] = refused_until
        return timedelta(milliseconds=max(refused_until - now, 1))

    def _add(self, tenant: str, limit: int) -> bool:
        """Count a task more; False if there is no room, or if nobody has counted yet."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal(_key(tenant)),
                UpdateExpression="ADD tasks :one",
                ConditionExpression="tasks < :limit",
                ExpressionAttributeValues=marshal({":one": 1, ":limit": limit}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _recount(self, tenant: str, now: Millis) -> Millis:
        """Correct the number by what the index says; when the tasks were last counted.

        process 1   read 3 ──── count 2 ──────────── add -1 ✓
        process 2        read 3 ──── count 2 ───────────────── add -1 ✗ counted meanwhile
        process 3                        accept: +1 stays
        """
        answer = self._client.get_item(
            TableName=self._table, Key=marshal(_key(tenant)), ConsistentRead=True
        )
        known = unmarshal(answer["Item"]) if "Item" in answer else {}
        before = int(known.get("counted_at", 0))
        if now - before < clock.millis(INTERVAL):
            return before
        counted = self._count(tenant)
        unchanged = "counted_at = :before" if known else "attribute_not_exists(counted_at)"
        values = {
            ":correction": counted - int(known.get("tasks", 0)),
            ":now": now,
            ":expires_at": (now + clock.millis(_KEPT)) // 1000,
        }
        if known:
            values[":before"] = before
        # Unless another process has counted meanwhile.
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=marshal(_key(tenant)),
                UpdateExpression="ADD tasks :correction "
                "SET counted_at = :now, expires_at = :expires_at",
                ConditionExpression=unchanged,
                ExpressionAttributeValues=marshal(values),
            )
        return now


def _key(tenant: str) -> dict[str, str]:
    return {"pk": f"{UNFINISHED_COUNTS}{tenant}", "sk": "count"}
