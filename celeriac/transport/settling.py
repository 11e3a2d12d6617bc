"""Settles received messages: deletes, returns or dead-letters them.

On the event loop this takes ten messages to a call, and doesn't block. Without an event loop, or
when it is about to end, each call is made at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.transport import tens
from celeriac.transport.acknowledgements import Acknowledgements
from celeriac.transport.held import HeldMessage

if TYPE_CHECKING:
    # Only for the types: those who send import this too, and have no pycurl.
    from celeriac.transport.requests import SqsRequests

log = logging.getLogger(__name__)

#: A message that couldn't be dead-lettered returns after this delay.
DEAD_LETTER_AGAIN_AFTER = timedelta(seconds=5)


class Settling:
    """Settles the messages of one channel. ``hub`` is its event loop, if it has one."""

    def __init__(
        self, client: Callable[[], Any], requests: Callable[[], SqsRequests], hub: Any
    ) -> None:
        self._client = client
        self._requests = requests
        self._hub = hub
        self._at_once = hub is None

    @cached_property
    def _deletes(self) -> Acknowledgements:
        return Acknowledgements("DeleteMessageBatch", self._requests(), self._hub)

    @cached_property
    def _visibilities(self) -> Acknowledgements:
        return Acknowledgements("ChangeMessageVisibilityBatch", self._requests(), self._hub)

    def delete(self, message: HeldMessage) -> None:
        """Delete a message. If that fails, SQS delivers it again."""
        if self._at_once:
            self._call("delete_message_batch", [(message.queue_url, _handle(message))])
        else:
            self._deletes.add(message.queue_url, **_handle(message))

    def return_after(
        self, deliveries: Iterable[tuple[str, str]], delay: timedelta = timedelta(0)
    ) -> None:
        """Return messages to their queues, now or after a delay.

        ``deliveries`` are the URLs of their queues, each with a receipt handle.
        """
        seconds = max(0, round(delay.total_seconds()))
        entries = [
            (url, {"ReceiptHandle": handle, "VisibilityTimeout": seconds})
            for url, handle in deliveries
        ]
        if self._at_once:
            self._call("change_message_visibility_batch", entries)
            return
        for url, entry in entries:
            self._visibilities.add(url, **entry)

    def dead_letter(self, message: HeldMessage, why: str) -> None:
        """Move it to its dead-letter queue.

        SQS has no such call: the message is sent there and then deleted here. A crash in between
        leaves it in both, and what comes of the one here is the same.
        """
        try:
            self._client().send_message(
                QueueUrl=message.dead_letter_url,
                MessageBody=message.body,
                MessageAttributes={"why": {"DataType": "String", "StringValue": why[:256]}},
            )
        except (ClientError, BotoCoreError) as error:
            log.warning("a message could not be moved to the dead-letter queue: %s", error)
            self.return_after([message.delivery], delay=DEAD_LETTER_AGAIN_AFTER)
            return
        self._call("delete_message_batch", [(message.queue_url, _handle(message))])

    def end(self) -> None:
        """Send what waits for a batch now, and each later call at once: the loop ends soon."""
        self._at_once = True
        if "_deletes" in self.__dict__:
            self._call("delete_message_batch", self._deletes.take_all())
        if "_visibilities" in self.__dict__:
            self._call("change_message_visibility_batch", self._visibilities.take_all())

    def _call(self, method: str, entries: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Call SQS without the event loop. What fails is left to the visibility time-out."""
        by_queue: dict[str, list[dict[str, Any]]] = {}
        for url, parameters in entries:
            by_queue.setdefault(url, []).append(parameters)
        for url, all_parameters in by_queue.items():
            for start in range(0, len(all_parameters), tens.BATCH_LIMIT):
                # One call failing doesn't keep the others from being made.
                chunk = all_parameters[start : start + tens.BATCH_LIMIT]
                try:
                    list(tens.call(getattr(self._client(), method), url, chunk))
                except (ClientError, BotoCoreError) as error:
                    log.warning("%s: %s", method, error)


def _handle(message: HeldMessage) -> dict[str, Any]:
    return {"ReceiptHandle": message.receipt_handle}
