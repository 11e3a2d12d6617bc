"""A load by its rate, and what it takes of a deployment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from celeriac.cdk.prices import (
    CALL,
    FOLLOWING_MEMORY,
    LISTING_WRITES,
    UNFINISHED_WRITES,
    FollowingCost,
    TaskCost,
)
from celeriac.contract import Queue
from celeriac.operations.waking import INTERVAL
from celeriac.storage.heartbeats import INTERVAL as HEARTBEAT
from celeriac.worker.prefetch import HORIZON
from celeriac.worker.protection import RENEWAL
from tasks.queues import DEFAULT

#: A fleet that is just large enough never works off what waited for it to grow.
HEADROOM = 1.25
#: Tasks that do nothing, a second, on a whole vCPU: "Delivery" in ``docs/benchmarks.md``, and so
#: unverified on Fargate.
NO_OPS_A_VCPU = 392.3
#: Bytes of the heartbeat of a worker that holds eight tasks: twice its processes.
HEARTBEAT_ITEM = 830


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """So many tasks a second, all of one tenant, each submitted and followed by itself.

    ``run_seconds`` is the time that one runs, ``followed_seconds`` the time that its caller waits
    for it with long polls. ``payload`` and ``result`` are in bytes.
    """

    rate: float
    run_seconds: float = 1
    followed_seconds: float = 5
    payload: int = 200
    result: int = 200
    queue: Queue = field(default=DEFAULT)

    @property
    def task(self) -> TaskCost:
        return TaskCost(payload=self.payload, result=self.result)

    @property
    def following(self) -> FollowingCost | None:
        """None if nobody follows."""
        if not self.followed_seconds:
            return None
        return FollowingCost(
            seconds=self.followed_seconds, memory=FOLLOWING_MEMORY, result=self.result
        )

    @property
    def polls(self) -> int:
        """Polls of each task."""
        return self.following.polls if self.following else 0

    @property
    def requests(self) -> float:
        """Requests of the API, a second."""
        return self.rate * (1 + self.polls)

    @property
    def submissions_under_way(self) -> float:
        return self.rate * CALL.total_seconds()

    @property
    def functions(self) -> float:
        """Runs of Lambda functions at one moment."""
        answered = self.polls * CALL.total_seconds()
        return self.submissions_under_way + self.rate * (answered + self.followed_seconds)

    @property
    def workers(self) -> float:
        """Workers that the queue's fleet may need."""
        fleet = self.queue.fleet
        by_time = self.run_seconds / fleet.processes
        by_cpu = 1 / (NO_OPS_A_VCPU * fleet.cpu / 1024)
        return HEADROOM * self.rate * max(by_time, by_cpu)

    @property
    def vcpus(self) -> float:
        return self.workers * self.queue.fleet.cpu / 1024

    @property
    def table_writes(self) -> float:
        """Write units a second: the tasks', and the workers' heartbeats."""
        heartbeats = math.ceil(HEARTBEAT_ITEM / 1024) * self.workers / HEARTBEAT.total_seconds()
        return self.rate * self.task.table_writes + heartbeats

    @property
    def listing_writes(self) -> float:
        return self.rate * LISTING_WRITES

    @property
    def unfinished_writes(self) -> float:
        """Write units a second of the index of unfinished tasks."""
        return self.rate * UNFINISHED_WRITES

    @property
    def reads(self) -> float:
        return self.rate * self.following.reads if self.following else 0

    @property
    def in_flight(self) -> float:
        """Messages that workers hold: of the tasks that run, and of those to run next."""
        return self.rate * (self.run_seconds + HORIZON.total_seconds())

    @property
    def objects(self) -> float:
        """Objects that are written to S3, a second."""
        return self.rate * self.task.objects

    @property
    def service_looks(self) -> float:
        """Calls of DescribeServices, a second.

        A process of the API makes one each half minute, to wake a queue that sleeps; a busy worker
        makes one each five minutes, to see whether it is surplus.
        """
        by_api = self.submissions_under_way / INTERVAL.total_seconds()
        return by_api + self.workers / RENEWAL.total_seconds()

    @property
    def heartbeat_reads(self) -> float:
        """Read units a second while a fleet shrinks or is deployed.

        Each busy worker then reads the heartbeats of all, to see whether it is surplus.
        """
        of_all = self.workers * HEARTBEAT_ITEM / 4096
        return of_all * self.workers / RENEWAL.total_seconds()
