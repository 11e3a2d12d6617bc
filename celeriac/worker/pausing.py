"""What this worker knows to be paused, and obeys.

The keeper reads it every few seconds, and so does a worker that starts. If DynamoDB fails, the
last known pauses hold. A worker that has never read them can't claim a task either.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING

from celeriac.storage.pauses import Paused
from celeriac.storage.services import services

if TYPE_CHECKING:
    from celeriac.transport import Channel

log = logging.getLogger(__name__)

#: Pauses are to be obeyed within 10 s: a read may fail, or take its time.
READ_INTERVAL = timedelta(seconds=4)
#: A task of a paused type is asked for again after this long. Each costs a receive, a sending and a
#: deletion; after a resume a task waits for so long at most.
ASK_AGAIN_AFTER = timedelta(seconds=60)


class Pausing:
    """The pauses that one worker obeys."""

    def __init__(self) -> None:
        self._paused = Paused()
        self._read_at = float("-inf")

    def read(self, channel: Channel, *, at_once: bool = False) -> None:
        """Read the pauses, if it is time. Raises botocore's errors; then the last ones hold."""
        if not at_once and monotonic() - self._read_at < READ_INTERVAL.total_seconds():
            return
        # A channel that is new is told what was known, whatever becomes of the read.
        channel.pause(self._paused.names("queue"))
        self._read_at = monotonic()
        before, self._paused = self._paused, services().pauses.all()
        channel.pause(self._paused.names("queue"))
        if self._paused != before:
            names = ", ".join(f"{each.kind} {each.name}" for each in self._paused.pauses)
            log.info("paused: %s", names or "nothing")

    def pauses_type(self, name: str) -> bool:
        """Whether tasks of this type are to wait."""
        return self._paused.of("type", name) is not None


@cache
def pausing() -> Pausing:
    """That of this process's worker."""
    return Pausing()
