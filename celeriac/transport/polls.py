"""Which lane is polled next, for how many messages, and how long a poll waits.

An idle slot never waits for a poll interval. The next acknowledgement wakes a full worker, and each
poll is followed by the next at once.

With room for a message from each lane, all are polled side by side. With less room,
the lanes that last gave messages take turns, first come, first served. A turn's poll doesn't wait
for messages. If all waited, each could bring one, and the surplus would return to its queue, one
receive closer to SQS's limit. A lane that gave nothing is polled alongside and waits: it likely
brings none.

    room for one    A ─ 1 ─ task ─ B ─ 1 ─ task ─ C ─ 0, B ─ …
                                                   └─ C ─────────── waits

Urgent lanes are asked first, and normal ones wait while an urgent one gives. Of ``SHARE`` messages,
one is then a normal one, so that these aren't starved.

    H gives         H ─ 1 ─ H ─ 1 ─ H ─ 1 ─ H ─ 1 ─ N ─ 1 ─ H ─ 1 ─ …
    H gives none    H ─ 0, N ─ 1 ─ task ─ H ─ 0, N ─ 1 ─ …
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from celeriac.transport.lanes import Lane
from celeriac.transport.tens import BATCH_LIMIT

#: How long a poll waits that follows messages, or a fault. One that is never answered is noticed
#: only some seconds after its wait is over, so a busy worker's are short. An idle one's are as
#: long as SQS allows: they cost money and hold up nothing.
BUSY_WAIT = timedelta(seconds=3)

#: Of so many messages one is a normal one, while both lanes have some.
SHARE = 5


@dataclass(frozen=True)
class Poll:
    """How many messages to ask for, and how long SQS is to wait for the first."""

    messages: int
    wait: timedelta


class Polls:
    """The polls of one channel. ``longest_wait`` is that of an idle worker's."""

    def __init__(self, longest_wait: timedelta) -> None:
        self._longest_wait = longest_wait
        self._under_way: set[Lane] = set()
        self._turns: set[Lane] = set()
        #: In the order in which they came; a dictionary is an ordered set.
        self._line: dict[Lane, None] = {}
        self._busy: set[Lane] = set()
        self._quiet: set[Lane] = set()
        #: Urgent lanes whose polls don't wait, and on which normal lanes wait therefore.
        self._asking: set[Lane] = set()
        #: Urgent lanes that gave nothing since a normal one was polled.
        self._asked: set[Lane] = set()
        #: How many urgent messages came since the last normal ones.
        self._urgent = 0

    def begin(self, lane: Lane, room: int, lanes: Sequence[Lane]) -> Poll | None:
        """The poll to make of a lane, one of several; None if it is to wait in line.

        ``room`` is how many more messages may be held.
        """
        if lane in self._under_way:
            return None
        gives = self._give(lanes, high=True)
        scarce = room < len(lanes)
        most = max(room // len(lanes), 1)
        wait = min(self._longest_wait, BUSY_WAIT) if lane in self._busy else self._longest_wait
        turn = scarce and lane not in self._quiet
        if lane.high:
            precedes = scarce and self._give(lanes, high=False)
            # It would be asked again and again, and no normal lane have its turn.
            waits = precedes and lane in self._asked
            if precedes or lane not in self._quiet:
                wait, most = timedelta(0), max(room // (len(lanes) // 2), 1)
        else:
            waits = (gives or bool(self._asking)) and not self._normal_is_due
            if gives:
                wait, most = timedelta(0), min(most, self._urgent // (SHARE - 1))
        if waits or room < 1 or (turn and len(self._turns) >= room):
            self.line_up(lane)
            return None
        self._under_way.add(lane)
        if turn:
            self._turns.add(lane)
            wait = timedelta(0)
        if lane.high and not wait:
            self._asking.add(lane)
        if not lane.high:
            self._urgent = 0
            if turn:
                self._asked.clear()
        return Poll(min(most, BATCH_LIMIT), wait)

    def end(self, lane: Lane, *, messages: int, failed: bool = False) -> None:
        """A poll has ended, and brought so many messages."""
        self._under_way.discard(lane)
        self._turns.discard(lane)
        self._asking.discard(lane)
        (self._busy.add if messages or failed else self._busy.discard)(lane)
        (self._quiet.discard if messages else self._quiet.add)(lane)
        if lane.high:
            self._urgent += messages
            (self._asked.discard if messages else self._asked.add)(lane)

    def line_up(self, lane: Lane) -> None:
        """Have a lane wait for its turn."""
        self._line[lane] = None

    def take_line(self) -> list[Lane]:
        """The lanes that wait, in their order. Each is to begin, or to line up, again."""
        line, self._line = self._line, {}
        return sorted(line, key=lambda each: each.high is self._normal_is_due)

    def _give(self, lanes: Sequence[Lane], *, high: bool) -> bool:
        """Whether any lane of this kind gave messages when it was last asked, or wasn't asked."""
        return any(each.high is high and each not in self._quiet for each in lanes)

    @property
    def _normal_is_due(self) -> bool:
        return self._urgent >= SHARE - 1
