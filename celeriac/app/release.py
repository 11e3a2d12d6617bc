"""What an attempt does with a task that it can't run, or end, now: its message returns."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celery.exceptions import Reject

from celeriac.errors import transient
from celeriac.records import LeaseLostError
from celeriac.storage.line import Place
from celeriac.storage.services import services
from celeriac.topology import LONGEST_DELAY

log = logging.getLogger(__name__)

#: A message returns after this delay when its record can't be read or written. The delay grows
#: with the number of receives: see ``celeriac.worker.request``.
FAULT_PAUSE = timedelta(seconds=5)

#: In the header that is ours: a task's places in the lines of its limits.
PLACES = "places"


@dataclass(frozen=True)
class ReturnAfter:
    """A reason to reject a message: it returns to its queue after a delay."""

    why: str
    delay: timedelta

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True)
class Wait:
    """A reason to reject a message: a copy that arrives ``after`` so long replaces it.

    ``places`` go with the copy, by the names of limits.
    """

    why: str
    after: timedelta
    places: Mapping[str, Place] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.why

    @property
    def seconds(self) -> int:
        """The delay as SQS takes it. Fractions are rounded at random: a rhythm would stay one."""
        seconds = math.floor(self.after.total_seconds() + random.random())
        return min(max(1, seconds), LONGEST_DELAY // timedelta(seconds=1))

    def header(self) -> dict[str, Any]:
        """What changes in the header that is ours."""
        return {PLACES: {name: [each.at, each.asked] for name, each in self.places.items()}}


@dataclass(frozen=True)
class TakenOver:
    """A reason to reject a message: another worker has received it since, so it is abandoned."""

    why: str

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True)
class Foreign:
    """A reason to reject a message: it is not its task's own. The task goes on without it."""

    why: str

    def __str__(self) -> str:
        return self.why


@contextmanager
def returning_message(also: type[Exception] | None = None) -> Iterator[None]:
    """If AWS can't be reached inside, the message returns: what it asks for isn't done yet.

    ``also`` is one more error that returns the message. ``SoftTimeLimitExceeded`` is, where the
    chord or chain of a task that has ended is told of it.

    Raises:
        Reject: the message returns after a moment, instead of being acknowledged.
    """
    try:
        yield
    except Exception as error:
        if also is not None and isinstance(error, also):
            why = f"{type(error).__name__} while others were told of the task's end"
        elif transient(error):
            why = f"AWS can't be reached now: {error}"
        else:
            raise
        raise Reject(ReturnAfter(why, FAULT_PAUSE), requeue=True) from error


def release_and_return(request: Any, error: Exception) -> Reject:
    """What to raise when AWS can't be reached and a claimed task can't begin, or end.

    The message returns after a moment. The lease is released, so that no worker counts as lost.
    """
    release_lease(request.id, request.owner)
    return Reject(ReturnAfter(f"AWS can't be reached now: {error}", FAULT_PAUSE), requeue=True)


def release_lease(task_id: str, owner: str, *, crash: str | None = None) -> None:
    """Make a claimed task claimable now. If that can't be written, it is when its lease ends.

    ``crash`` says how the process of this attempt died.
    """
    try:
        services().records.release(task_id, owner, crash=crash)
    except LeaseLostError as lease_lost:
        log.info("%s", lease_lost)
    except Exception as error:
        if not transient(error):
            raise
        log.warning("the lease of task %s is not released, and will expire: %s", task_id, error)
