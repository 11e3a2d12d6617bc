"""Groups of tasks, and the join that a chord's body waits for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from boto3.dynamodb.types import Binary

from celeriac.marshalling import marshal, unmarshal
from celeriac.storage.values import ValueStore
from celeriac.topology import GROUPS, TOLD

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Groups are Celery's, and Celery's have no tenant. Their large values are in S3 under this name,
#: which no tenant can have.
TENANT = "-groups"

_GROUP, _JOIN = "group", "join"


class Groups:
    """Group results, and which members of a chord are done.

    The join is a set of members, not a counter: one that reports twice, because its message was
    delivered twice, counts once. The set holds 8-byte digests, so that a write for a chord of
    100 stays one write unit, and 30,000 members fit into an item.
    """

    def __init__(self, client: DynamoDBClient, table: str, values: ValueStore) -> None:
        self._client = client
        self._table = table
        self._values = values

    def save(self, group_id: str, text: str, expires_at: int) -> None:
        """Keep the members of a group until ``expires_at``, in seconds since 1970."""
        reference = self._values.put(TENANT, group_id, "group", text, expires_at)
        item = {**_key(group_id), "results": reference, "expires_at": expires_at}
        self._client.put_item(TableName=self._table, Item=marshal(item))

    def load(self, group_id: str) -> str | None:
        """What a group consists of, if it was saved."""
        answer = self._client.get_item(
            TableName=self._table, Key=marshal(_key(group_id)), ConsistentRead=True
        )
        if "Item" not in answer:
            return None
        values = unmarshal(answer["Item"])
        return self._values.get(TENANT, group_id, values["results"])

    def delete(self, group_id: str) -> None:
        """Remove a group and its join: the body was sent, or nobody waits for it.

        A member that is told of once more looks for the group first, so it can't send the body
        again. At the most it leaves a join of its own, which expires.

            member A   group ✓ ── join: 3 of 3 ── body ── delete group ── delete join
            member B      group ✓ ──────────────────────────────────────────── join: 1 of 3
            member B                                        group ✗
        """
        for sort_key in (_GROUP, _JOIN):
            key = marshal(_key(group_id, sort_key))
            self._client.delete_item(TableName=self._table, Key=key)

    def join(self, group_id: str, member: str, expires_at: int) -> int:
        """Note that a member is done; how many are. ``expires_at`` is in seconds since 1970."""
        digest = hashlib.blake2b(member.encode(), digest_size=8).digest()
        answer = self._client.update_item(
            TableName=self._table,
            Key=marshal(_key(group_id, _JOIN)),
            UpdateExpression="ADD members :member SET expires_at = :expires_at",
            ExpressionAttributeValues=marshal(
                {":member": {Binary(digest)}, ":expires_at": expires_at}
            ),
            # UPDATED_NEW may leave out a set that has this member already.
            ReturnValues="ALL_NEW",
        )
        return len(answer["Attributes"]["members"]["BS"])

    def note(self, task_id: str, told: str, expires_at: int) -> bool:
        """Note that ``told`` is told of a task's end; False if it was before.

        ``expires_at`` is in seconds since 1970.
        """
        item = {"pk": f"{TOLD}{task_id}", "sk": told, "expires_at": expires_at}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(item),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _key(group_id: str, sort_key: str = _GROUP) -> dict[str, str]:
    return {"pk": f"{GROUPS}{group_id}", "sk": sort_key}
