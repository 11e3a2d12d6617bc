"""Urgent messages come first, and normal ones have their share."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.contract.queues import HIGH
from celeriac.transport import lanes
from celeriac.transport.lanes import Lane, lanes_of
from celeriac.transport.polls import SHARE, Poll, Polls
from celeriac.worker.turns import Turns

LONG = timedelta(seconds=20)
HIGH_LANE, NORMAL_LANE = lanes_of("files")


class Worker:
    """A worker of some queues that holds up to ``room`` messages and ends one at a time."""

    def __init__(self, room: int, waiting: dict[Lane, int]) -> None:
        self.waiting = Counter(waiting)
        self.polled: Counter[Lane] = Counter()
        self._lanes = sorted(waiting, key=lambda lane: not lane.high)
        self._room = room
        self._polls = Polls(LONG)
        self._under_way: dict[Lane, Poll] = {}
        self._held: Turns[Lane] = Turns()
        for lane in self._lanes:
            self._polls.line_up(lane)

    def end_one(self) -> Lane | None:
        """The lane of the message whose task runs next, once nothing more is received."""
        while self._poll() or self._answer():
            pass
        return self._held.take() if len(self._held) else None

    def _poll(self) -> bool:
        begun = False
        for lane in self._polls.take_line():
            poll = self._polls.begin(lane, self._room - len(self._held), self._lanes)
            if poll is not None:
                self._under_way[lane] = poll
                begun = True
        return begun

    def _answer(self) -> bool:
        answered = False
        for lane, poll in list(self._under_way.items()):
            count = min(poll.messages, self.waiting[lane])
            if not count and poll.wait:
                continue
            answered = True
            del self._under_way[lane]
            self.polled[lane] += 1
            self.waiting[lane] -= count
            self._polls.end(lane, messages=count)
            for _ in range(count):
                self._held.add(lane, high=lane.high)
            self._polls.line_up(lane)
        return answered


@pytest.mark.parametrize("room", [1, 2, 3, 8, 40])
def test_normal_messages_have_their_share_of_a_flood(room: int) -> None:
    """One of five, while urgent ones never end."""
    worker = Worker(room, {HIGH_LANE: 10_000, NORMAL_LANE: 10_000})

    begun = Counter(worker.end_one() for _ in range(1000))

    assert begun[NORMAL_LANE] == pytest.approx(1000 / SHARE, abs=1000 / SHARE / 10)


@pytest.mark.parametrize("room", [1, 2, 8, 40])
def test_an_urgent_message_overtakes_a_thousand(room: int) -> None:
    """It is the next task that a busy worker begins."""
    worker = Worker(room, {HIGH_LANE: 0, NORMAL_LANE: 1000})
    for _ in range(10):
        assert worker.end_one() == NORMAL_LANE

    worker.waiting[HIGH_LANE] += 3

    begun = [worker.end_one() for _ in range(5)]
    assert begun.count(HIGH_LANE) == 3
    assert HIGH_LANE in begun[:2]


@pytest.mark.parametrize("room", [1, 2, 8, 40])
def test_without_urgent_messages_their_lane_costs_few_polls(room: int) -> None:
    """At most one for each poll that brings normal ones."""
    worker = Worker(room, {HIGH_LANE: 0, NORMAL_LANE: 200})
    while worker.end_one():
        pass

    assert worker.polled[HIGH_LANE] <= worker.polled[NORMAL_LANE] + 1


@settings(deadline=None)
@given(
    room=st.integers(1, 30),
    counts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=4),
)
def test_every_message_is_begun(room: int, counts: list[tuple[int, int]]) -> None:
    """Whatever waits in which lanes, no lane waits for another forever."""
    waiting: dict[Lane, int] = {}
    for place, (high, normal) in enumerate(counts):
        waiting |= dict(zip(lanes_of(f"q{place}"), (high, normal), strict=True))
    worker = Worker(room, waiting)

    begun = Counter(iter(worker.end_one, None))

    assert begun == +Counter(waiting)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (None, "files"),
        (0, "files"),
        (5, "files"),
        (6, "files-high"),
        (9, "files-high"),
        (255, "files-high"),
        ("9", "files"),
        (True, "files"),
    ],
)
def test_celerys_numbers_choose_the_lane(number: object, name: str) -> None:
    """Above five a task is urgent; what isn't a number says nothing."""
    assert lanes.lane_of("files", number).name == name


@pytest.mark.parametrize(
    ("priority", "asked", "number"),
    [
        (None, None, None),
        (None, 3, 3),
        (None, 9, None),
        (HIGH, None, 9),
        (HIGH, 7, 7),
        (HIGH, 2, 9),
    ],
)
def test_a_record_decides_the_lane_of_its_messages(
    priority: str | None, asked: int | None, number: int | None
) -> None:
    """The number that its caller asked for stays, unless it means another lane."""
    assert lanes.number_of(priority, asked) == number
