"""Wait for a task to change, without holding a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from celeriac.records import TaskRecord

# Each look is a read of the record: seldom enough to cost little, often enough to feel prompt.
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 1.0


async def look_until(
    seconds: float,
    read: Callable[[], TaskRecord],
    changed: Callable[[TaskRecord], bool],
    request: Request,
) -> TaskRecord:
    """The record once it has changed or ended, or as it is after some seconds.

    Looks again and again, so that it works in a Lambda, which keeps nothing between requests.
    Raises what ``read`` raises.
    """
    end = monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    record = await run_in_threadpool(read)
    while not (record.terminal or changed(record)):
        left = end - monotonic()
        if left <= 0 or await request.is_disconnected():
            break
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        record = await run_in_threadpool(read)
    return record
