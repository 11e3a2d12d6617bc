"""The channel: sends to SQS, and consumes as fast as the pool takes, and no faster."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from time import monotonic
from typing import Any

from botocore.config import Config
from kombu.transport import SQS, virtual

from celeriac.topology import LONGEST_DELAY
from celeriac.transport.copies import delayed_copy
from celeriac.transport.delays import fire_later
from celeriac.transport.held import HeldMessage, HeldMessages
from celeriac.transport.lanes import Lane, lane_of, lanes_of
from celeriac.transport.outbox import current as current_outbox
from celeriac.transport.polls import Polls
from celeriac.transport.settling import Settling
from celeriac.transport.tens import BATCH_LIMIT

log = logging.getLogger(__name__)

#: Each failed poll doubles the pause before the next, up to this. Throughput is to return within
#: 10 s of a fault's end.
LONGEST_PAUSE = timedelta(seconds=5)
FIRST_PAUSE = timedelta(milliseconds=100)
#: How long a worker that ends waits for the answers to its acknowledgements.
LAST_ANSWERS = timedelta(seconds=1)

#: How often a message has been received tells one that kills its workers.
_ATTRIBUTES = ["ApproximateReceiveCount"]


class QoS(SQS.QoS):
    """Rejecting returns a message, now or after a delay; nothing is sent again."""

    #: The channel returns its messages when it closes, not a finalizer at exit.
    restore_at_shutdown = False

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self.ack(delivery_tag)


class Channel(SQS.Channel):
    """Plain JSON messages, one client for all queues, and nothing asked that is known already."""

    QoS = QoS
    #: kombu's virtual transports encode each body as base64 by default; SQS takes JSON as it is.
    body_encoding = None
    do_restore = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held = HeldMessages()
        self.last_poll_at = monotonic()
        self._polls = Polls(timedelta(seconds=self.wait_time_seconds))
        self._failed_polls = 0
        self._draining = False
        self._resting = False
        self._paused: frozenset[str] = frozenset()
        self._returns_after: dict[str, timedelta] = {}

    # -- clients

    def sqs(self, queue: str | None = None) -> Any:
        """One client for all queues: stock makes one for each, at some 40 ms."""
        client: Any = self._sqs  # type: ignore[has-type]
        if client is None:
            client = self._sqs = self._new_boto_client(
                service="sqs",
                region=self.region,
                access_key_id=None,
                secret_access_key=None,
                config=Config(
                    connect_timeout=2,
                    read_timeout=5,
                    retries={"mode": "standard", "total_max_attempts": 3},
                ),
            )
        return client

    @cached_property
    def _requests(self) -> Any:
        # Only consumers need pycurl: the Lambda, which sends, doesn't ship it.
        from celeriac.transport.requests import SqsRequests

        return SqsRequests(self.sqs(), self.hub)

    @cached_property
    def settling(self) -> Settling:
        return Settling(self.sqs, lambda: self._requests, self.hub)

    # -- sending

    def _size(self, queue: str) -> int:
        # Asked for when a queue is declared, which would cost a GetQueueAttributes at the first
        # publish of every process.
        return 0

    def _purge(self, queue: str) -> int:
        """`celery purge` asks for this. Raises ``PurgeRefusedError``."""
        from celeriac.transport.purging import PurgeRefusedError

        raise PurgeRefusedError(queue)

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        lane = lane_of(queue, message["properties"].get("priority")).name
        delay = timedelta(seconds=message["properties"].get("DelaySeconds") or 0)
        if delay > LONGEST_DELAY:
            fire_later(message["headers"], delay)
            return
        outbox = current_outbox()
        if outbox is None:
            super()._put(lane, message, **kwargs)
            return
        properties = message["properties"]
        attributes = properties.pop("message_attributes", None)
        parameters = {"QueueUrl": self._new_queue(lane), "MessageBody": json.dumps(message)}
        if attributes:
            parameters["MessageAttributes"] = attributes
        if delay:
            parameters["DelaySeconds"] = int(delay.total_seconds())
        if "MessageGroupId" in properties:
            parameters["MessageGroupId"] = properties["MessageGroupId"]
        outbox.add(self.sqs(), message["headers"]["id"], parameters)

    # -- receiving

    def _schedule_queue(self, queue: str) -> None:
        """Poll the lanes of a queue that are due."""
        for lane in lanes_of(queue):
            self._schedule_lane(lane)

    def _schedule_lane(self, lane: Lane) -> None:
        """Poll a lane, if it is its turn."""
        if self._draining or lane.queue not in self._active_queues:
            return
        if self._resting or lane.queue in self._paused:
            self._polls.line_up(lane)
            return
        active = [queue for queue in self._active_queues if queue not in self._paused]
        lanes = [each for queue in active for each in lanes_of(queue)]
        room = self.qos.can_consume_max_estimate()
        poll = self._polls.begin(lane, len(lanes) * BATCH_LIMIT if room is None else room, lanes)
        if poll is None:
            return
        self._requests.call(
            "ReceiveMessage",
            {
                "QueueUrl": self._new_queue(lane.name),
                "MaxNumberOfMessages": poll.messages,
                "WaitTimeSeconds": int(poll.wait.total_seconds()),
                "MessageSystemAttributeNames": _ATTRIBUTES,
                # Those that a sender has attached go with a copy of the message.
                "MessageAttributeNames": ["All"],
            },
            lambda answer: self._on_polled(lane, answer),
            wait=poll.wait,
        )

    def _poll_in_line(self) -> None:
        for lane in self._polls.take_line():
            self._schedule_lane(lane)

    def _on_polled(self, lane: Lane, answer: Any) -> None:
        messages = answer.body.get("Messages", [])
        self._polls.end(lane, messages=len(messages), failed=not answer.ok)
        # Answered or not: a worker is well that tries.
        self.last_poll_at = monotonic()
        if not answer.ok:
            self._failed_polls += 1
            ceiling = FIRST_PAUSE.total_seconds() * 2 ** min(self._failed_polls, 10)
            pause = random.uniform(0.5, 1) * min(LONGEST_PAUSE.total_seconds(), ceiling)
            log.warning("%s; polling %s again in %.1f s", answer.error, lane.name, pause)
            self.hub.call_later(pause, self._schedule_lane, lane)
            self._poll_in_line()
            return
        self._failed_polls = 0
        callback = self.connection._callbacks.get(lane.queue)  # noqa: SLF001 - as the base class does
        url = self._new_queue(lane.name)
        stopped = self._draining or self._resting or lane.queue in self._paused
        if messages and (callback is None or stopped):
            # Consuming ended, or pauses, while the poll was under way.
            self._release_messages(url, lane.queue, messages)
            messages = []
        for message in messages:
            self._deliver(lane.queue, url, message, callback)
        self._polls.line_up(lane)
        self._poll_in_line()

    def _deliver(
        self, queue: str, url: str, message: dict[str, Any], callback: Callable[[Any], None]
    ) -> None:
        """Hand a message to the worker; what has not the shape of one is dead-lettered.

        An exception would end the event loop, and with it every worker that receives the message.
        """
        tag = message["ReceiptHandle"]
        try:
            callback(self._message_to_python(message, queue, url))
        except Exception as error:
            # Whatever its content, such as 100,000 nested lists.
            log.exception("a message that has not the shape of one goes to the dead-letter queue")
            # A text that can't be parsed has not been held yet.
            held = self.held.remove(tag) or self.held.add(tag, url, message)
            self.held.remove(tag)
            self.qos.ack(tag)
            self.settling.dead_letter(held, f"malformed message: {error!r}")

    def _envelope_payload(
        self, payload: dict[str, Any], raw_text: str, message: dict[str, Any], q_url: str
    ) -> dict[str, Any]:
        held = self.held.add(message["ReceiptHandle"], q_url, message)
        envelope: dict[str, Any] = super()._envelope_payload(payload, raw_text, message, q_url)
        # One owner is one delivery of the message to one worker: it names the holder of the lease
        # to the main process and to its child alike.
        headers = envelope.setdefault("headers", {})
        if isinstance(headers, dict):
            headers["owner"] = held.owner
        envelope["properties"]["delivery_info"]["redelivered"] = held.receives > 1
        return envelope

    def basic_qos(self, *args: Any, **kwargs: Any) -> None:
        super().basic_qos(*args, **kwargs)
        if self.hub is not None:
            self.wake()

    @property
    def has_room(self) -> bool:
        """Whether it polls: there is room for messages, and not all is at rest or paused."""
        return (
            bool(self.qos.can_consume())
            and not self._resting
            and not self._paused.issuperset(self._active_queues)
        )

    def rest(self, resting: bool) -> None:
        """Begin no more polls, or go on: the next wake polls again."""
        if self._resting and not resting:
            self.last_poll_at = monotonic()
        self._resting = resting

    def pause(self, queues: frozenset[str]) -> None:
        """Poll these queues no more, and all others: the next wake polls again."""
        if self._paused - queues:
            self.last_poll_at = monotonic()
        self._paused = queues

    def is_paused(self, held: HeldMessage) -> bool:
        """Whether a held message is of a queue that is paused."""
        return any(
            held.queue_url == self._new_queue(lane.name)
            for queue in self._paused.intersection(self._active_queues)
            for lane in lanes_of(queue)
        )

    def wake(self) -> None:
        """There is room again: poll the queues that wait for some."""
        self.hub.call_soon(self._poll_in_line)

    # -- settling

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Delete the message, with others, within tens of milliseconds.

        A lost acknowledgement costs one redelivery, which the claim drops.
        """
        held, _ = self._drop(delivery_tag)
        virtual.Channel.basic_ack(self, delivery_tag, multiple)
        if held is None:
            return
        self.settling.delete(held)
        self._wake_if_consuming()

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Return the message to its queue, or dead-letter it."""
        held, delay = self._drop(delivery_tag)
        virtual.Channel.basic_reject(self, delivery_tag, requeue=requeue)
        if held is None:
            return
        if requeue:
            self.settling.return_after([held.delivery], delay=delay)
        else:
            self.settling.dead_letter(held, "rejected")
        self._wake_if_consuming()

    def return_after(self, delivery_tag: str, delay: timedelta) -> None:
        """Have a message that is rejected next return after this delay."""
        if self.held.get(delivery_tag) is not None:
            self._returns_after[delivery_tag] = delay

    def send_copy(self, delivery_tag: str, seconds: int, changes: Mapping[str, Any]) -> None:
        """Send a held message once more, to arrive after so many seconds; it is still held.

        ``changes`` are made to the header that is ours. In any thread.

        Raises:
            botocore.exceptions.ClientError: SQS refuses it.
            botocore.exceptions.BotoCoreError: SQS can't be reached.
        """
        held = self.held.get(delivery_tag)
        if held is not None:
            self.sqs().send_message(**delayed_copy(held, seconds, changes))

    def _drop(self, delivery_tag: str) -> tuple[HeldMessage | None, timedelta]:
        """Stop holding a message: the message, and the delay of its return."""
        delay = self._returns_after.pop(delivery_tag, timedelta(0))
        return self.held.remove(delivery_tag), delay

    def _release_messages(self, queue: str, qname: str, messages: list[dict[str, Any]]) -> None:
        self.settling.return_after((queue, each["ReceiptHandle"]) for each in messages)

    def _wake_if_consuming(self) -> None:
        if self.hub is not None and not self._draining:
            self.wake()

    # -- ending

    def drain(self) -> None:
        """Stop polling, and make every acknowledgement at once: the event loop is about to end."""
        self._draining = True
        self.settling.end()

    def abandon(self, delivery_tag: str) -> None:
        """Stop holding a message that another worker has. SQS is told nothing."""
        self._drop(delivery_tag)
        self.qos.ack(delivery_tag)
        self._wake_if_consuming()

    def return_now(self, delivery_tags: list[str]) -> None:
        """Return held messages to their queues, visible now.

        This doesn't poll: a busy worker would receive the same messages again.
        """
        shown = []
        for tag in delivery_tags:
            held, _ = self._drop(tag)
            if held is not None:
                # Only what is held: another mark would count against the room there is.
                self.qos.ack(tag)
                shown.append(held.delivery)
        self.settling.return_after(shown)

    def end_polls(self) -> None:
        """End the polls that are under way. Messages that arrive meanwhile are returned.

        On the event loop's thread, once the loop has ended.
        """
        self._draining = True
        if "_requests" in self.__dict__:
            self._requests.finish(LAST_ANSWERS)
        self.settling.end()

    def close(self) -> None:
        self._draining = True
        self.settling.end()
        super().close()


class Transport(SQS.Transport):
    """The transport that ``broker_transport`` names."""

    Channel = Channel
