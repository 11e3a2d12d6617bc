"""Acknowledgements and visibility changes, ten to a call, without blocking the event loop."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac.transport import tens

if TYPE_CHECKING:
    # Only for the types: this is imported by those who send, and they have no pycurl.
    from celeriac.transport.requests import Answer, SqsRequests

log = logging.getLogger(__name__)

#: How long an entry waits for others to go with.
LINGER = timedelta(milliseconds=25)
#: How often an entry is tried. Then it is left to redelivery, which the claim drops.
TRIES = 6
#: After a failed try, doubled each time: six tries span some six seconds, less than a visibility.
PAUSE = timedelta(milliseconds=200)


@dataclass(frozen=True)
class _Entry:
    parameters: dict[str, Any]
    tries: int = 0


class Acknowledgements:
    """One batch operation of SQS, such as ``DeleteMessageBatch``."""

    def __init__(self, operation: str, requests: SqsRequests, hub: Any) -> None:
        self._operation = operation
        self._requests = requests
        self._hub = hub
        self._entries: defaultdict[str, list[_Entry]] = defaultdict(list)
        self._lingering: set[str] = set()

    def add(self, queue_url: str, **parameters: Any) -> None:
        """Send this entry along with others, within tens of milliseconds."""
        self._add(queue_url, _Entry(parameters))

    def take_all(self) -> list[tuple[str, dict[str, Any]]]:
        """Take the entries that aren't sent yet, to send them without the event loop."""
        # Taken by the thread that drains, while the event loop may still add some.
        taken, self._entries = self._entries, defaultdict(list)
        return [(url, entry.parameters) for url in list(taken) for entry in taken[url]]

    def _add(self, queue_url: str, entry: _Entry) -> None:
        entries = self._entries[queue_url]
        entries.append(entry)
        if len(entries) >= tens.BATCH_LIMIT:
            self._flush(queue_url)
        elif queue_url not in self._lingering:
            self._lingering.add(queue_url)
            self._hub.call_later(LINGER.total_seconds(), self._flush_lingering, queue_url)

    def _flush_lingering(self, queue_url: str) -> None:
        self._lingering.discard(queue_url)
        self._flush(queue_url)

    def _flush(self, queue_url: str) -> None:
        entries = self._entries.pop(queue_url, [])
        if not entries:
            return
        parameters = {
            "QueueUrl": queue_url,
            "Entries": tens.numbered(entry.parameters for entry in entries),
        }
        self._requests.call(
            self._operation, parameters, lambda answer: self._settle(queue_url, entries, answer)
        )

    def _settle(self, queue_url: str, entries: list[_Entry], answer: Answer) -> None:
        if not answer.ok:
            log.warning("%s", answer.error)
            failed = entries
        else:
            failed = []
            for place, each in tens.failures(answer.body).items():
                if each.by_sender:
                    # The receipt handle has expired: the message was delivered again meanwhile,
                    # and that delivery's claim decides.
                    log.info("%s: %s", self._operation, each.code)
                else:
                    failed.append(entries[place])
        for entry in failed:
            if entry.tries + 1 < TRIES:
                again = _Entry(entry.parameters, entry.tries + 1)
                pause = PAUSE.total_seconds() * 2**entry.tries
                self._hub.call_later(pause, self._add, queue_url, again)
            else:
                log.warning(
                    "%s: failed %d times, and is left to redelivery", self._operation, TRIES
                )
