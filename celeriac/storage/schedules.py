"""Schedules that callers made, and the pauses of all schedules.

schedules#<tenant>         <schedule id>      the schedule; of a declared one only its pause
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.marshalling import marshal, unmarshal
from celeriac.storage.schedule_items import (
    KeptSchedule,
    ScheduleUnreadableError,
    item_of,
    kept_of,
    key_of,
)
from celeriac.topology import SCHEDULES_OF

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)

#: How long the mark of a schedule stays that EventBridge knew and the table didn't: longer than
#: any request that could still be making it.
_BURIED_FOR = timedelta(days=1)


class Schedules:
    """The schedules of a deployment, by tenant."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def create(self, kept: KeptSchedule) -> bool:
        """Write a new schedule; False if its id is taken, or buried."""
        return self._put(kept, "attribute_not_exists(pk)", {})

    def get(self, tenant: str, schedule_id: str) -> KeptSchedule | None:
        """The schedule as of now (a strongly consistent read).

        Raises ``ScheduleUnreadableError``.
        """
        item = self._item(tenant, schedule_id)
        return kept_of(item) if "type" in item else None

    def replace(self, kept: KeptSchedule) -> bool:
        """Write an edited schedule; False unless the version before is there."""
        return self._put(kept, "version = :before", {":before": kept.version - 1})

    def settle(self, kept: KeptSchedule) -> bool:
        """Note that EventBridge fires by this version's times; False if it isn't there."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal(key_of(kept.tenant, kept.schedule_id)),
                UpdateExpression="SET settled = :yes",
                ConditionExpression="version = :version",
                ExpressionAttributeValues=marshal({":yes": True, ":version": kept.version}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def delete(self, tenant: str, schedule_id: str, kept_for: timedelta) -> bool:
        """Put a mark in a schedule's place, for as long as its history may be kept.

        False if there is no schedule. One that can't be read is deleted like any other.

        Without the mark, a request with its idempotency key could make it again while EventBridge's
        copy is still being deleted, and would then have a schedule that never fires.
        """
        mark = _mark(tenant, schedule_id, max(kept_for, _BURIED_FOR))
        return self._put_mark(mark, "attribute_exists(#type)")

    def bury(self, tenant: str, schedule_id: str) -> bool:
        """Keep a schedule that isn't there from being created; False if it is there."""
        mark = _mark(tenant, schedule_id, _BURIED_FOR)
        return self._put_mark(mark, "attribute_not_exists(#type)")

    def _put_mark(self, mark: dict[str, Any], condition: str) -> bool:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(mark),
                ConditionExpression=condition,
                ExpressionAttributeNames={"#type": "type"},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def pause(self, tenant: str, schedule_id: str, *, paused: bool, declared: bool) -> bool:
        """Note whether a schedule is paused; False if a caller's schedule isn't there."""
        names = {"#paused": "paused"}
        only: dict[str, Any] = {}
        if not declared:
            names["#type"] = "type"
            only = {"ConditionExpression": "attribute_exists(#type)"}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal(key_of(tenant, schedule_id)),
                # Another version, so that an edit that has read the one before doesn't undo it.
                UpdateExpression="SET #paused = :paused ADD version :one",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=marshal({":paused": paused, ":one": 1}),
                **only,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def paused(self, tenant: str, schedule_id: str) -> bool:
        """Whether a declared schedule is paused."""
        return bool(self._item(tenant, schedule_id).get("paused", False))

    def of(
        self, tenant: str, *, limit: int | None = None, after: str | None = None
    ) -> list[KeptSchedule]:
        """A tenant's schedules that callers made, in the order of their ids.

        At most ``limit``, of those whose ids follow ``after``. One that can't be read is logged,
        and left out.
        """
        condition, values = "pk = :pk", {":pk": f"{SCHEDULES_OF}{tenant}"}
        if after is not None:
            condition, values = f"{condition} AND sk > :after", {**values, ":after": after}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=marshal(values),
            ConsistentRead=True,
            PaginationConfig={} if limit is None else {"PageSize": limit},
        )
        items = (unmarshal(item) for page in pages for item in page["Items"])
        return [*islice(_readable(item for item in items if "type" in item), limit)]

    def count(self, tenant: str) -> int:
        """How many schedules of callers a tenant has, as of now."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            FilterExpression="attribute_exists(#type)",
            ExpressionAttributeNames={"#type": "type"},
            ExpressionAttributeValues=marshal({":pk": f"{SCHEDULES_OF}{tenant}"}),
            ConsistentRead=True,
            Select="COUNT",
        )
        return sum(page["Count"] for page in pages)

    def _item(self, tenant: str, schedule_id: str) -> dict[str, Any]:
        answer = self._client.get_item(
            TableName=self._table,
            Key=marshal(key_of(tenant, schedule_id)),
            ConsistentRead=True,
        )
        return unmarshal(answer.get("Item", {}))

    def _put(self, kept: KeptSchedule, condition: str, values: dict[str, Any]) -> bool:
        given: dict[str, Any] = {"ExpressionAttributeValues": marshal(values)} if values else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(item_of(kept)),
                ConditionExpression=condition,
                **given,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _mark(tenant: str, schedule_id: str, kept_for: timedelta) -> dict[str, Any]:
    expires_at = (clock.now() + clock.millis(kept_for)) // 1000
    return {**key_of(tenant, schedule_id), "expires_at": expires_at}


def _readable(items: Iterable[dict[str, Any]]) -> Iterator[KeptSchedule]:
    for item in items:
        try:
            yield kept_of(item)
        except ScheduleUnreadableError as error:
            log.error("%s", error)  # noqa: TRY400 - it says all
