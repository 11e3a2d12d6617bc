"""A queue and its workers, simulated in steps of some seconds."""

from __future__ import annotations

import heapq
import math
import random
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from celeriac.worker.protection import Protection

STEP = 5  # seconds
#: Fargate: fetch the image, start, first poll.
START_SECONDS = 60
#: ECS starts at most so many Fargate tasks of one service in a minute.
#: docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
STARTS_A_MINUTE = 500


@dataclass(frozen=True)
class Seldom:
    """Every n-th task runs for this long, unlike the others."""

    every: int
    seconds: float


class Agent:
    """ECS's agent in a worker's task: it holds the worker's protection until that lapses.

    ``blocked`` says whether ECS refuses to protect another worker.
    """

    def __init__(self, clock: Callable[[], float], blocked: Callable[[Agent], bool]) -> None:
        self._clock = clock
        self._blocked = blocked
        self._until = -math.inf

    @property
    def protects(self) -> bool:
        """Whether ECS must not stop this task when it scales in."""
        return self._clock() < self._until

    def put(self, minutes: int | None) -> str | None:
        """Protect for so long, or unprotect. Return the reason if ECS refuses."""
        if minutes is not None and self._blocked(self):
            return "DEPLOYMENT_BLOCKED"
        self._until = self._clock() + 60 * minutes if minutes else -math.inf
        return None


class _Protection(Protection):
    """The worker's own protection, which asks this agent."""

    def __init__(
        self, agent: Agent, surplus: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        super().__init__("agent", surplus, clock)
        self._agent = agent

    def _put(self, body: dict[str, object]) -> str | None:
        minutes = body.get("ExpiresInMinutes")
        return self._agent.put(minutes if isinstance(minutes, int) else None)


class Worker:
    """One worker, in one of two zones. ``old``: of an earlier deployment."""

    def __init__(self, ready_at: int, zone: int, agent: Agent) -> None:
        self.ready_at = ready_at
        self.zone = zone
        self.agent = agent
        self.old = False
        #: Without it, the worker never asks.
        self.protection: Protection | None = None
        # For each task its end, and its share of a step.
        self._runs: list[tuple[float, float]] = []

    def receives(self, now: int) -> bool:
        """Whether it has started and polls."""
        resting = self.protection is not None and self.protection.rests()
        return self.ready_at <= now and not resting

    def take(self, now: int, seconds: float) -> None:
        """Run a task for so long."""
        heapq.heappush(self._runs, (now + seconds, min(1, seconds / STEP)))

    def running(self, now: int) -> int:
        """How many tasks run."""
        while self._runs and self._runs[0][0] <= now:
            heapq.heappop(self._runs)
        return len(self._runs)

    def in_flight(self, now: int) -> float:
        """The tasks running at one moment: those shorter than a step follow each other in it."""
        self.running(now)
        return sum(share for _, share in self._runs)

    def keep(self, now: int) -> None:
        """Do the keeper's work of each second: protect or unprotect the worker."""
        if self.protection is not None:
            self.protection.update(busy=bool(self.running(now)))

    def outlasting(self, now: int, window: timedelta) -> int:
        """The number of its tasks that run for longer than this."""
        self.running(now)
        return sum(end > now + window.total_seconds() for end, _ in self._runs)

    def last_end(self, now: int) -> float:
        """The time at which its last task ends."""
        return max((end for end, _ in self._runs), default=now)


class Fleet:
    """The workers of one queue, and its messages. ``desired`` is the size
    requested from ECS.

    ECS refuses to protect while more workers are protected than desired. It isn't documented
    whether it also refuses to renew a protection: ``lenient`` says that it doesn't.

    ``rebalances``: where one zone has two workers more than the other, ECS starts one in the
    emptier zone, and then stops one in the fuller. It is assumed to spare protected workers.
    docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html
    """

    def __init__(
        self,
        *,
        processes: int,
        run_seconds: float,
        seldom: Seldom | None = None,
        drain: timedelta,
        protected: bool = True,
        lenient: bool = False,
        rebalances: bool = False,
    ) -> None:
        self.desired = 0
        self.workers: list[Worker] = []
        self.waits = array("i")  # of each task that has started, in seconds
        self.deepest = 0
        self.worker_seconds = 0.0
        self.started = 0
        self.killed = 0  # tasks that ran when their worker had to stop
        self._processes = processes
        self._run_seconds = run_seconds
        self._seldom = seldom
        self._drain = drain
        self._protected = protected
        self._lenient = lenient
        self._rebalances = rebalances
        self._moves_to: Worker | None = None
        self._random = random.Random(0)
        self._waiting: deque[int] = deque()  # the time from which each may start
        self._delayed: list[int] = []
        self._now = 0

    @property
    def visible(self) -> int:
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        return math.ceil(sum(each.in_flight(self._now) for each in self.workers))

    @property
    def delayed(self) -> int:
        return len(self._delayed)

    @property
    def ready(self) -> int:
        """The running workers, as ECS counts them."""
        return sum(each.ready_at <= self._now for each in self.workers)

    @property
    def deaf(self) -> bool:
        """Whether no worker receives or starts."""
        return not any(
            each.receives(self._now) or each.ready_at > self._now for each in self.workers
        )

    @property
    def empty(self) -> bool:
        return not (self._waiting or self._delayed or self.in_flight)

    @property
    def at_rest(self) -> bool:
        """Whether there is neither a message nor a worker."""
        return self.empty and not self.workers

    def at(self, now: int) -> None:
        """The current time, in seconds."""
        self._now = now

    def deploy(self) -> None:
        """Replace all workers."""
        for worker in self.workers:
            worker.old = True

    @property
    def deploying(self) -> bool:
        """Whether an old worker is left."""
        return any(each.old for each in self.workers)

    def arrive(self, messages: int, delay: timedelta = timedelta(0)) -> None:
        """Send so many, which may start after ``delay``."""
        due = self._now + int(delay.total_seconds())
        if due > self._now:
            for _ in range(messages):
                heapq.heappush(self._delayed, due)
        else:
            self._waiting.extend([due] * messages)

    def step(self) -> None:
        """Simulate the next ``STEP`` seconds."""
        while self._delayed and self._delayed[0] <= self._now:
            self._waiting.append(heapq.heappop(self._delayed))
        # A worker asks for protection within a second of receiving, so ECS sees it at its next
        # check. A worker that ECS chooses within that second returns its message.
        self._follow_desired()
        if self._rebalances and not self.deploying:
            self._rebalance()
        self._receive()
        for worker in self.workers:
            worker.keep(self._now)
        self.deepest = max(self.deepest, len(self._waiting))
        self.worker_seconds += STEP * len(self.workers)

    def _rebalance(self) -> None:
        """Begin to move one worker to the emptier zone. Scaling in ends the move."""
        if self._moves_to not in self.workers:
            self._moves_to = None
        fuller = sorted((0, 1), key=self._in_zone)[1]
        uneven = self._in_zone(fuller) - self._in_zone(1 - fuller) > 1
        if self._moves_to is None and uneven and len(self.workers) == self.desired:
            self._moves_to = self._start()

    def _in_zone(self, zone: int) -> int:
        return sum(each.zone == zone for each in self.workers)

    def _start(self) -> Worker:
        """Start a worker in the zone that has fewer."""
        zone = min((0, 1), key=self._in_zone)
        self.started += 1
        worker = Worker(self._now + START_SECONDS, zone, Agent(self._clock, self._blocked))
        if self._protected:
            surplus = partial(self._is_surplus, worker)
            worker.protection = _Protection(worker.agent, surplus, self._clock)
        self.workers.append(worker)
        return worker

    def _is_surplus(self, worker: Worker) -> bool:
        """Whether a worker is surplus: one of the oldest, as in ``celeriac.worker.protection``."""
        alive = [each for each in self.workers if each.ready_at <= self._now]
        return worker in alive[: max(0, len(alive) - self.desired)]

    def _clock(self) -> int:
        return self._now

    def _blocked(self, agent: Agent) -> bool:
        if self._lenient and agent.protects:
            return False
        protected = sum(each.agent.protects for each in self.workers if each.agent is not agent)
        return protected + 1 > self.desired

    def _follow_desired(self) -> None:
        """Start workers of the last deployment, and stop unprotected workers that are too many.

        ECS stops as many old ones as others run in their place (minimumHealthyPercent is 100). It
        stops new ones only above the desired size; here it chooses the busiest.
        """
        new = [each for each in self.workers if not each.old]
        room = 2 * self.desired - len(self.workers)  # maximumPercent is 200
        room = min(room, STARTS_A_MINUTE * STEP // 60)
        for _ in range(min(self.desired - len(new), room)):
            self._start()
        for group, most in (
            ([each for each in self.workers if each.old], self.ready - self.desired),
            (new, len(new) - self.desired),
        ):
            loose = [each for each in group if not each.agent.protects]
            if (moved := self._moves_to) is not None:
                if len(group) == self.desired + 1 and moved.ready_at > self._now:
                    continue
                loose = [each for each in loose if each.zone != moved.zone]
            loose.sort(key=lambda each: each.running(self._now), reverse=True)
            for each in loose[: max(0, most)]:
                self._stop(each)
                self._moves_to = None

    def _stop(self, worker: Worker) -> None:
        """Drain a worker: tasks that outlast the window start again elsewhere."""
        self.workers.remove(worker)
        outlasting = worker.outlasting(self._now, self._drain)
        self.killed += outlasting
        self._waiting.extend([self._now] * outlasting)
        draining = worker.last_end(self._now) - self._now
        self.worker_seconds += min(draining, self._drain.total_seconds())

    def _receive(self) -> None:
        """SQS answers polls in any order, so workers with room receive in turn."""
        # Short tasks: a process takes several within one step.
        rounds = max(1, int(STEP / self._run_seconds))
        room = [
            (each, rounds * (self._processes - each.running(self._now)))
            for each in self.workers
            if each.receives(self._now)
        ]
        self._random.shuffle(room)
        most = max((free for _, free in room), default=0)
        turns = (each for turn in range(most) for each, free in room if turn < free)
        for worker in islice(turns, len(self._waiting)):
            self.waits.append(self._now - self._waiting.popleft())
            worker.take(self._now, self._seconds(len(self.waits)))

    def _seconds(self, number: int) -> float:
        """The length of this task, in seconds."""
        if self._seldom is not None and number % self._seldom.every == 0:
            return self._seldom.seconds
        return self._run_seconds
