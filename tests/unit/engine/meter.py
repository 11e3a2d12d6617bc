"""What AWS would bill: requests, and DynamoDB's write units.

moto's own figures are rough, so units are computed from the items, as
docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient

from celeriac.topology import TABLE, IndexShape

UNIT = 1024
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


def table_units(before: Item | None, after: Item | None) -> int:
    """The larger of both versions counts, each begun KiB as one unit."""
    return math.ceil(max(item_size(each) for each in (before or {}, after or {})) / UNIT)


def index_units(index: IndexShape, before: Item | None, after: Item | None) -> int:
    """Nothing while the entry stays as it is; a changed key is a deletion and a creation."""
    old, new = _entry(index, before), _entry(index, after)
    if old == new:
        return 0
    if old and new and all(old[key] == new[key] for key in (index.partition_key, index.sort_key)):
        return table_units(old, new)
    return sum(table_units(None, each) for each in (old, new) if each)


def _entry(index: IndexShape, item: Item | None) -> Item | None:
    if item is None or not {index.partition_key, index.sort_key} <= item.keys():
        return None
    kept = {*KEYS, index.partition_key, index.sort_key, *index.projects}
    return {name: value for name, value in item.items() if name in kept}


@dataclass
class Bill:
    """Requests by service and operation; write units of the table and of each index."""

    requests: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    largest_item: int = 0


@contextmanager
def metered() -> Iterator[Bill]:
    """Every request that any AWS client of this process makes inside goes onto the bill."""
    bill = Bill()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def counted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        bill.requests[f"{client.meta.service_model.service_name}:{operation}"] += 1
        if client.meta.service_model.service_name != "dynamodb" or operation not in WRITES:
            return call(client, operation, parameters)
        where = parameters.get("Key") or {key: parameters["Item"][key] for key in KEYS}
        read = {"TableName": parameters["TableName"], "Key": where, "ConsistentRead": True}
        before = call(client, "GetItem", read).get("Item")
        try:
            return call(client, operation, parameters)
        finally:
            # A write that is refused by its condition is billed as well.
            after = call(client, "GetItem", read).get("Item")
            bill.units["table"] += table_units(before, after)
            for index in TABLE.indexes:
                bill.units[index.name] += index_units(index, before, after)
            bill.largest_item = max(bill.largest_item, item_size(after or {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", counted)
        yield bill
