"""Which task stands for submissions that are the same, by their task type and a key.

    caller A   name ✓ T1 ─ create T1 ─ send
    caller B             name ✗ ─ reads T1: not ended → T1, replayed
    caller C                            (T1 ends)   name ✗ ─ reads T1 ─ T2 instead of T1 ✓
    caller D                                         name ✗ ─ reads T1 ─ T3 instead of T1 ✗

Each key is one item, and DynamoDB compares and sets in one step, so one task stands for a key. A
name comes before its record. A caller that finds a name without a record creates the record under
that name, for the first caller may have died; of two that do, one creates it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celeriac.clock import Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import SAME

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The task that stands for a key, from ``since`` until ``until``.

    ``fingerprint`` is that of its idempotency key. ``expires_at`` is in seconds since 1970.
    """

    task_id: str
    since: Millis
    expires_at: int
    until: Millis | None = None
    fingerprint: str | None = None


class Same:
    """The tasks that stand for keys."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, key: str) -> Standing | None:
        """What stands for a key now."""
        answer = self._client.get_item(
            TableName=self._table, Key=marshal(_key(key)), ConsistentRead=True
        )
        return _standing(answer["Item"]) if "Item" in answer else None

    def name(self, key: str, standing: Standing, *, instead_of: str | None) -> Standing | None:
        """Have a task stand for a key ``instead_of`` another, or of none.

        None if it does; otherwise what stands there.
        """
        condition, values = "attribute_not_exists(pk)", {}
        if instead_of is not None:
            condition, values = "task_id = :before", {":before": instead_of}
        item = {
            **_key(key),
            "task_id": standing.task_id,
            "since": standing.since,
            "until": standing.until,
            "fingerprint": standing.fingerprint,
            "expires_at": standing.expires_at,
        }
        more: dict[str, Any] = {"ExpressionAttributeValues": marshal(values)} if values else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(item),
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **more,
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found: Mapping[str, Any] | None = error.response.get("Item")  # type: ignore[assignment]
            if found is None:
                # It has expired meanwhile.
                return self.name(key, standing, instead_of=None)
            now = _standing(found)
            # Our own write, whose answer was lost on the way.
            return None if now.task_id == standing.task_id else now
        return None


def _key(key: str) -> dict[str, str]:
    return {"pk": f"{SAME}{key}", "sk": "task"}


def _standing(item: Mapping[str, Any]) -> Standing:
    values = unmarshal(item)
    return Standing(
        task_id=values["task_id"],
        since=values["since"],
        until=values.get("until"),
        fingerprint=values.get("fingerprint"),
        expires_at=values["expires_at"],
    )
