"""Keeps inputs and results: in the record, next to it, or in S3, by their size.

A reference says where, and goes into the record:

    =<text>          the text itself
    item:<sort key>  a sibling item under the record's partition key
    s3:<key>         an artifact

DynamoDB bills a write by the size of the whole item. Each transition would pay again for a few
hundred bytes in the record. An item holds at most 400 KB, and S3 is cheaper from some tens of KB.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from celeriac import clock
from celeriac.contract.errors import Picklable
from celeriac.marshalling import marshal, unmarshal
from celeriac.records.items import partition
from celeriac.storage.artifacts import Artifacts
from celeriac.topology import DELAYED, LONGEST_DELAY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: In bytes of UTF-8, as are the others.
INLINE_LIMIT = 128
ITEM_LIMIT = 32 * 1024
#: The largest input or result, in bytes of UTF-8.
LARGEST = 50 * 2**20


class ValueTooLargeError(Picklable, ValueError):
    """An input or result over 50 MB."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The value has {size:,} bytes; {LARGEST:,} is the most. "
            "Keep large data as an artifact and pass its key."
        )
        self.size = size


class ValueMissingError(Picklable, LookupError):
    """A reference leads nowhere: the value has expired."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"The value at {reference} is gone: it has expired.")
        self.reference = reference


class ValueStore(Protocol):
    """Keeps texts of any size up to 50 MB, and gives references to them."""

    def put(
        self,
        tenant: str,
        task_id: str,
        name: str,
        text: str,
        expires_at: int,
        *,
        again: bool = False,
    ) -> str:
        """Keep a text; the reference to it. Raises ``ValueTooLargeError``.

        ``again`` replaces what was kept under this name before.
        """

    def get(self, tenant: str, task_id: str, reference: str) -> str:
        """The text behind a reference. Raises ``ValueMissingError``."""

    def renew(self, tenant: str, task_id: str, reference: str, expires_at: int) -> None:
        """Keep a text until ``expires_at`` at least, under the reference that it has.

        Raises ``ValueMissingError``.
        """


class AwsValues:
    """Implements ``ValueStore`` on the table and the bucket."""

    def __init__(
        self, client: DynamoDBClient, table: str, artifacts: Artifacts, *, record_ttl: timedelta
    ) -> None:
        self._client = client
        self._table = table
        self._artifacts = artifacts
        self._record_ttl = record_ttl

    def put(
        self,
        tenant: str,
        task_id: str,
        name: str,
        text: str,
        expires_at: int,
        *,
        again: bool = False,
    ) -> str:
        data = text.encode()
        if len(data) <= INLINE_LIMIT:
            return f"={text}"
        if len(data) > LARGEST:
            raise ValueTooLargeError(len(data))
        # A name of its own for each writing: an attempt that has lost its lease can't overwrite
        # what the record of the winning one refers to.
        unique = name if again else f"{name}-{uuid.uuid4().hex[:12]}"
        if len(data) <= ITEM_LIMIT:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(
                    {
                        "pk": partition(task_id),
                        "sk": unique,
                        "value": text,
                        "expires_at": expires_at,
                    }
                ),
            )
            return f"item:{unique}"
        # S3 deletes by an object's age, whatever its record says of its end.
        usual = clock.now() + clock.millis(self._record_ttl + LONGEST_DELAY)
        place = DELAYED if expires_at * 1000 > usual else "values/"
        key = f"{place}{task_id}/{unique}.json"
        self._artifacts.put(tenant, key, data, content_type="application/json")
        return f"s3:{key}"

    def get(self, tenant: str, task_id: str, reference: str) -> str:
        if reference.startswith("="):
            return reference[1:]
        kind, _, where = reference.partition(":")
        if kind == "s3":
            try:
                return self._artifacts.get(tenant, where).decode()
            except LookupError:
                raise ValueMissingError(reference) from None
        answer = self._client.get_item(
            TableName=self._table,
            Key=marshal({"pk": partition(task_id), "sk": where}),
            ConsistentRead=True,
        )
        if "Item" not in answer:
            raise ValueMissingError(reference)
        text: str = unmarshal(answer["Item"])["value"]
        return text

    def renew(self, tenant: str, task_id: str, reference: str, expires_at: int) -> None:
        """An S3 object lasts as long as a new one would: S3 deletes by age."""
        if reference.startswith("="):
            return
        kind, _, where = reference.partition(":")
        if kind == "s3":
            data = self.get(tenant, task_id, reference).encode()
            self._artifacts.put(tenant, where, data, content_type="application/json")
        else:
            self._renew_item(task_id, where, expires_at, reference)

    def _renew_item(self, task_id: str, where: str, expires_at: int, reference: str) -> None:
        """Only an item that is there, which an update would make otherwise; and never for less.

        repair 1    reads: 3 days left ── renew: 7 days ✓
        repair 2      reads: 3 days left ── renew: 6 days ✗ kept for longer
        DynamoDB                                             deletes ── renew ✗ gone
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": partition(task_id), "sk": where}),
                UpdateExpression="SET expires_at = :expires_at",
                ConditionExpression="attribute_exists(pk) AND expires_at < :expires_at",
                ExpressionAttributeValues=marshal({":expires_at": expires_at}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            if "Item" not in error.response:
                raise ValueMissingError(reference) from None
