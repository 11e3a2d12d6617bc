"""Play the scaling policies over made-up load: ``python -m bench.scaling``.

The policies are read from ``infra.cdk.scaling``, which the template is made of. What AWS adds is
modelled as it documents it: metrics a minute late, target tracking that wants three minutes above
its target, a worker that takes a minute to start, scale-in that spares protected workers.

Columns: how long the first task waited for a worker; the longest any waited; the deepest backlog;
worker-hours; what they cost.
"""

from __future__ import annotations

import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from infra.cdk.environments import DEV
from infra.cdk.prices import worker_hour
from infra.cdk.scaling import FIT_WINDOWS, Scaling, scaling
from tasks.contract import Catalogue, Queue

STEP = 5  # seconds a step
MINUTE = 60
START_SECONDS = 60  # Fargate: fetch the image, start, first poll
METRIC_DELAY = 60  # SQS publishes a minute's values in the next
TRACKING_MINUTES = 3  # target tracking scales out after so many minutes above its target
HOUR = 3600

Arrivals = Callable[[int], int]  # seconds since the start → how many arrive in this step


@dataclass(frozen=True, kw_only=True)
class Load:
    """What arrives, for how long (seconds), and how long a task runs (seconds)."""

    name: str
    arrivals: Arrivals
    lasts: int
    run_seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a load met with. Times in seconds; ``violations`` are what must never happen."""

    name: str
    tasks: int
    first_start: float
    longest_wait: float
    deepest: int
    worker_hours: float
    cost: float
    violations: tuple[str, ...]
    at_rest: bool


@dataclass
class _Worker:
    ready_at: int
    busy_until: list[float] = field(default_factory=list)

    def running(self, now: int) -> int:
        self.busy_until = [end for end in self.busy_until if end > now]
        return len(self.busy_until)


@dataclass(frozen=True)
class _Sample:
    visible: int
    in_flight: int
    running: int


class Fleet:
    """One queue, its workers, and the three policies, a step at a time."""

    def __init__(self, plan: Scaling, run_seconds: float, *, nudged: bool) -> None:
        self._plan = plan
        self._run_seconds = run_seconds
        self._nudged = nudged
        self._waiting: deque[int] = deque()
        self._workers: list[_Worker] = []
        self._samples: list[_Sample] = []
        self.desired = 0
        self.starts: list[int] = []  # how long each task waited
        self.first_start: int | None = None
        self.deepest = 0
        self.worker_seconds = 0
        self.violations: set[str] = set()
        self._alone_since: int | None = None

    @property
    def empty(self) -> bool:
        return not self._waiting and not any(each.busy_until for each in self._workers)

    @property
    def workers(self) -> int:
        return len(self._workers)

    def step(self, now: int, arriving: int) -> None:
        if arriving and not self.desired and self._nudged:
            self.desired = 1
        self._waiting.extend([now] * arriving)
        self._follow_desired(now)
        self._receive(now)
        self.deepest = max(self.deepest, len(self._waiting))
        self.worker_seconds += STEP * len(self._workers)
        self._watch(now)
        if now % MINUTE == 0:
            ready = [each for each in self._workers if each.ready_at <= now]
            in_flight = sum(min(each.running(now), self._plan.processes) for each in self._workers)
            self._samples.append(_Sample(len(self._waiting), in_flight, len(ready)))
            self._decide()

    def _follow_desired(self, now: int) -> None:
        while len(self._workers) < self.desired:
            self._workers.append(_Worker(ready_at=now + START_SECONDS))
        # ECS stops workers without task protection only: those that hold nothing.
        idle = [each for each in self._workers if not each.running(now)]
        for each in idle[: len(self._workers) - self.desired]:
            if each.running(now):
                self.violations.add("a worker with work in flight was scaled in")
            self._workers.remove(each)

    def _receive(self, now: int) -> None:
        for worker in self._workers:
            free = self._plan.processes - worker.running(now)
            if worker.ready_at > now:
                continue
            # Short tasks: a process takes several within one step.
            for _ in range(free * max(1, int(STEP / self._run_seconds))):
                if not self._waiting:
                    return
                self.starts.append(now - self._waiting.popleft())
                self.first_start = self.starts[0]
                worker.busy_until.append(now + self._run_seconds)

    def _watch(self, now: int) -> None:
        if self._waiting and not self._workers:
            self._alone_since = now if self._alone_since is None else self._alone_since
            # Two minutes: the metric is a minute late and the alarm looks once a minute.
            if now - self._alone_since > METRIC_DELAY + 2 * MINUTE:
                self.violations.add("a message waited with no worker on its way")
        else:
            self._alone_since = None

    def _decide(self) -> None:
        known = self._samples[: -METRIC_DELAY // MINUTE]
        if not known:
            return
        last = known[-1]
        if last.visible and not last.running:
            self.desired = 1 if not self._workers else self.desired
        self._grow(known)
        self._fit(known)

    def _grow(self, known: list[_Sample]) -> None:
        recent = known[-TRACKING_MINUTES:]
        backlogs = [each.visible / each.running if each.running else 0.0 for each in recent]
        if len(recent) == TRACKING_MINUTES and min(backlogs) > self._plan.backlog_per_worker:
            wanted = math.ceil(recent[-1].visible / self._plan.backlog_per_worker)
            self.desired = min(self._plan.max_workers, max(self.desired, wanted))

    def _fit(self, known: list[_Sample]) -> None:
        minutes = int(self._plan.fit_window.total_seconds()) // MINUTE
        if len(known) < minutes * FIT_WINDOWS:
            return
        values = []
        for window in range(FIT_WINDOWS):
            end = len(known) - window * minutes
            part = known[end - minutes : end]
            work = max(each.visible for each in part) + max(each.in_flight for each in part)
            needed = math.ceil(work / self._plan.processes)
            running = sum(each.running for each in part) / minutes
            values.append(needed if needed < running else self._plan.max_workers)
        if max(values) < self._plan.max_workers:
            self.desired = self._plan.size_for(values[0])


def play(queue: Queue, plan: Scaling, load: Load, *, nudged: bool = True) -> Outcome:
    """Run one load to its end, then until the fleet is asleep or an hour has passed."""
    fleet = Fleet(plan, load.run_seconds, nudged=nudged)
    now = 0
    end = load.lasts
    while now < end or (not (fleet.empty and not fleet.workers) and now < end + 24 * HOUR):
        fleet.step(now, load.arrivals(now) if now < end else 0)
        now += STEP
    hours = fleet.worker_seconds / HOUR
    return Outcome(
        name=load.name,
        tasks=len(fleet.starts),
        first_start=fleet.first_start or 0,
        longest_wait=max(fleet.starts, default=0),
        deepest=fleet.deepest,
        worker_hours=hours,
        cost=hours * worker_hour(queue, public_address=True),
        violations=tuple(sorted(fleet.violations)),
        at_rest=fleet.empty and not fleet.workers,
    )


def _steadily(per_second: float, seed: int = 1) -> Arrivals:
    """A constant rate, with chance in it. Fixed seed: the same load each time."""
    rng = random.Random(seed)
    return lambda _: sum(rng.random() < per_second * STEP / 100 for _ in range(100))


def _daily(peak_per_second: float) -> Arrivals:
    rng = random.Random(2)

    def arrivals(now: int) -> int:
        wave = max(0.0, math.sin(2 * math.pi * (now / (24 * HOUR) - 0.25)))
        return sum(rng.random() < peak_per_second * wave * STEP / 100 for _ in range(100))

    return arrivals


LOADS = (
    Load(name="idle", arrivals=lambda _: 0, lasts=HOUR, run_seconds=1),
    Load(name="one message", arrivals=lambda now: int(now == 0), lasts=HOUR, run_seconds=1),
    Load(
        name="one an hour",
        arrivals=lambda now: int(now % HOUR == 0),
        lasts=6 * HOUR,
        run_seconds=1,
    ),
    Load(name="steady 2/s", arrivals=_steadily(2), lasts=6 * HOUR, run_seconds=1),
    Load(
        name="burst of 100k",
        arrivals=lambda now: 100_000 * (now == 0),
        lasts=HOUR,
        run_seconds=1,
    ),
    Load(name="daily wave", arrivals=_daily(10), lasts=24 * HOUR, run_seconds=1),
    Load(
        name="long tasks",
        arrivals=lambda now: 20 * (now == 0),
        lasts=HOUR,
        run_seconds=40 * MINUTE,
    ),
)


def outcomes(
    catalogue: Catalogue, queue: Queue = Queue.DEFAULT, *, nudged: bool = True
) -> Iterable[Outcome]:
    """Every load, on one queue's fleet."""
    plan = scaling(queue, catalogue, oldest_age=DEV.oldest_age, idle=DEV.idle)
    for load in LOADS:
        yield play(queue, plan, load, nudged=nudged)


def table(catalogue: Catalogue) -> str:
    """The outcomes in Markdown, with the API's nudge and without."""
    lines = [
        "| load | nudged | tasks | first start | longest wait | deepest | worker-hours | cost |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for nudged in (True, False):
        lines += [
            f"| {each.name} | {'yes' if nudged else 'no'} | {each.tasks:,} "
            f"| {timedelta(seconds=each.first_start)} | {timedelta(seconds=each.longest_wait)} "
            f"| {each.deepest:,} | {each.worker_hours:.2f} | ${each.cost:.3f} |"
            for each in outcomes(catalogue, nudged=nudged)
        ]
    return "\n".join(lines)


def main() -> int:
    """Print the table; fail if anything happened that must not."""
    from tasks.contract import catalogue

    sys.stdout.write(table(catalogue()) + "\n")
    faults = [
        f"{each.name}: {fault}"
        for nudged in (True, False)
        for each in outcomes(catalogue(), nudged=nudged)
        for fault in each.violations or (() if each.at_rest else ("never came to rest",))
    ]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
