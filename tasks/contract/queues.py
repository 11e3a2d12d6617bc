"""The queues, and the fleet of workers behind each. A new queue is one more member here.

The queue in SQS, its dead-letter queue, the Fargate service, its scaling, alarms and dashboard
rows are all derived from these members; a task type names the member it runs on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: A dead-letter queue is named as its queue, with this behind.
DEAD_LETTER_SUFFIX = "-dead-letter"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The Fargate service that serves one queue.

    ``cpu`` is in Fargate CPU units (1024 = one vCPU) and ``memory`` in MiB; AWS allows certain
    pairs only (docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html).
    ``spot`` is the share of workers on FARGATE_SPOT, 0 to 1. ``processes`` is how many tasks a
    worker runs side by side.
    """

    cpu: int = 512
    memory: int = 1024
    processes: int = 4
    max_workers: int = 10
    spot: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.spot <= 1:
            raise ValueError(f"Fleet(spot={self.spot}) is a share: give a number from 0 to 1.")
        if self.processes < 1 or self.max_workers < 1:
            raise ValueError("Fleet needs at least one process and at least one worker.")


class Queue(Enum):
    """A queue by its name in SQS (after the deployment's prefix), and its fleet."""

    DEFAULT = ("default", Fleet())
    EMAIL = ("email", Fleet(cpu=256, memory=512, processes=8, max_workers=5))
    FILES = ("files", Fleet(cpu=1024, memory=4096, processes=2, max_workers=20))
    REPORTS = ("reports", Fleet(cpu=1024, memory=4096, processes=2))
    MAINTENANCE = ("maintenance", Fleet(cpu=256, memory=512, processes=1, max_workers=1, spot=0))

    def __init__(self, queue_name: str, fleet: Fleet) -> None:
        self.queue_name = queue_name
        self.fleet = fleet

    @property
    def dead_letter_name(self) -> str:
        return self.queue_name + DEAD_LETTER_SUFFIX
