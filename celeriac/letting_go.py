"""How an attempt lets go of a task that it can't run, or end, now: its message comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery.exceptions import Reject, SoftTimeLimitExceeded

from celeriac.errors import transient
from celeriac.records import LeaseLostError
from celeriac.services import services

log = logging.getLogger(__name__)

#: How long a message stays hidden when its record can't be read or written. Longer when that has
#: been so for some time: see ``worker.request``.
FAULT_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True)
class Hidden:
    """Why a message is left alone, and for how long it stays hidden.

    None leaves it as it is: another worker has received it since, and may be at it.
    """

    why: str
    duration: timedelta | None

    def __str__(self) -> str:
        return self.why


@contextmanager
def comes_back() -> Iterator[None]:
    """AWS out of reach inside has the message come back: what it says isn't done yet.

    Raises:
        Reject: hides the message for a moment, instead of acknowledging it.
    """
    try:
        yield
    except Exception as error:
        if not transient(error):
            raise
        raise Reject(Hidden(f"AWS can't be reached now: {error}", FAULT_PAUSE), True) from error


@contextmanager
def told() -> Iterator[None]:
    """As ``comes_back``, for telling others of a task's end: its time limit may strike meanwhile.

    Raises:
        Reject: the message comes back, and the next delivery tells them.
    """
    try:
        with comes_back():
            yield
    except SoftTimeLimitExceeded as struck:
        why = "the time limit struck while others were told of the task's end"
        raise Reject(Hidden(why, FAULT_PAUSE), True) from struck


def put_off(request: Any, error: Exception) -> Reject:
    """What to raise when AWS is out of reach and a claimed task can't be begun, or ended.

    The message comes back after a moment. The lease is given up, so that no worker counts as lost.
    """
    give_up(request.id, request.owner)
    return Reject(Hidden(f"AWS can't be reached now: {error}", FAULT_PAUSE), requeue=True)


def give_up(task_id: str, owner: str, *, lost: bool = False) -> None:
    """Make a claimed task claimable at once; if that can't be written, it is when its lease ends.

    ``lost`` says that its process died at it.
    """
    try:
        services().records.release(task_id, owner, lost=lost)
    except LeaseLostError as lease_lost:
        log.info("%s", lease_lost)
    except Exception as error:
        if not transient(error):
            raise
        log.warning("the lease of task %s ends by itself: %s", task_id, error)
