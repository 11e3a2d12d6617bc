"""Which queue a worker polls, and what it holds of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from kombu.transport.virtual import Message

from celeriac.app.factory import Celeriac
from celeriac.contract import Queue, catalogue
from celeriac.storage.services import services
from celeriac.transport import Channel
from celeriac.transport.requests import Answer
from tasks.queues import FILES

QUEUES = catalogue().queues
#: Each queue has two.
LANES = 2 * len(QUEUES)


LONG = timedelta(seconds=20)


class Loop:
    """The part of kombu's event loop that a channel uses; the test turns it."""

    def __init__(self) -> None:
        self._ready: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self._ready.append(lambda: callback(*args))

    def call_later(self, _: float, callback: Callable[..., None], *args: Any) -> None:
        self.call_soon(callback, *args)

    def turn(self) -> None:
        while self._ready:
            self._ready.pop(0)()


@dataclass
class Poll:
    queue_url: str
    messages: int
    wait: timedelta
    done: Callable[[Answer], None]


class Sqs:
    """Answers polls with what is in the queues; one that waits stays until there is something."""

    def __init__(self) -> None:
        self.under_way: list[Poll] = []
        self.fails: set[str] = set()

    def call(
        self,
        operation: str,
        parameters: dict[str, Any],
        done: Callable[[Answer], None],
        *,
        wait: timedelta = timedelta(0),
    ) -> None:
        if operation == "DeleteMessageBatch":
            services().sqs.delete_message_batch(**parameters)
        if operation == "ReceiveMessage":
            url, messages = parameters["QueueUrl"], parameters["MaxNumberOfMessages"]
            self.under_way.append(Poll(url, messages, wait, done))

    def answer(self) -> bool:
        """Answer the polls under way; whether one was."""
        polls, self.under_way = self.under_way, []
        stay = [each for each in polls if not self._answer(each)]
        self.under_way += stay
        return len(stay) < len(polls)

    def _answer(self, poll: Poll) -> bool:
        if poll.queue_url in self.fails:
            poll.done(Answer({}, "it can't"))
            return True
        body: Any = services().sqs.receive_message(
            QueueUrl=poll.queue_url, MaxNumberOfMessages=poll.messages, WaitTimeSeconds=0
        )
        if not body.get("Messages") and poll.wait:
            return False
        poll.done(Answer(body))
        return True


class Consumer:
    """Holds messages of all queues, and ends them when the test says so."""

    def __init__(self, app: Celeriac, room: int) -> None:
        self.app = app
        self.sqs = Sqs()
        self.loop = Loop()
        self.channel: Channel = app.connection_for_read().channel()
        self.channel.hub = self.loop
        self.channel.__dict__["_requests"] = self.sqs
        self.held: list[Message] = []
        self.ended: Counter[str] = Counter()
        self.channel.basic_qos(0, room, False)
        for queue in QUEUES:
            self.channel.basic_consume(queue.name, False, self.held.append, f"tag-{queue.name}")

    def send(self, queue: Queue, count: int = 1, **options: Any) -> None:
        for number in range(count):
            self.app.tasks["double"].apply_async((number,), queue=queue.name, **options)

    def receive(self) -> None:
        """Take what there is and has room."""
        self.loop.turn()
        while self.sqs.answer():
            self.loop.turn()

    def end_one(self) -> None:
        message = self.held.pop(0)
        self.ended[message.delivery_info["routing_key"]] += 1
        message.ack()


def drain(consumer: Consumer) -> None:
    """Leave no message to the next test."""
    consumer.sqs.fails.clear()
    consumer.receive()
    while consumer.held:
        consumer.end_one()
        consumer.receive()


@pytest.fixture
def consumer(app: Celeriac) -> Iterator[Consumer]:
    consumer = Consumer(app, room=1)
    yield consumer
    drain(consumer)


def test_with_room_for_one_the_queues_take_turns(consumer: Consumer) -> None:
    """None is held that there is no room for, and no queue is passed over."""
    for queue in QUEUES:
        consumer.send(queue, 3)

    for _ in range(2 * len(QUEUES)):
        consumer.receive()
        assert len(consumer.held) == 1
        consumer.end_one()

    assert consumer.ended == {queue.name: 2 for queue in QUEUES}


def test_an_idle_worker_waits_at_every_queue(consumer: Consumer) -> None:
    """Even with room for one: a message is taken wherever it comes, without a turn."""
    consumer.receive()

    assert [each.wait for each in consumer.sqs.under_way] == [LONG] * LANES
    for queue in QUEUES:
        consumer.send(queue)
        consumer.receive()
        assert len(consumer.held) == 1
        consumer.end_one()


def test_a_queue_that_gives_nothing_takes_no_turns(consumer: Consumer) -> None:
    """The one that has messages is polled as if it were the only one."""
    busy, *_ = QUEUES
    consumer.send(busy, 5)

    for _ in range(5):
        consumer.receive()
        assert len(consumer.held) == 1
        consumer.end_one()

    assert consumer.ended == {busy.name: 5}


def test_a_queue_that_fails_holds_up_no_other(consumer: Consumer) -> None:
    """While its polls fail, the others have their turns."""
    broken, *others = QUEUES
    consumer.sqs.fails.add(services().settings.queue_url(broken))
    for queue in others:
        consumer.send(queue)

    for _ in others:
        consumer.loop.turn()
        for _ in range(2 * LANES):
            consumer.sqs.answer()
            consumer.loop.turn()
        assert len(consumer.held) == 1
        consumer.end_one()

    assert consumer.ended == {queue.name: 1 for queue in others}


def test_with_room_for_all_each_queue_is_asked_for_its_share(app: Celeriac) -> None:
    """Side by side, for as many as there is room for together."""
    consumer = Consumer(app, room=2 * LANES + 1)
    consumer.receive()

    assert [each.messages for each in consumer.sqs.under_way] == [2] * LANES
    assert [each.wait for each in consumer.sqs.under_way] == [LONG] * LANES


def test_urgent_messages_come_first(consumer: Consumer) -> None:
    """However many normal ones of its queue came before them."""
    consumer.send(FILES, 6)
    consumer.receive()
    consumer.send(FILES, 3, priority=9)

    begun = []
    for _ in range(4):
        consumer.end_one()
        consumer.receive()
        begun.append(consumer.held[0].properties["priority"])

    assert begun == [9, 9, 9, 0]


def test_a_channel_at_rest_receives_nothing(consumer: Consumer) -> None:
    """Neither by a new poll nor by one that was under way: its messages are another worker's."""
    consumer.receive()
    assert consumer.sqs.under_way
    consumer.channel.rest(True)
    consumer.send(FILES, 2)

    consumer.receive()
    consumer.channel.wake()
    consumer.receive()
    assert consumer.held == []
    assert not consumer.channel.has_room

    consumer.channel.rest(False)
    consumer.channel.wake()
    consumer.receive()
    assert len(consumer.held) == 1
