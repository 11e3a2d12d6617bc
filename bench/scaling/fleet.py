"""A queue and its workers, a step of some seconds at a time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from worker.protection import Protection

STEP = 5  # seconds
#: Fargate: fetch the image, start, first poll.
START_SECONDS = 60


class Agent:
    """ECS's agent in a worker's task: keeps what the worker asks of it, until it lapses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = -math.inf

    @property
    def protects(self) -> bool:
        """Whether ECS may not choose this task when it scales in."""
        return self._clock() < self._until

    def protect(self, lifetime: timedelta | None) -> None:
        """None lets it go."""
        self._until = self._clock() + lifetime.total_seconds() if lifetime else -math.inf


class _Protection(Protection):
    """A worker's own, which asks this agent."""

    def __init__(self, agent: Agent, clock: Callable[[], float]) -> None:
        super().__init__("agent", clock)
        self._agent = agent

    def _put(self, body: dict[str, object]) -> None:
        minutes = body.get("ExpiresInMinutes")
        self._agent.protect(timedelta(minutes=minutes) if isinstance(minutes, int) else None)


class Worker:
    """One worker. ``protected`` False: it never asks for protection."""

    def __init__(self, ready_at: int, clock: Callable[[], float], *, protected: bool) -> None:
        self.ready_at = ready_at
        self.agent = Agent(clock)
        self._protection = _Protection(self.agent, clock) if protected else None
        self._ends: list[float] = []

    def take(self, end: float) -> None:
        """Run a task until ``end``."""
        heapq.heappush(self._ends, end)

    def running(self, now: int) -> int:
        """How many tasks run."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def keep(self, now: int) -> None:
        """What the worker's keeper does each second: ask for protection, or let it go."""
        if self._protection is not None:
            self._protection.update(busy=bool(self.running(now)))

    def outlasting(self, now: int, window: timedelta) -> int:
        """How many of its tasks go on for longer than this."""
        self.running(now)
        return sum(end > now + window.total_seconds() for end in self._ends)

    def last_end(self, now: int) -> float:
        """When it has nothing left to do."""
        return max(self._ends, default=now)


class Fleet:
    """The workers of one queue, and its messages. ``desired`` is what ECS is asked for."""

    def __init__(
        self, *, processes: int, run_seconds: float, drain: timedelta, protected: bool = True
    ) -> None:
        self.desired = 0
        self.workers: list[Worker] = []
        self.waits: list[int] = []  # how long each task that has started had waited
        self.deepest = 0
        self.worker_seconds = 0.0
        self.killed = 0  # tasks that ran when their worker was made to stop
        self._processes = processes
        self._run_seconds = run_seconds
        self._drain = drain
        self._protected = protected
        self._waiting: deque[int] = deque()  # since when each may start
        self._delayed: list[int] = []
        self._now = 0

    @property
    def visible(self) -> int:
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        return len(self._delayed)

    @property
    def in_flight(self) -> int:
        return sum(min(each.running(self._now), self._processes) for each in self.workers)

    @property
    def ready(self) -> int:
        """Workers that run, as ECS counts them."""
        return sum(each.ready_at <= self._now for each in self.workers)

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

    def _follow_desired(self) -> None:
        """ECS stops whichever it likes of the workers that aren't protected: the busiest here."""
        for _ in range(self.desired - len(self.workers)):
            ready_at = self._now + START_SECONDS
            self.workers.append(Worker(ready_at, lambda: self._now, protected=self._protected))
        loose = [each for each in self.workers if not each.agent.protects]
        loose.sort(key=lambda each: each.running(self._now), reverse=True)
        for each in loose[: max(0, len(self.workers) - self.desired)]:
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
        # Short tasks: a process takes several within one step.
        rounds = max(1, int(STEP / self._run_seconds))
        for worker in self.workers:
            if worker.ready_at > self._now:
                continue
            free = self._processes - worker.running(self._now)
            for _ in range(min(free * rounds, len(self._waiting))):
                self.waits.append(self._now - self._waiting.popleft())
                worker.take(self._now + self._run_seconds)
