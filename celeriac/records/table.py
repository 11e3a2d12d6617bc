"""The table of records: what is read of it, and writes of one item on a condition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from celeriac.contract.errors import Picklable
from celeriac.marshalling import Item, marshal, unmarshal
from celeriac.records.expressions import Condition, Update
from celeriac.records.items import (
    RECORD,
    created_at_of,
    from_item,
    listing_partition,
    open_partition,
    partition,
)
from celeriac.records.record import TaskRecord
from celeriac.records.store import Entry, OpenTask, Position, RecordExistsError
from celeriac.records.updates import Updates
from celeriac.topology import UNFINISHED, IndexShape

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
BATCH_GET_LIMIT = 100


class RefusedError(Picklable, Exception):
    """A condition did not hold; ``found`` is the record it was held against."""

    def __init__(self, found: TaskRecord | None) -> None:
        super().__init__()
        self.found = found


class Table:
    """One table of records."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._updates = Updates(client)
        self._name = name

    def put_new(self, item: Item) -> None:
        """Put the item of a record that isn't there.

        Raises:
            RecordExistsError: it is.
        """
        try:
            self._client.put_item(
                TableName=self._name,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            found = _found(error)
            if found is None:
                raise
            raise RecordExistsError(found) from None

    def get(self, task_id: str) -> TaskRecord | None:
        answer = self._client.get_item(TableName=self._name, Key=_key(task_id), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None

    def get_many(self, task_ids: Iterable[str]) -> dict[str, TaskRecord]:
        records: dict[str, TaskRecord] = {}
        wanted = list(dict.fromkeys(task_ids))
        for start in range(0, len(wanted), BATCH_GET_LIMIT):
            keys: list[Any] = [_key(each) for each in wanted[start : start + BATCH_GET_LIMIT]]
            while keys:
                answer = self._client.batch_get_item(
                    RequestItems={self._name: {"Keys": keys, "ConsistentRead": True}}
                )
                for item in answer["Responses"].get(self._name, []):
                    record = from_item(item)
                    records[record.task_id] = record
                keys = list(answer["UnprocessedKeys"].get(self._name, {"Keys": []})["Keys"])
        return records

    def delete(self, task_id: str, condition: Condition) -> None:
        """Delete an item.

        Raises:
            RefusedError: the condition does not hold.
        """
        try:
            self._client.delete_item(
                TableName=self._name,
                Key=_key(task_id),
                ConditionExpression=condition.text,
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues=marshal(condition.values),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise RefusedError(_found(error)) from None

    def update(
        self,
        task_id: str,
        condition: Condition,
        changes: Mapping[str, Any],
        *,
        add: Mapping[str, int] | None = None,
        remove: tuple[str, ...] = (),
        copies: Mapping[str, str] | None = None,
    ) -> TaskRecord:
        """Change an item; ``copies`` sets attributes from what others of it were before.

        Raises:
            RefusedError: the condition does not hold.
        """
        update = Update(changes, {"version": 1, **(add or {})}, remove, copies or {})
        try:
            answer = self._updates.update_item(
                {
                    "TableName": self._name,
                    "Key": _key(task_id),
                    **update.parameters(condition),
                    "ReturnValues": "ALL_NEW",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise RefusedError(_found(error)) from None
        return from_item(answer["Attributes"])

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
            TableName=self._name,
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

    def open_tasks(self, shard: int) -> Iterator[OpenTask]:
        """The entries of one partition of the unfinished tasks, a page of 1 MB to a call."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName=UNFINISHED.name,
            KeyConditionExpression=f"{UNFINISHED.partition_key} = :partition",
            ExpressionAttributeValues=marshal({":partition": open_partition(shard)}),
        )
        for entry in (unmarshal(item) for page in pages for item in page["Items"]):
            yield OpenTask(
                task_id=entry["pk"].removeprefix("task#"),
                created_at=created_at_of(entry[UNFINISHED.sort_key]),
            )

    def count_open(self, shard: int, tenant: str) -> int:
        """How many entries a tenant has in one partition of the unfinished tasks."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            IndexName=UNFINISHED.name,
            Select="COUNT",
            KeyConditionExpression=f"{UNFINISHED.partition_key} = :partition "
            f"AND begins_with({UNFINISHED.sort_key}, :tenant)",
            ExpressionAttributeValues=marshal(
                {":partition": open_partition(shard), ":tenant": f"{tenant}#"}
            ),
        )
        return sum(page["Count"] for page in pages)


def _key(task_id: str) -> Item:
    return marshal({"pk": partition(task_id), "sk": RECORD})


def _found(error: ClientError) -> TaskRecord | None:
    """The record that a condition was held against: ALL_OLD spares a read."""
    item: dict[str, Any] | None = error.response.get("Item")  # type: ignore[assignment]
    return from_item(item) if item else None
