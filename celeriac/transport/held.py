"""What this worker has received and not yet acknowledged.

The event loop adds and removes; the renewal thread reads.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from celeriac.contract.queues import DEAD_LETTER_SUFFIX, HIGH_SUFFIX


def worker_id() -> str:
    """A name for this process that no other process ever has."""
    return f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class HeldMessage:
    """One delivery of a message. ``owner`` names it in the record's lease."""

    queue_url: str
    receipt_handle: str
    owner: str
    receives: int
    body: str
    #: What its sender has attached, as SQS's JSON has it.
    attributes: Mapping[str, Any] = field(default_factory=dict)
    received_at: float = field(default_factory=monotonic)

    @property
    def high(self) -> bool:
        """Whether it came by a lane of urgent tasks."""
        return self.queue_url.endswith(HIGH_SUFFIX)

    @property
    def dead_letter_url(self) -> str:
        """The URL of the dead-letter queue, which both lanes of its queue have."""
        return self.queue_url.removesuffix(HIGH_SUFFIX) + DEAD_LETTER_SUFFIX

    @property
    def delivery(self) -> tuple[str, str]:
        """What SQS knows it by: its queue's URL and the receipt handle."""
        return self.queue_url, self.receipt_handle


class HeldMessages:
    """The held messages, by delivery tag."""

    def __init__(self) -> None:
        self._messages: dict[str, HeldMessage] = {}
        self._lock = threading.Lock()
        self._worker_id = worker_id()
        self._deliveries = 0

    def add(self, tag: str, queue_url: str, message: Mapping[str, Any]) -> HeldMessage:
        """Take note of a delivery, and give it an owner's name."""
        with self._lock:
            self._deliveries += 1
            held = HeldMessage(
                queue_url=queue_url,
                receipt_handle=message["ReceiptHandle"],
                owner=f"{self._worker_id}/{self._deliveries}",
                receives=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                body=message["Body"],
                attributes=message.get("MessageAttributes", {}),
            )
            self._messages[tag] = held
        return held

    def remove(self, tag: str) -> HeldMessage | None:
        with self._lock:
            return self._messages.pop(tag, None)

    def get(self, tag: str) -> HeldMessage | None:
        return self._messages.get(tag)

    def snapshot(self) -> dict[str, HeldMessage]:
        """All held messages as of now."""
        with self._lock:
            return dict(self._messages)

    def __len__(self) -> int:
        return len(self._messages)
