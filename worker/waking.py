"""A worker that sends a task to another queue wakes that queue's workers, should they all sleep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import current_app

from celeriac.messages import HEADER
from celeriac.waking import wake


def wake_others(routing_key: str, headers: Mapping[str, Any], **_: Any) -> None:
    """Called when a message has gone out, in whichever process sent it.

    Its own queue has a worker: this one.
    """
    if routing_key not in current_app.amqp.queues.consume_from:
        wake(routing_key, headers.get(HEADER, {}).get("due", 0))
