"""A patch for moto 5.2.5 that keeps deep queues fast.

For each message, moto reads one setting of the queue. To do so it builds all attributes, among them
three counts over every message: receiving ten of 2,000 takes most of a second. With this patch each
attribute is computed when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.utils import camelcase_to_underscores
from moto.sqs.models import Queue


class LazyAttributes(Mapping[str, Any]):
    """moto's ``Queue.attributes``, each computed when it is read."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        value = getattr(self._queue, camelcase_to_underscores(name))
        if name == "RedrivePolicy" and value:
            return json.dumps(value)
        return str(value).lower() if isinstance(value, bool) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        queue = self._queue
        return [
            *queue.BASE_ATTRIBUTES,
            *(queue.FIFO_ATTRIBUTES if queue.fifo_queue else ()),
            *(queue.KMS_ATTRIBUTES if queue.kms_master_key_id else ()),
        ]


def count_only_when_asked() -> None:
    """Patch moto in this process."""
    Queue.attributes = property(LazyAttributes)  # type: ignore[assignment,method-assign]
