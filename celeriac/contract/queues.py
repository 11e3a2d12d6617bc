"""Queues are values, and each has the fleet of workers that serves it.

    from celeriac import Fleet, Queue

    VIDEO = Queue("video", fleet=Fleet(cpu=2048, memory=8192, processes=1))

The queue in SQS, its dead-letter queue, the Fargate service, its scaling, its alarms and its
dashboard rows are all derived from these values.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Literal

from celeriac.contract.fleets import Fleet
from celeriac.contract.places import Place, short

#: A dead-letter queue has its queue's name with this suffix.
DEAD_LETTER_SUFFIX = "-dead-letter"
#: The lane of urgent tasks has its queue's name with this suffix.
HIGH_SUFFIX = "-high"

#: How urgent a task is. Workers of its queue take high ones first.
Priority = Literal["high", "normal"]
HIGH: Priority = "high"
NORMAL: Priority = "normal"

#: A queue's name is part of other names. The shortest limit is 64 characters, for an IAM role.
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 20
#: The deployment has a queue ``schedules-dead-letter`` of its own.
SCHEDULES_NAME = "schedules"


@dataclass(frozen=True)
class Queue:
    """A queue and its fleet. In SQS its name follows the deployment's prefix.

    Two queues with one name are the same queue.

    Raises:
        ValueError: a queue can't have this name.
        TypeError: its fleet is no ``Fleet``.
    """

    name: str
    fleet: Fleet = field(default=Fleet(), compare=False, kw_only=True)
    #: Where it was declared, for error messages.
    place: Place = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Two calls up: from here to the generated __init__, to the line that declares the queue.
        object.__setattr__(self, "place", Place.of_caller(inspect.currentframe(), above=2))
        name: object = self.name
        if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            raise ValueError(
                f"Queue({short(name)}): use up to {LONGEST_NAME} lower-case letters and digits, "
                "in words with dashes between them, such as Queue('video')."
            )
        if self.name == SCHEDULES_NAME:
            raise ValueError(
                f"Queue({self.name!r}): its dead-letter queue would be the one of schedules. "
                "Choose another name."
            )
        if not isinstance(fleet := self.fleet, Fleet):
            raise TypeError(
                f"Queue({self.name!r}, fleet={short(fleet)}): give a Fleet, such as "
                "fleet=Fleet(processes=1)."
            )
        if self.name.endswith(DEAD_LETTER_SUFFIX):
            raise ValueError(
                f"Queue({self.name!r}): names that end in {DEAD_LETTER_SUFFIX!r} belong to "
                "dead-letter queues. Choose another."
            )
        if self.name.endswith(HIGH_SUFFIX):
            raise ValueError(
                f"Queue({self.name!r}): names that end in {HIGH_SUFFIX!r} belong to the lanes of "
                "urgent tasks, and each queue has one. Choose another name, or submit to "
                f"Queue({self.name.removesuffix(HIGH_SUFFIX)!r}) with priority='high'."
            )

    @property
    def dead_letter_name(self) -> str:
        """The name of its dead-letter queue, which keeps messages that no worker can run."""
        return self.name + DEAD_LETTER_SUFFIX

    @property
    def high_name(self) -> str:
        """The name of the lane that carries its tasks of priority high."""
        return self.name + HIGH_SUFFIX


#: The queue of a task type that names none. Declare ``Queue("default", fleet=...)`` to size it.
DEFAULT = Queue("default")
