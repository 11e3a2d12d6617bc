"""Plain values as DynamoDB's typed ones, and back."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()

Item = dict[str, "AttributeValueTypeDef"]


def marshal(values: Mapping[str, Any]) -> Item:
    """Plain values as DynamoDB's typed ones. None is left out."""
    return {
        name: _serializer.serialize(value) for name, value in values.items() if value is not None
    }


def unmarshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB's typed values as plain ones; numbers come back as ints where they are whole."""
    return {name: _plain(_deserializer.deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value
