"""One queue of SQS: its messages are in line, in flight or delayed."""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.fairness import FairLine

if TYPE_CHECKING:
    from celeriac.local.standin.sqs import Sqs

ACCOUNT = "123456789012"
REGION = "us-east-1"
#: A duplicate comes up to so many seconds after its original.
DUPLICATE_WITHIN = 2.0
_DEFAULTS = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
}

Answered = Callable[[dict[str, Any]], None]


@dataclass(eq=False)
class Message:
    """``hidden_until`` is 0 while it stands in the queue's line."""

    id: str
    body: str
    md5: str
    attributes: dict[str, Any]
    group: str | None
    sent_at: float
    receives: int = 0
    first_received_at: float | None = None
    hidden_until: float = 0
    delayed: bool = False
    #: Received by a consumer, and neither deleted nor visible again.
    in_flight: bool = False
    deleted: bool = False
    #: Tells a duplicate's receipt handles from its original's.
    serial: int = field(default_factory=count(1).__next__)

    @property
    def handle(self) -> str:
        return f"{self.serial}.{self.receives}"

    def copy(self, *, receives: int) -> Message:
        """The same message, to be delivered and deleted on its own."""
        return Message(
            self.id,
            self.body,
            self.md5,
            self.attributes,
            self.group,
            self.sent_at,
            receives=receives,
        )


@dataclass(eq=False)
class Poll:
    """A ReceiveMessage that waits."""

    parameters: dict[str, Any]
    answered: Answered
    timer: asyncio.TimerHandle | None = None
    over: bool = False


class Queue:
    """One queue. Messages are in line, or hidden; never looked for in a list."""

    def __init__(self, sqs: Sqs, name: str, attributes: dict[str, str]) -> None:
        self._sqs = sqs
        self.name = name
        self.attributes = {**_DEFAULTS, **attributes}
        self.messages: dict[int, Message] = {}
        self._line = FairLine()
        self._hidden: list[tuple[float, int, Message]] = []
        self._polls: deque[Poll] = deque()
        self._waker: asyncio.TimerHandle | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"

    def put(self, message: Message, delay: float = 0) -> None:
        self.messages[message.serial] = message
        self._line.sent(message)
        if delay > 0:
            message.delayed = True
            self.hide(message, delay)
        else:
            self._line.append(message)
            self._serve()

    def hide(self, message: Message, seconds: float) -> None:
        message.hidden_until = time.monotonic() + seconds
        heapq.heappush(self._hidden, (message.hidden_until, message.serial, message))
        self._arm()

    def show(self, message: Message) -> None:
        self._make_visible(message)
        self._serve()

    def delete(self, message: Message) -> None:
        self._land(message)
        self._line.remove(message)
        message.deleted = True
        self.messages.pop(message.serial, None)

    def find(self, handle: str) -> Message:
        """The message of this handle's delivery.

        Raises:
            AwsError: it was deleted, or has been delivered again since.
        """
        serial, _, receives = handle.partition(".")
        if not serial.isdecimal() or not receives.isdecimal():
            raise AwsError(
                "ReceiptHandleIsInvalid", "The input receipt handle is invalid.", status=404
            )
        message = self.messages.get(int(serial))
        if message is None or message.receives != int(receives):
            raise AwsError(
                "InvalidParameterValue",
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not "
                "exist or is not available for visibility timeout change.",
            )
        return message

    def receive(self, parameters: dict[str, Any], answered: Answered) -> Poll | None:
        """Answer at once if there is something, or when there is, or when the time is over."""
        self._surface()
        taken = self._take(parameters)
        wait = parameters.get("WaitTimeSeconds")
        if wait is None:
            wait = int(self.attributes["ReceiveMessageWaitTimeSeconds"])
        if taken or not wait:
            answered({"Messages": taken} if taken else {})
            return None
        poll = Poll(parameters, answered)
        poll.timer = self._sqs.loop.call_later(wait, self._expire, poll)
        self._polls.append(poll)
        self._arm()
        return poll

    def abandon(self, poll: Poll) -> None:
        """The client has hung up: no message is for it."""
        poll.over = True
        if poll.timer is not None:
            poll.timer.cancel()

    def depths(self) -> tuple[int, int, int]:
        """How many messages are visible, in flight and delayed."""
        self._surface()
        hidden = [each for each in self.messages.values() if each.hidden_until]
        delayed = sum(1 for each in hidden if each.delayed)
        return len(self.messages) - len(hidden), len(hidden) - delayed, delayed

    def purge(self) -> None:
        for message in list(self.messages.values()):
            self.delete(message)
        self._line.clear()
        self._hidden.clear()

    def _expire(self, poll: Poll) -> None:
        if not poll.over:
            poll.over = True
            poll.answered({})

    def _surface(self) -> None:
        """Let messages come back whose time of hiding is over."""
        now = time.monotonic()
        while self._hidden and self._hidden[0][0] <= now:
            hidden_until, _, message = heapq.heappop(self._hidden)
            # Another entry may have replaced this one.
            if message.hidden_until == hidden_until and not message.deleted:
                self._make_visible(message)

    def _make_visible(self, message: Message) -> None:
        self._land(message)
        message.hidden_until = 0
        message.delayed = False
        self._line.append(message)

    def _land(self, message: Message) -> None:
        """The message is in flight no more, if it was."""
        if message.in_flight:
            message.in_flight = False
            self._line.end(message)

    def _serve(self) -> None:
        while self._line and self._polls:
            poll = self._polls.popleft()
            if poll.over:
                continue
            taken = self._take(poll.parameters)
            if not taken:
                self._polls.appendleft(poll)
                return
            self.abandon(poll)
            poll.answered({"Messages": taken})

    def _arm(self) -> None:
        """Serve those that wait when the next message comes back."""
        if self._waker is not None:
            self._waker.cancel()
            self._waker = None
        if self._hidden and self._polls:
            # Loop time and monotonic time are the same clock.
            self._waker = self._sqs.loop.call_at(self._hidden[0][0] + 0.001, self._wake)

    def _wake(self) -> None:
        self._waker = None
        self._surface()
        self._serve()
        self._arm()

    def _take(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        most = parameters.get("MaxNumberOfMessages", 1)
        visibility = parameters.get("VisibilityTimeout")
        if visibility is None:
            visibility = int(self.attributes["VisibilityTimeout"])
        wanted = set(parameters.get("MessageSystemAttributeNames", ())) | set(
            parameters.get("AttributeNames", ())
        )
        taken: list[dict[str, Any]] = []
        while self._line and len(taken) < most:
            reordered = self._sqs.faults.of_delivery("reorder") is not None
            message = self._line.pop(reordered=reordered)
            message.receives += 1
            if self._is_dead(message):
                continue
            message.first_received_at = message.first_received_at or time.time()
            message.in_flight = True
            self._line.begin(message)
            self.hide(message, visibility)
            if self._sqs.faults.of_delivery("duplicate"):
                self._duplicate(message)
            taken.append(_delivered(message, wanted, parameters))
        return taken

    def _duplicate(self, message: Message) -> None:
        """A server that SQS keeps a copy on does not know of the delivery."""
        self._sqs.duplicates += 1
        copy = message.copy(receives=message.receives)
        self.put(copy, random.uniform(0.001, DUPLICATE_WITHIN))
        copy.delayed = False

    def _is_dead(self, message: Message) -> bool:
        policy = self.attributes.get("RedrivePolicy")
        if not policy:
            return False
        redrive = json.loads(policy)
        if message.receives <= int(redrive["maxReceiveCount"]):
            return False
        target = self._sqs.queues.get(redrive["deadLetterTargetArn"].rpartition(":")[2])
        if target is None:
            return False
        self.delete(message)
        target.put(message.copy(receives=message.receives - 1))
        return True


def _delivered(message: Message, wanted: set[str], parameters: dict[str, Any]) -> dict[str, Any]:
    delivered: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": message.handle,
        "MD5OfBody": message.md5,
        "Body": message.body,
    }
    if wanted:
        known = {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_at * 1000)),
            "ApproximateFirstReceiveTimestamp": str(int((message.first_received_at or 0) * 1000)),
        }
        if message.group is not None:
            known["MessageGroupId"] = message.group
        delivered["Attributes"] = (
            known if "All" in wanted else {name: known[name] for name in wanted if name in known}
        )
    if message.attributes and parameters.get("MessageAttributeNames"):
        delivered["MessageAttributes"] = message.attributes
    return delivered
