"""What keeps a deployment clean and complete: expired artifacts go, lost tasks are sent again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from celeriac import clock, states
from celeriac.app.factory import celery_app
from celeriac.clock import Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.operations.queues import counts_of, queue_named
from celeriac.records import Filter, TaskRecord, list_tasks
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError
from celeriac.topology import REPAIRS

log = logging.getLogger(__name__)

#: Where the start of the last complete repair is kept, so that none leaves a gap to the next.
_LAST_REPAIR = {"pk": REPAIRS, "sk": "last-repair"}
_PAGE = 100


@dataclass
class Removed:
    """What ``remove_expired`` removed."""

    uploads: int = 0
    artifacts: int = 0
    bytes: int = 0


@dataclass
class Repaired:
    """What ``repair`` looked at, and the ids of the tasks it sent again."""

    examined: int = 0
    resent: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    unsendable: list[str] = field(default_factory=list)


def remove_expired(now: datetime | None = None) -> Removed:
    """Remove uploads and artifacts that have outlived their time."""
    now = now or clock.to_datetime(clock.now())
    settings = services().settings
    removed = Removed()
    doomed: dict[str, list[str]] = {}
    for tenant, artifact in services().artifacts.list_all():
        upload = artifact.key.startswith("files/")
        lifetime = settings.upload_ttl if upload else settings.record_ttl
        if now - artifact.modified_at < lifetime:
            continue
        doomed.setdefault(tenant, []).append(artifact.key)
        removed.bytes += artifact.size
        if upload:
            removed.uploads += 1
        else:
            removed.artifacts += 1
    for tenant, keys in doomed.items():
        services().artifacts.delete(tenant, keys)
    return removed


def repair(grace: timedelta, lookback: timedelta) -> Repaired:
    """Send again the messages of tasks that should have been claimed or renewed long ago.

    Looks at tasks created since ``lookback`` before the last repair, so that each is looked at
    at least once after its grace has passed. A second message is harmless.
    """
    started_at = clock.now()
    since = min(started_at, _last_repair() or started_at) - clock.millis(lookback)
    repaired = Repaired()
    depths: dict[str, int] = {}
    queues = celery_app().catalogue.queues
    for record in _created_since(since):
        repaired.examined += 1
        overdue_at = _overdue_at(record)
        if overdue_at is None or overdue_at + clock.millis(grace) > started_at:
            continue
        if record.resent:
            # Sent again before: then it is more likely to stand in a long queue than to be lost.
            if record.queue not in depths:
                url = services().settings.queue_url(queue_named(record.queue, queues))
                depths[record.queue] = sum(counts_of(url))
            if depths[record.queue]:
                continue
        try:
            sent = celery_app().resend(record)
        except ValueMissingError:
            log.warning("task %s can't be sent again: its input is gone", record.task_id)
            repaired.unsendable.append(record.task_id)
            continue
        if sent:
            log.info("task %s was lost and is sent again", record.task_id)
            (repaired.restarted if record.running else repaired.resent).append(record.task_id)
    services().dynamodb.put_item(
        TableName=services().settings.table_name,
        Item=marshal({**_LAST_REPAIR, "started_at": started_at}),
    )
    return repaired


def _overdue_at(record: TaskRecord) -> Millis | None:
    """When a worker should have had the task; None if it has ended, or waits for other tasks."""
    if record.terminal or record.awaits:
        return None
    if record.state in states.WAITING:
        return max(record.created_at, record.due_at or 0)
    return record.lease_until


def _created_since(since: Millis) -> Iterator[TaskRecord]:
    settings = services().settings
    tenants = {settings.tenant} | {key.tenant for key in services().keys.list()}
    tenants |= services().tenants.all()
    for tenant in sorted(tenants):
        cursor = None
        while True:
            page = list_tasks(
                services().records,
                tenant,
                Filter(created_after=since),
                limit=_PAGE,
                cursor=cursor,
            )
            yield from page.records
            cursor = page.next_cursor
            if cursor is None:
                break


def _last_repair() -> Millis | None:
    answer = services().dynamodb.get_item(
        TableName=services().settings.table_name, Key=marshal(_LAST_REPAIR), ConsistentRead=True
    )
    if "Item" not in answer:
        return None
    started_at: Millis = unmarshal(answer["Item"])["started_at"]
    return started_at
