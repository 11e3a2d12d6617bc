"""Tenants that no API key names, because tokens do.

Tasks are listed by tenant, so what looks at all of them must know each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import TENANTS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PARTITION = TENANTS


class Tenants:
    """The tenants that were noted in a deployment. One is written down once by each process."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._noted: set[str] = set()

    def note(self, tenant: str) -> None:
        """Remember that there is this tenant."""
        if tenant in self._noted:
            return
        self._client.put_item(TableName=self._table, Item=marshal({"pk": _PARTITION, "sk": tenant}))
        self._noted.add(tenant)

    def all(self) -> set[str]:
        """Every tenant that a process of the deployment has noted."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :tenants",
            ExpressionAttributeValues=marshal({":tenants": _PARTITION}),
            ConsistentRead=True,
        )
        return {unmarshal(item)["sk"] for page in pages for item in page["Items"]}
