"""Wait for a task to change. However many requests wait, they hold no thread.

    poll A   ├ · · look · · · look · · · · · · look ✓ changed
    poll B       ├ · ·   · look · · look · · ·  look ·
    read             ■       ■       ■           ■   one BatchGetItem for what is due

A poll that waits costs nothing between its looks. Works in a Lambda too, which keeps nothing
between requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from random import uniform
from time import monotonic
from weakref import WeakKeyDictionary

from fastapi import Request

from celeriac.errors import NotFoundError, unavailable
from celeriac.records import TaskRecord
from celeriac.storage.services import services

#: The pauses of one poll double, from this to the longest. They cost little and feel prompt.
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 1.0
#: Looks that are due within the same quarter of a second share a read.
_TICK_SECONDS = 0.25
#: How often a poll asks whether its client is still there.
_LONGEST_UNASKED_SECONDS = 5.0
#: Polls have threads of their own: a slow DynamoDB takes none from other requests.
_MOST_READS = 2


async def changed_record(
    record: TaskRecord,
    seconds: float,
    changed: Callable[[TaskRecord], bool],
    request: Request,
) -> TaskRecord:
    """The record once it has changed or ended, or as it was last seen after some seconds.

    Raises ``NotFoundError`` and ``UnavailableError``.
    """
    end = monotonic() + seconds
    with _lookout().watching(record, changed) as poll:
        while not poll.over.done():
            left = end - monotonic()
            if left <= 0 or await request.is_disconnected():
                break
            # Not all at once: hundreds that began together would hold the event loop together.
            unasked = uniform(_LONGEST_UNASKED_SECONDS / 4, _LONGEST_UNASKED_SECONDS)
            await asyncio.wait({poll.over}, timeout=min(left, unasked))
        return poll.over.result() if poll.over.done() else poll.seen


class _Poll:
    """One request that waits."""

    def __init__(self, record: TaskRecord, changed: Callable[[TaskRecord], bool]) -> None:
        self.seen = record
        self.over: asyncio.Future[TaskRecord] = asyncio.get_running_loop().create_future()
        self._changed = changed
        self._pause = _FIRST_PAUSE_SECONDS
        self._due = monotonic() + self._pause

    def is_due(self, now: float) -> bool:
        return now >= self._due

    def look(self, found: TaskRecord | None) -> None:
        """Take note of the record as it is now."""
        if self.over.done():
            return
        if found is None:
            self.over.set_exception(NotFoundError(self.seen.task_id))
        elif found.terminal or self._changed(found):
            self.over.set_result(found)
        else:
            self.seen = found
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
            self._due = monotonic() + self._pause


class _Lookout:
    """Looks after the polls of one event loop, for as long as there are any."""

    def __init__(self) -> None:
        self._polls: set[_Poll] = set()
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def watching(
        self, record: TaskRecord, changed: Callable[[TaskRecord], bool]
    ) -> Iterator[_Poll]:
        """A poll that is looked after meanwhile."""
        poll = _Poll(record, changed)
        self._polls.add(poll)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield poll
        finally:
            self._polls.discard(poll)
            if not self._polls and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = monotonic()
            due = [poll for poll in self._polls if poll.is_due(now)]
            if not due:
                continue
            wanted = {poll.seen.task_id for poll in due}
            try:
                found = await loop.run_in_executor(_threads(), _records, wanted)
            except Exception as error:  # noqa: BLE001 - whatever it is, the polls raise it
                for poll in due:
                    if not poll.over.done():
                        poll.over.set_exception(error)
            else:
                for poll in due:
                    poll.look(found.get(poll.seen.task_id))


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lookout] = WeakKeyDictionary()


def _lookout() -> _Lookout:
    return _of_loops.setdefault(asyncio.get_running_loop(), _Lookout())


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_READS, thread_name_prefix="long-polls")


def _records(task_ids: Iterable[str]) -> dict[str, TaskRecord]:
    with unavailable("DynamoDB"):
        return services().records.get_many(task_ids)
