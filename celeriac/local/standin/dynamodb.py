"""DynamoDB: tables with indexes, conditional writes, queries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac.local.standin import expressions
from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.expressions import Item, Scope, Value, comparable

ACCOUNT = "123456789012"
REGION = "us-east-1"

#: A primary key: the partition key's value and the sort key's, or None where there is none.
Key = tuple[Any, Any]

_VALIDATION = "com.amazon.coral.validate#ValidationException"
_PREFIX = "com.amazonaws.dynamodb.v20120810#"


@dataclass(frozen=True)
class Schema:
    """The names of a table's, or an index's, key attributes."""

    partition: str
    sort: str | None

    @classmethod
    def of(cls, key_schema: list[dict[str, str]]) -> Schema:
        names = {each["KeyType"]: each["AttributeName"] for each in key_schema}
        return cls(names["HASH"], names.get("RANGE"))

    def key_of(self, item: Item) -> Key | None:
        """The item's key; None if it lacks an attribute of it."""
        partition = item.get(self.partition)
        sort = item.get(self.sort) if self.sort else None
        if partition is None or (self.sort and sort is None):
            return None
        return comparable(partition), comparable(sort) if sort else None


class Index:
    """Primary keys in the order of an index; the table itself has one too."""

    def __init__(self, schema: Schema, projected: frozenset[str] | None) -> None:
        self.schema = schema
        self._projected = projected
        #: By partition, in order: (sort key, primary key).
        self._partitions: dict[Any, list[tuple[Any, Key]]] = {}

    def put(self, item: Item, key: Key) -> bool:
        """Whether the item is in this index."""
        place = self.schema.key_of(item)
        if place is None:
            return False
        insort(self._partitions.setdefault(place[0], []), (place[1], key))
        return True

    def remove(self, item: Item, key: Key) -> None:
        place = self.schema.key_of(item)
        if place is None:
            return
        entries = self._partitions[place[0]]
        del entries[bisect_left(entries, (place[1], key))]
        if not entries:
            del self._partitions[place[0]]

    def entries(self, partition: Any) -> list[tuple[Any, Key]]:
        return self._partitions.get(partition, [])

    def same(self, before: Item, after: Item) -> bool:
        """Whether an update leaves the index's entry as it is."""
        names = self._projected
        if names is None:
            return before == after
        return all(before.get(name) == after.get(name) for name in names)

    def project(self, item: Item) -> Item:
        if self._projected is None:
            return item
        return {name: value for name, value in item.items() if name in self._projected}


class Table:
    """Items by primary key, and the indexes over them."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.schema = Schema.of(description["KeySchema"])
        self.items: dict[Key, Item] = {}
        self.ttl_attribute: str | None = None
        self.primary = Index(self.schema, None)
        self.indexes = {
            each["IndexName"]: self._index(each)
            for each in description.get("GlobalSecondaryIndexes", [])
        }
        self.index_writes = 0

    def _index(self, described: dict[str, Any]) -> Index:
        schema = Schema.of(described["KeySchema"])
        kind = described["Projection"].get("ProjectionType", "ALL")
        if kind == "ALL":
            return Index(schema, None)
        keys = {schema.partition, schema.sort, self.schema.partition, self.schema.sort}
        names = keys | set(described["Projection"].get("NonKeyAttributes", []))
        return Index(schema, frozenset(name for name in names if name))

    def key(self, item: Item) -> Key:
        key = self.schema.key_of(item)
        if key is None:
            raise AwsError(_VALIDATION, "The provided key element does not match the schema")
        return key

    def put(self, key: Key, after: Item) -> None:
        before = self.items.get(key)
        if before is None:
            self.primary.put(after, key)
        self.items[key] = after
        for index in self.indexes.values():
            if before is not None:
                if index.same(before, after):
                    continue
                index.remove(before, key)
            if index.put(after, key):
                self.index_writes += 1

    def delete(self, key: Key) -> None:
        before = self.items.pop(key, None)
        if before is None:
            return
        for index in (self.primary, *self.indexes.values()):
            index.remove(before, key)


class DynamoDb:
    """The service: a method an operation."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def perform(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        handler = getattr(self, f"_{operation}", None)
        if handler is None:
            raise AwsError(_PREFIX + "UnknownOperation", f"The stand-in has no {operation}.")
        answer: dict[str, Any] = handler(parameters)
        return answer

    def _table(self, name: str) -> Table:
        try:
            return self.tables[name.rpartition("/")[2]]
        except KeyError:
            raise AwsError(
                _PREFIX + "ResourceNotFoundException", f"Requested resource not found: {name}"
            ) from None

    # -- tables

    def _CreateTable(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = parameters["TableName"]
        if name in self.tables:
            raise AwsError(_PREFIX + "ResourceInUseException", f"Table already exists: {name}")
        self.tables[name] = Table(
            {
                **parameters,
                "TableStatus": "ACTIVE",
                "TableArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}",
            }
        )
        return {"TableDescription": self.tables[name].description}

    def _DescribeTable(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        return {"Table": {**table.description, "ItemCount": len(table.items)}}

    def _ListTables(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"TableNames": sorted(self.tables)}

    def _DeleteTable(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        del self.tables[parameters["TableName"]]
        return {"TableDescription": table.description}

    def _DescribeTimeToLive(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        attribute = self._table(parameters["TableName"]).ttl_attribute
        if attribute is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        return {
            "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}
        }

    def _UpdateTimeToLive(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        specified = parameters["TimeToLiveSpecification"]
        table = self._table(parameters["TableName"])
        table.ttl_attribute = specified["AttributeName"] if specified["Enabled"] else None
        return {"TimeToLiveSpecification": specified}

    # -- items

    def _GetItem(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        item = table.items.get(table.key(parameters["Key"]))
        if item is None:
            return {}
        return {"Item": _projected(item, parameters)}

    def _PutItem(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        item = parameters["Item"]
        key = table.key(item)
        before = table.items.get(key)
        _check(parameters, before)
        table.put(key, item)
        if parameters.get("ReturnValues") == "ALL_OLD" and before is not None:
            return {"Attributes": before}
        return {}

    def _DeleteItem(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        key = table.key(parameters["Key"])
        before = table.items.get(key)
        _check(parameters, before)
        table.delete(key)
        if parameters.get("ReturnValues") == "ALL_OLD" and before is not None:
            return {"Attributes": before}
        return {}

    def _UpdateItem(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        key = table.key(parameters["Key"])
        before = table.items.get(key)
        parsed = expressions.update(parameters["UpdateExpression"])
        _check(parameters, before, also_used=parsed.used)
        scope = _scope(before if before is not None else parameters["Key"], parameters)
        after, touched = parsed.node.apply(scope)
        if touched & {table.schema.partition, table.schema.sort}:
            raise AwsError(_VALIDATION, "Cannot update attribute: it is part of the key")
        table.put(key, after)
        match parameters.get("ReturnValues", "NONE"):
            case "ALL_NEW":
                return {"Attributes": after}
            case "UPDATED_NEW":
                return {"Attributes": {name: after[name] for name in touched if name in after}}
            case "ALL_OLD" if before is not None:
                return {"Attributes": before}
            case "UPDATED_OLD" if before is not None:
                return {"Attributes": {name: before[name] for name in touched if name in before}}
            case _:
                return {}

    def _BatchGetItem(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        responses = {}
        for name, wanted in parameters["RequestItems"].items():
            table = self._table(name)
            keys = [table.key(each) for each in wanted["Keys"]]
            if len(set(keys)) < len(keys):
                raise AwsError(_VALIDATION, "Provided list of item keys contains duplicates")
            responses[name] = [
                _projected(table.items[key], wanted) for key in keys if key in table.items
            ]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _BatchWriteItem(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        for name, requests in parameters["RequestItems"].items():
            table = self._table(name)
            for request in requests:
                if "PutRequest" in request:
                    item = request["PutRequest"]["Item"]
                    table.put(table.key(item), item)
                else:
                    table.delete(table.key(request["DeleteRequest"]["Key"]))
        return {"UnprocessedItems": {}}

    # -- many items

    def _Query(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        name = parameters.get("IndexName")
        if name is not None and name not in table.indexes:
            raise AwsError(_VALIDATION, f"The table does not have the specified index: {name}")
        index = table.indexes[name] if name else table.primary
        keyed = expressions.condition(parameters["KeyConditionExpression"])
        partition = _partition_of(index.schema.partition, parameters)
        entries = index.entries(partition)
        forward = parameters.get("ScanIndexForward", True)
        start = parameters.get("ExclusiveStartKey")
        if start is not None:
            sort = index.schema.key_of(start)
            place = (sort[1] if sort else None, table.key(start))
            if forward:
                entries = entries[bisect_right(entries, place) :]
            else:
                entries = entries[: bisect_left(entries, place)]
        ordered = entries if forward else entries[::-1]
        return self._page(table, index, ordered, keyed, parameters)

    def _Scan(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        table = self._table(parameters["TableName"])
        entries = [(None, key) for key in table.items]
        return self._page(table, table.primary, entries, None, parameters)

    def _page(
        self,
        table: Table,
        index: Index,
        entries: list[tuple[Any, Key]],
        keyed: expressions.Parsed | None,
        parameters: dict[str, Any],
    ) -> dict[str, Any]:
        text = parameters.get("FilterExpression")
        kept = expressions.condition(text) if text else None
        limit = parameters.get("Limit") or len(entries) + 1
        items: list[Item] = []
        examined = 0
        answer: dict[str, Any] = {}
        for _, key in entries:
            item = table.items[key]
            scope = _scope(item, parameters)
            if keyed is not None and not keyed.node(scope):
                continue
            if examined == limit:
                break
            examined += 1
            last = item
            if kept is None or kept.node(scope):
                items.append(_projected(index.project(item), parameters))
            if examined == limit:
                # AWS says that there may be more, without looking.
                names = (
                    table.schema.partition,
                    table.schema.sort,
                    index.schema.partition,
                    index.schema.sort,
                )
                answer["LastEvaluatedKey"] = {name: last[name] for name in names if name}
        answer |= {"Count": len(items), "ScannedCount": examined}
        if parameters.get("Select") != "COUNT":
            answer["Items"] = items
        return answer


def _scope(item: Mapping[str, Value], parameters: dict[str, Any]) -> Scope:
    return Scope(
        dict(item),
        parameters.get("ExpressionAttributeNames", {}),
        parameters.get("ExpressionAttributeValues", {}),
    )


def _projected(item: Item, parameters: dict[str, Any]) -> Item:
    text = parameters.get("ProjectionExpression")
    if not text:
        return item
    names = parameters.get("ExpressionAttributeNames", {})
    return expressions.project(item, expressions.projection(text).node, names)


def _check(
    parameters: dict[str, Any], item: Item | None, also_used: frozenset[str] = frozenset()
) -> None:
    """Hold a write's condition against the item.

    Raises:
        AwsError: it doesn't hold, or the call names what no expression uses.
    """
    text = parameters.get("ConditionExpression")
    parsed = expressions.condition(text) if text else None
    used = also_used | (parsed.used if parsed else frozenset())
    given = {
        *parameters.get("ExpressionAttributeNames", ()),
        *parameters.get("ExpressionAttributeValues", ()),
    }
    if given != used:
        odd = ", ".join(sorted(given ^ used))
        raise AwsError(_VALIDATION, f"Names or values unused or not defined in expressions: {odd}")
    if parsed is None or parsed.node(_scope(item or {}, parameters)):
        return
    details: dict[str, Any] = {}
    if parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and item is not None:
        details["Item"] = item
    raise AwsError(
        _PREFIX + "ConditionalCheckFailedException", "The conditional request failed", **details
    )


def _partition_of(attribute: str, parameters: dict[str, Any]) -> Any:
    """The partition that a key condition is about: it compares the partition key by ``=``."""
    values = parameters.get("ExpressionAttributeValues", {})
    text = parameters["KeyConditionExpression"]
    names = parameters.get("ExpressionAttributeNames", {})
    for term in text.split(" AND "):
        left, equals, right = term.strip(" ()").partition("=")
        left = left.strip()
        if equals and names.get(left, left) == attribute and right.strip() in values:
            return comparable(values[right.strip()])
    raise AwsError(_VALIDATION, f"Query condition missed key schema element: {attribute}")
