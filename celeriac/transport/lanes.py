"""The two lanes of a queue, and how urgent Celery's ``priority=`` makes a task.

Celery's scale is 0 to 9, and the highest is the most urgent. Its own example takes 5 as the default
of a project, so a task is urgent above 5:
docs.celeryq.dev/en/stable/userguide/routing.html#rabbitmq-message-priorities

    priority=   0 … 5   none    6 … 9
    lane        <queue>         <queue>-high
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from celeriac.contract.queues import HIGH, HIGH_SUFFIX, NORMAL

#: The most urgent that Celery's default leaves in the normal lane.
LAST_NORMAL = 5
#: What Celery is told of a task that was submitted with ``priority="high"``.
HIGH_NUMBER = 9


@dataclass(frozen=True)
class Lane:
    """One of the two SQS queues of a queue, whose name is ``queue``."""

    queue: str
    high: bool

    @property
    def name(self) -> str:
        """Its name in SQS, without the deployment's prefix."""
        return self.queue + HIGH_SUFFIX if self.high else self.queue


def lanes_of(queue: str) -> tuple[Lane, Lane]:
    """Both lanes of a queue, the urgent one first."""
    return Lane(queue, high=True), Lane(queue, high=False)


def is_number(priority: object) -> bool:
    """Whether Celery takes this for a priority."""
    return isinstance(priority, int) and not isinstance(priority, bool) and priority >= 0


def lane_of(queue: str, number: Any) -> Lane:
    """The lane of a message with this priority. Anyone may have written it."""
    return Lane(queue, high=is_high(number))


def is_high(number: Any) -> bool:
    """Whether Celery's ``priority=`` makes a task urgent."""
    return is_number(number) and number > LAST_NORMAL


def kept(priority: str | None) -> Literal["high"] | None:
    """A priority as records keep it.

    Raises:
        ValueError: it is neither ``high`` nor ``normal``.
    """
    if priority == HIGH:
        return "high"
    if priority in (NORMAL, None):
        return None
    raise ValueError(f"priority={priority!r:.40}: use 'high' or 'normal'.")


def number_of(priority: str | None, asked: Any) -> int | None:
    """The priority of a message of a task whose record keeps this one.

    The number that its caller ``asked`` for stays, if it means the same.
    """
    if is_high(asked) == (priority == HIGH):
        return asked if is_number(asked) else None
    return HIGH_NUMBER if priority == HIGH else None
