"""The stand-in's fair queues, held against what AWS documents of SQS's.

docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.local.standin.fairness import LEAST_IN_FLIGHT, QUIET_AFTER, SHARE, FairLine
from celeriac.local.standin.sqs_queue import Message


@dataclass
class Scene:
    """A line, a clock that the test moves, and who has what in flight."""

    now: float = 1000.0
    taken: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = FairLine(lambda: self.now)

    def send(self, group: str | None, messages: int = 1) -> None:
        for _ in range(messages):
            message = Message("id", "", "", {}, group, self.now)
            self.line.sent(message)
            self.line.append(message)

    def receive(self, messages: int = 1) -> list[str | None]:
        """Receive so many; their groups."""
        for _ in range(messages):
            self.taken.append(self.line.pop())
            self.line.begin(self.taken[-1])
        return [each.group for each in self.taken[-messages:]]

    def end(self, message: Message) -> None:
        self.taken.remove(message)
        self.line.end(message)

    def end_all(self, group: str | None) -> None:
        for message in [each for each in self.taken if each.group == group]:
            self.end(message)


def quiet_crowd(scene: Scene, tenants: int, seconds: float) -> None:
    """Many tenants have used the consumers alike, none of them more than its share."""
    for each in range(tenants):
        scene.send(f"crowd-{each}")
    scene.receive(tenants)
    scene.now += seconds
    for message in list(scene.taken):
        scene.end(message)


@pytest.mark.parametrize("flood", [LEAST_IN_FLIGHT - 1, LEAST_IN_FLIGHT])
def test_a_tenant_is_noisy_from_thirty_messages_in_flight(flood: int) -> None:
    """With fewer, and little processing time, its older message is delivered first."""
    scene = Scene()
    quiet_crowd(scene, 50, seconds=60)
    scene.send("flooder", flood + 1)
    scene.receive(flood)
    scene.send("quiet")

    noisy = flood >= LEAST_IN_FLIGHT
    assert scene.receive() == ["quiet" if noisy else "flooder"]


@pytest.mark.parametrize("others", [LEAST_IN_FLIGHT * 8, LEAST_IN_FLIGHT * 10])
def test_thirty_in_flight_are_noisy_only_above_a_tenth(others: int) -> None:
    """Of a large fleet's messages in flight, thirty are an ordinary share."""
    scene = Scene()
    quiet_crowd(scene, 50, seconds=60)
    for each in range(others):
        scene.send(f"other-{each}")
    scene.receive(others)
    scene.send("busy", LEAST_IN_FLIGHT + 1)
    scene.receive(LEAST_IN_FLIGHT)
    scene.send("quiet")

    share = LEAST_IN_FLIGHT / (others + LEAST_IN_FLIGHT)
    assert scene.receive() == ["quiet" if share > SHARE else "busy"]


@pytest.mark.parametrize("seconds", [1, 120])
def test_a_tenant_of_few_slow_messages_is_noisy_by_its_processing_time(seconds: float) -> None:
    """Two of its messages take the consumers' time that fifty others took before."""
    scene = Scene()
    quiet_crowd(scene, 50, seconds=10)
    scene.send("slow", 3)
    scene.receive(2)
    scene.now += seconds
    scene.send("quiet")

    assert scene.receive() == ["quiet" if seconds > 100 else "slow"]


def flooded() -> Scene:
    """Somebody has forty messages in flight and sixty in line."""
    scene = Scene()
    quiet_crowd(scene, 50, seconds=60)
    scene.send("flooder", 100)
    scene.receive(40)
    return scene


def test_a_noisy_tenants_messages_are_delivered_when_no_others_wait() -> None:
    """SQS limits nobody's rate: consumers with time get them."""
    assert flooded().receive(60) == ["flooder"] * 60


def test_a_noisy_tenant_stays_so_until_its_share_is_small() -> None:
    """Below thirty in flight it is still far above the others; at a tenth of all it is not."""
    scene = flooded()
    scene.receive()
    for message in scene.taken[:31]:
        scene.end(message)
    scene.send("quiet", 2)
    assert scene.receive() == ["quiet"]

    scene.end_all("flooder")
    scene.now += 60  # the processing time of forty messages at once took none
    assert scene.receive() == ["flooder"]


def test_a_tenant_without_a_backlog_is_quiet_again() -> None:
    """Its next message is in line like any other's."""
    scene = Scene()
    quiet_crowd(scene, 50, seconds=60)
    scene.send("flooder", 40)
    scene.receive(40)
    for message in scene.taken[:20]:
        scene.end(message)
    scene.send("flooder")
    scene.send("quiet")

    assert scene.receive() == ["flooder"]


@pytest.mark.parametrize("seconds", [QUIET_AFTER - 1, QUIET_AFTER + 1])
def test_a_tenant_that_has_sent_nothing_for_five_minutes_is_quiet(seconds: float) -> None:
    """What is left of its backlog is in line like any other's."""
    scene = flooded()
    scene.now += seconds
    scene.send("quiet")

    assert scene.receive() == ["quiet" if seconds < QUIET_AFTER else "flooder"]


def test_of_several_noisy_tenants_the_one_with_the_fewest_in_flight_comes_first() -> None:
    """Their messages in flight become as many."""
    scene = Scene()
    quiet_crowd(scene, 50, seconds=60)
    for group, messages in [("a", 60), ("b", 40)]:
        scene.send(group, messages)
        scene.receive(messages)
        scene.send(group, 60)

    received = scene.receive(40)
    assert received[:20] == ["b"] * 20
    assert (received[20:].count("a"), received[20:].count("b")) == (10, 10)


def test_a_message_without_a_group_is_a_tenant_of_its_own() -> None:
    """However many there are, they are quiet."""
    scene = flooded()
    scene.send(None, 50)

    assert scene.receive(50) == [None] * 50


#: What may happen to a queue: sends, receives, ends and time, of any tenants.
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from([*"abcde", None]), st.integers(1, 60)),
        st.tuples(st.just("receive"), st.integers(1, 60)),
        st.tuples(st.just("end"), st.integers(0, 1000)),
        st.tuples(st.just("pass"), st.floats(0, 400)),
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_no_message_is_lost_or_delivered_twice(
    events: list[tuple[object, ...]],
) -> None:
    """Each message is received once, in its tenant's order, and no noisy one before a quiet one."""
    scene = Scene()
    sent: list[int] = []
    received: list[Message] = []
    for event in events:
        match event:
            case "send", str() | None as group, int() as messages:
                before = Message("id", "", "", {}, None, 0).serial
                scene.send(group, messages)
                sent += range(before + 1, before + 1 + messages)
            case "receive", int() as messages:
                for _ in range(min(messages, len(sent) - len(received))):
                    scene.receive()
                    received.append(scene.taken[-1])
            case "end", int() as which if scene.taken:
                scene.end(scene.taken[which % len(scene.taken)])
            case "pass", float() as seconds:
                scene.now += seconds
    while scene.line:
        scene.receive()
        received.append(scene.taken[-1])
    assert sorted(each.serial for each in received) == sent
    for group in {each.group for each in received}:
        own = [each.serial for each in received if each.group == group]
        assert own == sorted(own)
