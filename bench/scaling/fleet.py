"""A queue and its workers, a step of some seconds at a time."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from worker.protection import Protection

STEP = 5  # seconds
#: Fargate: fetch the image, start, first poll.
START_SECONDS = 60


@dataclass(frozen=True)
class Seldom:
    """Each so-many-th task runs for so long, unlike the others."""

    every: int
    seconds: float


class Agent:
    """ECS's agent in a worker's task: keeps what the worker asks of it, until it lapses.

    ``blocked`` says whether ECS refuses to protect one more.
    """

    def __init__(self, clock: Callable[[], float], blocked: Callable[[Agent], bool]) -> None:
        self._clock = clock
        self._blocked = blocked
        self._until = -math.inf

    @property
    def protects(self) -> bool:
        """Whether ECS may not choose this task when it scales in."""
        return self._clock() < self._until

    def put(self, minutes: int | None) -> str | None:
        """Protect for so long, or let go; why not, if it is refused."""
        if minutes is not None and self._blocked(self):
            return "DEPLOYMENT_BLOCKED"
        self._until = self._clock() + 60 * minutes if minutes else -math.inf
        return None


class _Protection(Protection):
    """A worker's own, which asks this agent."""

    def __init__(
        self, agent: Agent, surplus: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        super().__init__("agent", surplus, clock)
        self._agent = agent

    def _put(self, body: dict[str, object]) -> str | None:
        minutes = body.get("ExpiresInMinutes")
        return self._agent.put(minutes if isinstance(minutes, int) else None)


class Worker:
    """One worker. ``old``: of an earlier deployment."""

    def __init__(self, ready_at: int, agent: Agent) -> None:
        self.ready_at = ready_at
        self.agent = agent
        self.old = False
        #: Without, it never asks.
        self.protection: Protection | None = None
        # Of each task its end, and its share of a step.
        self._runs: list[tuple[float, float]] = []

    def receives(self, now: int) -> bool:
        """Whether it has started, and polls."""
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
        """How many run at one moment: those shorter than a step follow each other in it."""
        self.running(now)
        return sum(share for _, share in self._runs)

    def keep(self, now: int) -> None:
        """What the worker's keeper does each second: ask for protection, or let it go."""
        if self.protection is not None:
            self.protection.update(busy=bool(self.running(now)))

    def outlasting(self, now: int, window: timedelta) -> int:
        """How many of its tasks go on for longer than this."""
        self.running(now)
        return sum(end > now + window.total_seconds() for end, _ in self._runs)

    def last_end(self, now: int) -> float:
        """When it has nothing left to do."""
        return max((end for end, _ in self._runs), default=now)


class Fleet:
    """The workers of one queue, and its messages. ``desired`` is what ECS is asked for.

    ECS refuses to protect while more are protected than are desired. Whether it refuses those too
    that are protected already isn't documented: ``lenient`` says that it doesn't.
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
    ) -> None:
        self.desired = 0
        self.workers: list[Worker] = []
        self.waits: list[int] = []  # how long each task that has started had waited
        self.deepest = 0
        self.worker_seconds = 0.0
        self.killed = 0  # tasks that ran when their worker was made to stop
        self._processes = processes
        self._run_seconds = run_seconds
        self._seldom = seldom
        self._drain = drain
        self._protected = protected
        self._lenient = lenient
        self._random = random.Random(0)
        self._waiting: deque[int] = deque()  # since when each may start
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
        """Workers that run, as ECS counts them."""
        return sum(each.ready_at <= self._now for each in self.workers)

    @property
    def deaf(self) -> bool:
        """Whether nobody is there who receives, or who starts."""
        return not any(
            each.receives(self._now) or each.ready_at > self._now for each in self.workers
        )

    @property
    def empty(self) -> bool:
        return not (self._waiting or self._delayed or self.in_flight)

    @property
    def at_rest(self) -> bool:
        """Nothing to do, and nobody there to do it."""
        return self.empty and not self.workers

    def at(self, now: int) -> None:
        """It is so late."""
        self._now = now

    def deploy(self) -> None:
        """Replace all workers there are."""
        for worker in self.workers:
            worker.old = True

    @property
    def deploying(self) -> bool:
        """Whether an old worker is still there."""
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
        """What happens in the ``STEP`` seconds from now."""
        while self._delayed and self._delayed[0] <= self._now:
            self._waiting.append(heapq.heappop(self._delayed))
        # A worker asks for protection within a second of receiving, so ECS finds it asked for when
        # it next looks. One that ECS chooses in that very second hands its task back.
        self._follow_desired()
        self._receive()
        for worker in self.workers:
            worker.keep(self._now)
        self.deepest = max(self.deepest, len(self._waiting))
        self.worker_seconds += STEP * len(self.workers)

    def _start(self) -> None:
        worker = Worker(self._now + START_SECONDS, Agent(self._clock, self._blocked))
        if self._protected:
            surplus = partial(self._is_to_go, worker)
            worker.protection = _Protection(worker.agent, surplus, self._clock)
        self.workers.append(worker)

    def _is_to_go(self, worker: Worker) -> bool:
        """One of the oldest, as many as there are too many: ``worker.surplus``."""
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
        """ECS has so many of the last deployment run, and stops whom it likes of the rest.

        Of those that aren't protected, that is: old ones, as many as others run in their place
        (minimumHealthyPercent is 100), and new ones only of too many: the busiest here.
        """
        new = [each for each in self.workers if not each.old]
        room = 2 * self.desired - len(self.workers)  # maximumPercent is 200
        for _ in range(min(self.desired - len(new), room)):
            self._start()
        for group, most in (
            ([each for each in self.workers if each.old], self.ready - self.desired),
            (new, len(new) - self.desired),
        ):
            loose = [each for each in group if not each.agent.protects]
            loose.sort(key=lambda each: each.running(self._now), reverse=True)
            for each in loose[: max(0, most)]:
                self._stop(each)

    def _stop(self, worker: Worker) -> None:
        """It drains: tasks that end within the window do, and the others start again elsewhere."""
        self.workers.remove(worker)
        outlasting = worker.outlasting(self._now, self._drain)
        self.killed += outlasting
        self._waiting.extend([self._now] * outlasting)
        draining = worker.last_end(self._now) - self._now
        self.worker_seconds += min(draining, self._drain.total_seconds())

    def _receive(self) -> None:
        """SQS answers whose poll it likes: those with room get messages by turns, in any order."""
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
        """How long this task runs."""
        if self._seldom is not None and number % self._seldom.every == 0:
            return self._seldom.seconds
        return self._run_seconds
