"""How many requests each caller has made in this minute, counted for all processes together.

Windows are whole minutes of AWS's clock, and a caller has an item for each minute in which it asks.
Other things are counted in the same way, in windows of their own.

    limit 2          │ 12:00                                   │ 12:01
    process 1        ├ add 1 ✓              add 1 ✗ · refused ·├ add 1 ✓, in a new item
    process 2        │        add 1 ✓                          │
    the item says    │ 1      2             2                  │ 1

DynamoDB compares and adds in one step, so two processes never take the same place. A process that
was refused doesn't ask again in that window: a caller over its limit costs no further write. Around
the turn of a window a caller may send twice its limit.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from celeriac import clock
from celeriac.clock import Clock, Millis
from celeriac.marshalling import marshal
from celeriac.topology import REQUESTS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WINDOW = timedelta(minutes=1)
#: How long an item outlives its window, in case a process's clock is behind.
_KEPT = timedelta(minutes=1)


class Requests:
    """The counts of a deployment's callers."""

    def __init__(self, client: DynamoDBClient, table: str, *, clock: Clock = clock.now) -> None:
        self._client = client
        self._table = table
        self._now = clock
        #: Until when each caller is refused.
        self._refused: dict[str, Millis] = {}

    def admit(self, caller: str, limit: int, window: timedelta = WINDOW) -> timedelta | None:
        """Count a request of this caller, if it is within the limit.

        Returns how long the caller must wait, and None for a request that was counted.
        """
        now, length = self._now(), clock.millis(window)
        start = now - now % length
        end = start + length
        if self._refused.get(caller) != end:
            if self._count(caller, limit, start, end):
                return None
            self._refused = {each: until for each, until in self._refused.items() if until > now}
            self._refused[caller] = end
        return timedelta(milliseconds=end - now)

    def _count(self, caller: str, limit: int, start: Millis, end: Millis) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": f"{REQUESTS}{caller}", "sk": str(start // 1000)}),
                UpdateExpression="ADD requests :one SET expires_at = :expires_at",
                ConditionExpression="attribute_not_exists(requests) OR requests < :limit",
                ExpressionAttributeValues=marshal(
                    {
                        ":one": 1,
                        ":limit": limit,
                        ":expires_at": (end + clock.millis(_KEPT)) // 1000,
                    }
                ),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
