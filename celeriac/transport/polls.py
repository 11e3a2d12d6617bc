"""Which queue is polled next, for how many messages, and how long a poll waits.

An idle slot never waits for a poll interval. The next acknowledgement wakes a full worker, and each
poll is followed by the next at once.

With room for a message from each queue, all are polled side by side. With less room,
the queues that last gave messages take turns, first come, first served. A turn's poll doesn't wait
for messages. If all waited, each could bring one, and the surplus would return to its queue, one
receive closer to SQS's limit. A queue that gave nothing is polled alongside and waits: it likely
brings none.

    room for one    A ─ 1 ─ task ─ B ─ 1 ─ task ─ C ─ 0, B ─ …
                                                   └─ C ─────────── waits
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from celeriac.transport.tens import BATCH_LIMIT

#: How long a poll waits that follows messages, or a fault. One that is never answered is noticed
#: only some seconds after its wait is over, so a busy worker's are short. An idle one's are as
#: long as SQS allows: they cost money and hold up nothing.
BUSY_WAIT = timedelta(seconds=3)


@dataclass(frozen=True)
class Poll:
    """How many messages to ask for, and how long SQS is to wait for the first."""

    messages: int
    wait: timedelta


class Polls:
    """The polls of one channel. ``longest_wait`` is that of an idle worker's."""

    def __init__(self, longest_wait: timedelta) -> None:
        self._longest_wait = longest_wait
        self._under_way: set[str] = set()
        self._turns: set[str] = set()
        #: In the order in which they came; a dictionary is an ordered set.
        self._line: dict[str, None] = {}
        self._busy: set[str] = set()
        self._quiet: set[str] = set()

    def begin(self, queue: str, room: int, queues: int) -> Poll | None:
        """The poll to make of a queue, one of several; None if it is to wait in line.

        ``room`` is how many more messages may be held.
        """
        if queue in self._under_way:
            return None
        wait = min(self._longest_wait, BUSY_WAIT) if queue in self._busy else self._longest_wait
        if room < queues and queue not in self._quiet:
            if len(self._turns) >= room:
                self.line_up(queue)
                return None
            self._turns.add(queue)
            wait = timedelta(0)
        elif room < 1:
            self.line_up(queue)
            return None
        self._under_way.add(queue)
        return Poll(min(max(room // queues, 1), BATCH_LIMIT), wait)

    def end(self, queue: str, *, messages: int, failed: bool = False) -> None:
        """A poll has ended, and brought so many messages."""
        self._under_way.discard(queue)
        self._turns.discard(queue)
        (self._busy.add if messages or failed else self._busy.discard)(queue)
        (self._quiet.discard if messages else self._quiet.add)(queue)

    def line_up(self, queue: str) -> None:
        """Have a queue wait for its turn."""
        self._line[queue] = None

    def take_line(self) -> list[str]:
        """The queues that wait, the first first. Each is to begin, or to line up, again."""
        line, self._line = self._line, {}
        return list(line)
