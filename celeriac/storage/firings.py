"""What each schedule did at each of its times.

schedule#<tenant>/<id>     <scheduled time>   what it fired then; removed with the record
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from celeriac.clock import Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import FIRINGS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What a firing came to."""

    FIRED = "fired"
    #: Its type allows one such task at a time, and that was there.
    JOINED = "joined"
    PAUSED = "paused"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Firing:
    """What a schedule did at one time. ``last_task_id`` is the latest task that it had made.

    ``cancelled_task_id`` is the one that this firing cancelled, and ``calls`` how often EventBridge
    has called for it.
    """

    scheduled_at: Millis
    fired_at: Millis
    outcome: Outcome
    by_hand: bool = False
    task_id: str | None = None
    last_task_id: str | None = None
    cancelled_task_id: str | None = None
    calls: int = 1
    execution_id: str | None = None
    detail: str | None = None

    @property
    def late_by(self) -> timedelta:
        """How long after its time it fired."""
        return timedelta(milliseconds=max(0, self.fired_at - self.scheduled_at))

    @property
    def key(self) -> str:
        """Sorts by time. Those that somebody started have keys of their own, by their tasks."""
        return f"{self.scheduled_at:013d}{f'#{self.task_id}' if self.by_hand else ''}"


class Firings:
    """The history of a deployment's schedules."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def note(self, tenant: str, schedule_id: str, firing: Firing, expires_at: int) -> bool:
        """Note what a schedule fired; False if that was noted before.

        ``expires_at`` is in seconds since 1970.
        """
        values = {
            "pk": _history(tenant, schedule_id),
            "sk": firing.key,
            **{name: value for name, value in vars(firing).items() if value not in (None, False)},
            "outcome": firing.outcome.value,
            "expires_at": expires_at,
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(values),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def count_call(self, tenant: str, schedule_id: str, firing: Firing) -> None:
        """Note that EventBridge has called again for a firing that was noted."""
        self._client.update_item(
            TableName=self._table,
            Key=marshal({"pk": _history(tenant, schedule_id), "sk": firing.key}),
            UpdateExpression="ADD calls :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=marshal({":one": 1}),
        )

    def complete(self, tenant: str, schedule_id: str, firing: Firing) -> bool:
        """Note the task of a firing that was noted without one; False if it has one.

        Two calls may find the last task in other states. The task is there, so the entry has it:

            call 1   last task runs: skipped ── noted ✓
            call 2                 ended: submitted ──── noted ✗ exists ── fired, with its task ✓
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": _history(tenant, schedule_id), "sk": firing.key}),
                UpdateExpression="SET outcome = :outcome, task_id = :task_id, "
                "last_task_id = :task_id REMOVE detail ADD calls :one",
                ConditionExpression="attribute_exists(pk) AND attribute_not_exists(task_id)",
                ExpressionAttributeValues=marshal(
                    {":outcome": firing.outcome.value, ":task_id": firing.task_id, ":one": 1}
                ),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def latest(
        self, tenant: str, schedule_id: str, *, limit: int, below: str | None = None
    ) -> list[Firing]:
        """The latest firings below a key, newest first, at most ``limit``.

        One that can't be read is logged, and left out.
        """
        condition, values = "pk = :pk", {":pk": _history(tenant, schedule_id)}
        if below is not None:
            condition, values = f"{condition} AND sk < :below", {**values, ":below": below}
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=marshal(values),
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=limit,
        )
        return [*_readable(map(unmarshal, answer["Items"]))]


def _history(tenant: str, schedule_id: str) -> str:
    return f"{FIRINGS}{tenant}/{schedule_id}"


def _readable(items: Iterable[dict[str, Any]]) -> Iterator[Firing]:
    for item in items:
        try:
            yield _firing(item)
        except (LookupError, TypeError, ValueError) as error:
            log.error("the firing %s %s can't be read: %r", item["pk"], item["sk"], error)  # noqa: TRY400


def _firing(item: dict[str, Any]) -> Firing:
    return Firing(
        scheduled_at=int(item["scheduled_at"]),
        fired_at=int(item["fired_at"]),
        outcome=Outcome(item["outcome"]),
        by_hand=item.get("by_hand", False),
        task_id=item.get("task_id"),
        last_task_id=item.get("last_task_id"),
        cancelled_task_id=item.get("cancelled_task_id"),
        calls=int(item.get("calls", 1)),
        execution_id=item.get("execution_id"),
        detail=item.get("detail"),
    )
