"""Schedules that callers made, and the pauses of all schedules.

schedules#<tenant>         <schedule id>      the schedule; of a declared one only its pause
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.clock import Millis
from celeriac.contract import Schedule
from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import SCHEDULES_OF

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: How long the mark of a schedule stays that EventBridge knew and the table didn't: longer than
#: any request that could still be making it.
_BURIED_FOR = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class KeptSchedule:
    """A schedule that a caller made. Each edit and each pause raises ``version``."""

    schedule_id: str
    tenant: str
    type: str
    schedule: Schedule
    created_at: Millis
    tags: tuple[str, ...] = ()
    paused: bool = False
    version: int = 1
    #: Of the request that made it, if that had an idempotency key.
    fingerprint: str | None = None
    #: When its item is removed, in seconds since 1970: some time after its last firing.
    expires_at: int | None = None


class Schedules:
    """The schedules of a deployment, by tenant."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def create(self, kept: KeptSchedule) -> bool:
        """Write a new schedule; False if its id is taken, or buried."""
        return self._put(kept, "attribute_not_exists(pk)", {})

    def get(self, tenant: str, schedule_id: str) -> KeptSchedule | None:
        """The schedule as of now (a strongly consistent read)."""
        item = self._item(tenant, schedule_id)
        return _kept(item) if "type" in item else None

    def replace(self, kept: KeptSchedule) -> bool:
        """Write an edited schedule; False unless the version before is there."""
        return self._put(kept, "version = :before", {":before": kept.version - 1})

    def delete(self, tenant: str, schedule_id: str, kept_for: timedelta) -> None:
        """Put a mark in a schedule's place, for as long as its history may be kept.

        Without the mark, a request with its idempotency key could make it again while EventBridge's
        copy is still being deleted, and would then have a schedule that never fires.
        """
        mark = _mark(tenant, schedule_id, max(kept_for, _BURIED_FOR))
        self._client.put_item(TableName=self._table, Item=marshal(mark))

    def bury(self, tenant: str, schedule_id: str) -> bool:
        """Keep a schedule that isn't there from being created; False if it is there."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(_mark(tenant, schedule_id, _BURIED_FOR)),
                ConditionExpression="attribute_not_exists(#type)",
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
                Key=marshal(_key(tenant, schedule_id)),
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

        At most ``limit``, of those whose ids follow ``after``.
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
        return [*islice((_kept(item) for item in items if "type" in item), limit)]

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
            Key=marshal(_key(tenant, schedule_id)),
            ConsistentRead=True,
        )
        return unmarshal(answer.get("Item", {}))

    def _put(self, kept: KeptSchedule, condition: str, values: dict[str, Any]) -> bool:
        given: dict[str, Any] = {"ExpressionAttributeValues": marshal(values)} if values else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(_item_of(kept)),
                ConditionExpression=condition,
                **given,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def with_expiry(kept: KeptSchedule, ttl: timedelta) -> KeptSchedule:
    """The schedule with the time at which its item may go, if it has a last firing."""
    when = kept.schedule.when
    last = when if isinstance(when, datetime) else kept.schedule.end
    return replace(kept, expires_at=None if last is None else int((last + ttl).timestamp()))


def _key(tenant: str, schedule_id: str) -> dict[str, str]:
    return {"pk": f"{SCHEDULES_OF}{tenant}", "sk": schedule_id}


def _mark(tenant: str, schedule_id: str, kept_for: timedelta) -> dict[str, Any]:
    expires_at = (clock.now() + clock.millis(kept_for)) // 1000
    return {**_key(tenant, schedule_id), "expires_at": expires_at}


def _item_of(kept: KeptSchedule) -> dict[str, Any]:
    schedule = kept.schedule
    when: str | int = 0
    match schedule.when:
        case str(text):
            when = text
        case timedelta() as interval:
            when = clock.millis(interval)
        case moment:
            when = _millis(moment)
    return {
        **_key(kept.tenant, kept.schedule_id),
        "type": kept.type,
        "kind": schedule.kind,
        "when": when,
        "timezone": schedule.timezone,
        "start": None if schedule.start is None else _millis(schedule.start),
        "end": None if schedule.end is None else _millis(schedule.end),
        "overlap": schedule.overlap,
        "priority": schedule.priority,
        "payload": json.dumps(dict(schedule.payload)),
        "tags": list(kept.tags),
        "paused": kept.paused,
        "created_at": kept.created_at,
        "version": kept.version,
        "fingerprint": kept.fingerprint,
        "expires_at": kept.expires_at,
    }


def _kept(item: dict[str, Any]) -> KeptSchedule:
    when: str | timedelta | datetime = item["when"]
    if item["kind"] == "rate":
        when = timedelta(milliseconds=item["when"])
    elif item["kind"] == "at":
        when = clock.to_datetime(item["when"])
    return KeptSchedule(
        schedule_id=item["sk"],
        tenant=item["pk"].removeprefix(SCHEDULES_OF),
        type=item["type"],
        schedule=Schedule(
            when=when,
            timezone=item["timezone"],
            start=_moment(item.get("start")),
            end=_moment(item.get("end")),
            overlap=item["overlap"],
            priority=item.get("priority"),
            payload=json.loads(item["payload"]),
        ),
        created_at=item["created_at"],
        tags=tuple(item["tags"]),
        paused=item["paused"],
        version=item["version"],
        fingerprint=item.get("fingerprint"),
        expires_at=item.get("expires_at"),
    )


def _millis(moment: datetime) -> Millis:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _moment(millis: Millis | None) -> datetime | None:
    return None if millis is None else clock.to_datetime(millis)
