"""A tenant's tasks, newest first, a page at a time."""

from __future__ import annotations

import base64
import binascii
import heapq
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from celeriac import states
from celeriac.clock import Millis
from celeriac.contract.errors import Picklable
from celeriac.records.record import TaskRecord
from celeriac.records.store import Entry, Position, RecordStore
from celeriac.topology import FAILURES, LISTING, IndexShape

#: How many index entries a page looks at, at most, for each task it may return. A rare status
#: then gives short pages with a cursor to go on from, never a slow answer.
EFFORT = 10

# Ids of plain Celery tasks may be any text. A sort key has at most 1,024 bytes.
# docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_LISTING_KEY = re.compile(r"[0-9]{13}#.+", re.DOTALL)
_LONGEST_LISTING_KEY = 1024


class BadCursorError(Picklable, ValueError):
    """The cursor is not one that a page gave out."""

    def __init__(self) -> None:
        super().__init__("The cursor is not one that this list gave out.")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which tasks to list. None lists all."""

    status: str | None = None
    type: str | None = None
    tag: str | None = None
    created_after: Millis | None = None

    def admits_entry(self, entry: Entry) -> bool:
        return self.type in (None, entry.type) and (self.tag is None or self.tag in entry.tags)

    def admits(self, record: TaskRecord) -> bool:
        return self.status in (None, record.state)


@dataclass(frozen=True)
class Page:
    """Some tasks, and where the next page begins, if there may be more."""

    records: list[TaskRecord]
    next_cursor: str | None


def list_tasks(
    store: RecordStore,
    tenant: str,
    filter: Filter,
    *,
    limit: int,
    cursor: str | None = None,
) -> Page:
    """A page of at most ``limit`` records.

    A page that looked at many tasks of another status may be short, even empty, and still have a
    ``next_cursor``.

    Raises:
        BadCursorError: ``cursor`` did not come from a page.
    """
    index = FAILURES if filter.status == states.FAILURE else LISTING
    start = Position(tenant, 0, below=decode_cursor(cursor), created_after=filter.created_after)
    streams = (
        _entries(store, index, replace(start, shard=shard), limit) for shard in range(store.shards)
    )
    merged = heapq.merge(*streams, key=lambda entry: entry.listing_key, reverse=True)
    found: list[TaskRecord] = []
    looked_at = 0
    while chunk := list(itertools.islice(merged, limit)):
        wanted = [entry for entry in chunk if filter.admits_entry(entry)]
        records = store.get_many(entry.task_id for entry in wanted)
        for entry in chunk:
            looked_at += 1
            record = records.get(entry.task_id)
            if record is not None and filter.admits(record):
                found.append(record)
            if len(found) == limit or looked_at == limit * EFFORT:
                return Page(found, encode_cursor(entry.listing_key))
    return Page(found, None)


def encode_cursor(listing_key: str) -> str:
    return base64.urlsafe_b64encode(listing_key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, form: re.Pattern[str] = _LISTING_KEY) -> str | None:
    """The key that a cursor was made of. Raises ``BadCursorError`` for one of another form."""
    if cursor is None:
        return None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        text = data.decode()
    except (binascii.Error, ValueError):
        raise BadCursorError from None
    if len(data) > _LONGEST_LISTING_KEY or not form.fullmatch(text):
        raise BadCursorError
    return text


def _entries(
    store: RecordStore, index: IndexShape, position: Position, size: int
) -> Iterator[Entry]:
    while entries := store.newest(index, position, size):
        yield from entries
        position = replace(position, below=entries[-1].listing_key)
