"""A task record as a DynamoDB item, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from celeriac.clock import Millis
from celeriac.marshalling import Item, marshal, unmarshal
from celeriac.records.record import Failure, Progress, TaskRecord
from celeriac.topology import OPEN_SHARDS, UNFINISHED

#: Written even where they hold their defaults, since conditions and ADD refer to them.
ALWAYS = frozenset({"state", "attempt", "version"})

#: The sort key of a record; its sibling items carry values too large for it.
RECORD = "task"


def partition(task_id: str) -> str:
    """The partition key of a task's record and of its siblings."""
    return f"task#{task_id}"


def listing_partition(tenant: str, shard: int) -> str:
    return f"{tenant}#{shard}"


def open_partition(shard: int) -> str:
    return f"open#{shard}"


def open_key(record: TaskRecord) -> str:
    """Where a task is in its partition of the unfinished ones. A tenant's name has no ``#``."""
    return f"{record.tenant}#{record.listing_key}"


def created_at_of(open_key: str) -> Millis:
    """When the task was created that has this key."""
    return int(open_key.split("#", 2)[1])


def to_item(record: TaskRecord, shards: int) -> Item:
    """The item of a new record, with its places in the listing and among the unfinished tasks."""
    values: dict[str, Any] = {
        "pk": partition(record.task_id),
        "sk": RECORD,
        "list_pk": listing_partition(record.tenant, record.shard(shards)),
        "list_sk": record.listing_key,
        UNFINISHED.partition_key: open_partition(record.shard(OPEN_SHARDS)),
        UNFINISHED.sort_key: open_key(record),
    }
    for field in fields(record):
        value = getattr(record, field.name)
        if value != field.default or field.name in ALWAYS:
            values[field.name] = to_plain(value)
    del values["task_id"]
    return marshal(values)


def from_item(item: Mapping[str, Any]) -> TaskRecord:
    """The record that an item holds."""
    values = unmarshal(item)
    known = {field.name for field in fields(TaskRecord)}
    record = {name: value for name, value in values.items() if name in known}
    record["task_id"] = values["pk"].removeprefix("task#")
    if "tags" in record:
        record["tags"] = tuple(record["tags"])
    if "progress" in record:
        record["progress"] = Progress(**record["progress"])
    if "failure" in record:
        record["failure"] = Failure(**record["failure"])
    return TaskRecord(**record)


def to_plain(value: object) -> object:
    """A field's value in types that DynamoDB knows."""
    match value:
        case Progress(current=current, total=total, message=message):
            return {"current": current, "total": total, "message": message}
        case Failure(type=type_, message=message):
            return {"type": type_, "message": message}
        case tuple():
            return list(value)
        case _:
            return value
