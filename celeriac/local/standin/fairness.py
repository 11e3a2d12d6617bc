"""Fair queues: which visible message is delivered next, as AWS documents it.

A message's group is its tenant. A tenant with much of the queue's consumers is noisy, and its
messages are delivered when no quiet tenant's wait. Of several noisy tenants, the one with the
fewest messages in flight comes first. See
docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html

AWS calls the thresholds approximate, and doesn't say how long "recent" is. Here the thresholds are
exact, and what a tenant used a minute ago counts for a third.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, islice
from math import exp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celeriac.local.standin.sqs_queue import Message

#: A tenant is noisy with more than this share of the messages in flight, or of processing time.
SHARE = 0.1
#: By its share of the messages in flight, only with so many of its own.
LEAST_IN_FLIGHT = 30
#: A tenant that has sent nothing for so many seconds is quiet.
QUIET_AFTER = 300.0
#: The seconds after which processing time counts for a third: AWS says "recent".
RECENT = 60.0
#: How far from the front of its group a message may be taken when deliveries are reordered.
REORDER_DEPTH = 100


class Use:
    """Messages in flight, and their recent processing time: what is longer ago counts for less."""

    def __init__(self, now: float) -> None:
        self.in_flight = 0
        self._seconds = 0.0
        self._at = now

    def change(self, messages: int, now: float) -> None:
        """More messages are in flight, or fewer."""
        self._seconds = self.seconds(now)
        self._at = now
        self.in_flight += messages

    def seconds(self, now: float) -> float:
        faded = exp((self._at - now) / RECENT)
        return self._seconds * faded + self.in_flight * RECENT * (1 - faded)


@dataclass(eq=False)
class Tenant:
    """A group's messages that wait, each with its place in the queue."""

    use: Use
    sent_at: float
    waiting: OrderedDict[int, tuple[int, Message]] = field(default_factory=OrderedDict)
    noisy: bool = False

    @property
    def place(self) -> int:
        """That of its message which has waited longest."""
        return next(iter(self.waiting.values()))[0]


class FairLine:
    """The visible messages of a queue, by tenant.

    A message without a group is a tenant of its own. One message can't be many in flight, so such
    messages are always quiet here.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._now = clock
        self._places = count()
        self._tenants: dict[str | None, Tenant] = {}
        #: Those with messages in line.
        self._waiting: dict[str | None, Tenant] = {}
        self._all = Use(clock())

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def sent(self, message: Message) -> None:
        """A producer has sent this message, which may be delayed."""
        self._tenant(message).sent_at = self._now()

    def append(self, message: Message) -> None:
        """The message is visible."""
        tenant = self._tenant(message)
        tenant.waiting[message.serial] = (next(self._places), message)
        self._waiting[message.group] = tenant

    def remove(self, message: Message) -> None:
        """The message is in line no more, if it was."""
        tenant = self._tenant(message)
        tenant.waiting.pop(message.serial, None)
        if not tenant.waiting:
            # Its backlog is consumed.
            tenant.noisy = False
            self._waiting.pop(message.group, None)

    def pop(self, *, reordered: bool = False) -> Message:
        """Take the message that is next: never a noisy tenant's while a quiet one's waits."""
        now = self._now()
        for group, each in self._waiting.items():
            each.noisy = group is not None and self._is_noisy(each, now)
        quiet = [each for each in self._waiting.values() if not each.noisy]
        if quiet:
            tenant = random.choice(quiet) if reordered else min(quiet, key=lambda each: each.place)
        else:
            tenant = min(self._waiting.values(), key=lambda each: (each.use.in_flight, each.place))
        depth = min(len(tenant.waiting), REORDER_DEPTH)
        skipped = random.randrange(depth) if reordered else 0
        _, message = next(islice(tenant.waiting.values(), skipped, None))
        self.remove(message)
        return message

    def begin(self, message: Message) -> None:
        """The message is in flight."""
        self._change(message, 1)

    def end(self, message: Message) -> None:
        """The message is in flight no more."""
        self._change(message, -1)

    def clear(self) -> None:
        self._tenants.clear()
        self._waiting.clear()
        self._all = Use(self._now())

    def _change(self, message: Message, by: int) -> None:
        now = self._now()
        self._all.change(by, now)
        self._tenant(message).use.change(by, now)

    def _tenant(self, message: Message) -> Tenant:
        tenant = self._tenants.get(message.group)
        if tenant is None:
            now = self._now()
            tenant = self._tenants[message.group] = Tenant(Use(now), now)
        return tenant

    def _is_noisy(self, tenant: Tenant, now: float) -> bool:
        """Whether a tenant uses more than its share.

        in flight   5   29   30 ─ noisy ─ 29   12 ─ and 10 % of all: quiet
        share     60 %  80 %  80 %       79 %  10 %
        """
        if now - tenant.sent_at > QUIET_AFTER:
            return False
        use, all_ = tenant.use, self._all
        if use.seconds(now) > SHARE * all_.seconds(now):
            return True
        enough = tenant.noisy or use.in_flight >= LEAST_IN_FLIGHT
        return enough and use.in_flight > SHARE * all_.in_flight
