"""Which workers there are, and what they are at: from the heartbeats that they write.

A worker replaces its own item every ``INTERVAL``, so it costs one write unit each time, and one
more for each further KiB of tasks. A worker that ends removes its item; one that was killed
falls silent, and isn't listed after ``SILENT_AFTER``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.clock import Clock, Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import HEARTBEATS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

INTERVAL = timedelta(seconds=20)
#: Two heartbeats may be missed.
SILENT_AFTER = 3 * INTERVAL


@dataclass(frozen=True, kw_only=True)
class RunningTask:
    """A task that a worker's process is at, and since when."""

    task_id: str
    type: str
    since: Millis


@dataclass(frozen=True, kw_only=True)
class ReservedTask:
    """A task whose message a worker holds, and that hasn't begun."""

    task_id: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as it last described itself. Times are milliseconds since 1970 (UTC).

    ``prefetch`` is how many messages it may hold. ``processed`` counts the tasks it has taken since
    it started, ``failed`` those that ended in FAILURE. ``registered`` are the names of the task
    types it knows.
    """

    id: str
    hostname: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    prefetch: int
    started_at: Millis
    seen_at: Millis
    stopping: bool
    active: tuple[RunningTask, ...]
    reserved: tuple[ReservedTask, ...]
    processed: int
    failed: int
    registered: tuple[str, ...]


class Workers:
    """The heartbeats of a deployment's workers."""

    def __init__(self, client: DynamoDBClient, table: str, *, clock: Clock = clock.now) -> None:
        self._client = client
        self._table = table
        self._now = clock

    def report(self, worker: Worker) -> None:
        """Write a heartbeat."""
        values = asdict(worker)
        del values["id"]
        # As lists, not maps: the names of their keys would be billed for each task.
        values["active"] = [[each.task_id, each.type, each.since] for each in worker.active]
        values["reserved"] = [[each.task_id, each.type] for each in worker.reserved]
        values["queues"] = list(worker.queues)
        values["registered"] = list(worker.registered)
        silent_at = worker.seen_at + clock.millis(SILENT_AFTER)
        self._client.put_item(
            TableName=self._table,
            Item=marshal(
                {"pk": HEARTBEATS, "sk": worker.id, "expires_at": silent_at // 1000, **values}
            ),
        )

    def remove(self, worker_id: str) -> None:
        """Forget a worker, which has ended."""
        self._client.delete_item(
            TableName=self._table, Key=marshal({"pk": HEARTBEATS, "sk": worker_id})
        )

    def list(self) -> list[Worker]:
        """The workers that are alive, by hostname and start."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :workers",
            ExpressionAttributeValues=marshal({":workers": HEARTBEATS}),
            ConsistentRead=True,
        )
        found = [_from_item(item) for page in pages for item in page["Items"]]
        # DynamoDB removes what has expired within some days.
        heard_since = self._now() - clock.millis(SILENT_AFTER)
        alive = (each for each in found if each.seen_at >= heard_since)
        return sorted(alive, key=lambda each: (each.hostname, each.started_at))


def _from_item(item: Mapping[str, Any]) -> Worker:
    values = unmarshal(item)
    values["id"] = values.pop("sk")
    del values["pk"], values["expires_at"]
    values["active"] = tuple(
        RunningTask(task_id=task_id, type=type_, since=since)
        for task_id, type_, since in values["active"]
    )
    values["reserved"] = tuple(
        ReservedTask(task_id=task_id, type=type_) for task_id, type_ in values["reserved"]
    )
    values["queues"] = tuple(values["queues"])
    values["registered"] = tuple(values["registered"])
    return Worker(**values)
