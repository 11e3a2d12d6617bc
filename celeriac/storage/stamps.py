"""Stamps whose tasks are revoked: ``revoke_by_stamped_headers``.

Celery's workers keep them in memory, and are told by a broadcast. Here each is an item, which a
worker reads when it begins with a task that has stamps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kombu.utils.json import dumps

from celeriac.marshalling import marshal
from celeriac.topology import STAMPS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_AT_ONCE = 100


class Stamps:
    """The stamps that are revoked, until they expire with the tasks that could have them."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def revoke(self, stamps: Mapping[str, Any], expires_at: int) -> None:
        """Revoke what has one of these. ``expires_at`` is in seconds since 1970."""
        for key in _keys(stamps):
            item = {**key, "expires_at": expires_at}
            self._client.put_item(TableName=self._table, Item=marshal(item))

    def any_revoked(self, stamps: Mapping[str, Any]) -> bool:
        """Whether a task with these stamps is revoked."""
        keys = list(_keys(stamps))
        for start in range(0, len(keys), _AT_ONCE):
            chunk: list[Any] = [marshal(each) for each in keys[start : start + _AT_ONCE]]
            while chunk:
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": chunk, "ConsistentRead": True}}
                )
                if answer["Responses"].get(self._table):
                    return True
                left: Any = answer["UnprocessedKeys"].get(self._table, {})
                chunk = list(left.get("Keys", []))
        return False


def _keys(stamps: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    """A key for each value of each stamp, once."""
    found = {}
    for name, given in stamps.items():
        for value in given if isinstance(given, list | tuple | set) else [given]:
            digest = hashlib.sha256(dumps([name, value]).encode()).hexdigest()
            found[digest] = {"pk": f"{STAMPS}{digest}", "sk": "revoked"}
    return found.values()
