"""What AWS would bill: requests, and DynamoDB's units of writes and reads.

moto's own figures are rough, so units are computed from the items, as
docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html say.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.core.botocore_stubber import BotocoreStubber

from celeriac.topology import TABLE, IndexShape

UNIT = 1024
READ_UNIT = 4096
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
KEYS = (TABLE.partition_key, TABLE.sort_key)

Item = Mapping[str, Any]


def size(value: Any) -> int:
    """The bytes of an item, or of one typed value in it."""
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            # Two digits a byte, and one more.
            return math.ceil(len(content.strip("-").replace(".", "")) / 2) + 1
        case "B":
            return len(content)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + size(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + size(each) for name, each in content.items())
        case "SS" | "NS" | "BS":
            return sum(size({kind[0]: each}) for each in content)
    raise AssertionError(f"unknown type {kind}")


def item_size(item: Item) -> int:
    return sum(len(name.encode()) + size(value) for name, value in item.items())


def table_units(before: Item, after: Item) -> int:
    """The larger of both versions counts, each begun KiB as one unit."""
    return math.ceil(max(item_size(before), item_size(after)) / UNIT)


def index_units(index: IndexShape, before: Item, after: Item) -> int:
    """Nothing while the entry stays as it is; a changed key is a deletion and a creation."""
    old, new = _entry(index, before), _entry(index, after)
    if old == new:
        return 0
    if old and new and all(old[key] == new[key] for key in (index.partition_key, index.sort_key)):
        return table_units(old, new)
    return table_units(old, {}) + table_units({}, new)


def read_units(operation: str, parameters: Item, answer: Item) -> float:
    """A read of nothing is one unit too; one that may be stale is half."""
    if operation == "GetItem":
        consistent, found = parameters.get("ConsistentRead"), [answer.get("Item", {})]
    elif operation == "BatchGetItem":
        [(table, wanted)] = parameters["RequestItems"].items()
        consistent, found = wanted.get("ConsistentRead"), answer["Responses"].get(table, [])
        found = found + [{}] * (len(wanted["Keys"]) - len(found))
    else:
        return 0
    units = sum(max(1, math.ceil(item_size(each) / READ_UNIT)) for each in found)
    return units if consistent else units / 2


def _entry(index: IndexShape, item: Item) -> Item:
    if not {index.partition_key, index.sort_key} <= item.keys():
        return {}
    kept = {*KEYS, index.partition_key, index.sort_key, *index.projects}
    return {name: value for name, value in item.items() if name in kept}


@dataclass
class Bill:
    """Requests by service and operation; write units of the table and of each index.

    ``reads`` are the units of items that were read by their keys.
    """

    requests: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    reads: float = 0
    largest_item: int = 0


@contextmanager
def metered() -> Iterator[Bill]:
    """Every request that this process sends to moto inside goes onto the bill."""
    bill = Bill()
    reader = boto3.client("dynamodb")
    handle = BotocoreStubber.__call__

    def count(stubber: BotocoreStubber, event_name: str, request: Any, **named: Any) -> Any:
        _, service, operation = event_name.split(".")
        bill.requests[f"{service}:{operation}"] += 1
        if service != "dynamodb":
            return handle(stubber, event_name, request, **named)
        parameters = json.loads(request.body)
        if operation not in WRITES:
            answer = handle(stubber, event_name, request, **named)
            assert answer is not None
            bill.reads += read_units(operation, parameters, json.loads(answer.content))
            return answer
        table = parameters["TableName"]
        key = parameters.get("Key") or {key: parameters["Item"][key] for key in KEYS}

        def stored() -> Item:
            with pytest.MonkeyPatch.context() as uncounted:
                uncounted.setattr(BotocoreStubber, "__call__", handle)
                answer = reader.get_item(TableName=table, Key=key, ConsistentRead=True)
            return answer.get("Item", {})

        before = stored()
        try:
            return handle(stubber, event_name, request, **named)
        finally:
            # A write that is refused by its condition is billed as well.
            after = stored()
            bill.units["table"] += table_units(before, after)
            for index in TABLE.indexes:
                bill.units[index.name] += index_units(index, before, after)
            bill.largest_item = max(bill.largest_item, item_size(after))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", count)
        yield bill
