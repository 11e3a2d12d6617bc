"""When a fleet grows and shrinks, as data: the template is made of it, and ``bench`` plays it.

    0 → 1     wake: for three minutes more has waited than is the share of those that run
    1 → N     grow: the backlog of each worker is above ``backlog_per_worker``
    N → 0     fit:  for all of ``idle``, the work there was would have fitted fewer workers

Counts of messages come from SQS once a minute; the count of running workers is the number of CPU
samples ECS has for the service, one a minute for each (no Container Insights needed):
docs.aws.amazon.com/AmazonECS/latest/developerguide/cloudwatch-metrics.html#cw_running_task_count

The two are published apart, so either may be a minute or two behind the other. Where a count that
is late is filled in, its newest points are always the filler:
docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
So each filler here stands for what must not move a fleet that works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from tasks.contract import Catalogue, Queue

# SQS and ECS publish a value a minute.
PERIOD = timedelta(minutes=1)
# A step scaling policy takes 20 steps at most.
# docs.aws.amazon.com/general/latest/gr/as-app.html
MOST_STEPS = 20
# How soon grow and fit may act again. They name the size they want, so acting twice is harmless.
COOLDOWN = timedelta(minutes=1)

# What target tracking computes of the counts. It waits for the samples that are late.
GROW = "visible / running"
# What an alarm watches that somebody is to act on. No workers give no samples: they are filled in.
NO_WORKER = "IF(visible > 0 AND FILL(running, 0) < 1, 1, 0)"
# One minute more than ECS may be behind SQS: of so many minutes, one is a real count.
WAKE_MINUTES = 3
# Longer than a worker takes to start and be counted, so that one wait adds one worker.
WAKE_COOLDOWN = timedelta(minutes=5)
# Fit looks at the most that was going on in each of two windows, so one quiet minute between two
# messages stops nobody.
FIT_WINDOWS = 2

Count = Literal["visible", "in_flight", "delayed", "running"]
Adjustment = Literal["ChangeInCapacity", "ExactCapacity"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """By how much, or to what, the fleet changes when the watched value is so far from the
    threshold: from ``lower`` to ``upper``, either of which may be open."""

    lower: float | None = None
    upper: float | None = None
    adjustment: int


@dataclass(frozen=True, kw_only=True)
class StepPolicy:
    """An alarm, and what it does to the fleet each minute that it is on.

    ``expressions`` are computed of ``counts`` and of each other; the last is what is watched, for
    ``windows`` windows on end. The alarm is on at ``threshold`` or above, or only below it.
    """

    name: str
    reason: str
    counts: tuple[Count, ...]
    expressions: Mapping[str, str]
    window: timedelta
    windows: int
    threshold: int
    below: bool
    adjustment: Adjustment
    steps: tuple[Step, ...]
    cooldown: timedelta


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The numbers of one fleet's policies. ``sizes`` are the fleet sizes that fit chooses among."""

    max_workers: int
    processes: int
    backlog_per_worker: float
    fit_window: timedelta
    sizes: tuple[int, ...]

    @property
    def wake(self) -> StepPolicy:
        """One worker more. It can't see how many there are, so it must not name a size.

        If none runs, any message is more than their share. If some run, grow adds more than this,
        but for a fleet that was let go whose last worker goes on, busy and protected: its size is
        none, and grow multiplies.
        """
        share = f"{self.backlog_per_worker} * FILL(running, 0)"
        return StepPolicy(
            name="wake",
            reason="More waits than is the share of those that run: start one.",
            counts=("visible", "running"),
            expressions={"wake": f"IF(visible > {share}, 1, 0)"},
            window=PERIOD,
            windows=WAKE_MINUTES,
            threshold=1,
            below=False,
            adjustment="ChangeInCapacity",
            steps=(Step(lower=0, adjustment=1),),
            cooldown=WAKE_COOLDOWN,
        )

    @property
    def fit(self) -> StepPolicy:
        """As many workers as the work needs, when that is fewer than run."""
        most, sizes = self.max_workers, self.sizes
        return StepPolicy(
            name="fit",
            reason="The work would fit fewer workers, or there is none: let some go.",
            counts=("visible", "in_flight", "delayed", "running"),
            expressions={"needed": self.needed, "size": self.size, "fit": self.fewer},
            window=self.fit_window,
            windows=FIT_WINDOWS,
            threshold=most,
            below=True,
            adjustment="ExactCapacity",
            steps=(
                Step(upper=-most, adjustment=0),
                *(
                    Step(lower=below - most, upper=size - most, adjustment=size)
                    for below, size in pairwise(sizes)
                ),
            ),
            cooldown=COOLDOWN,
        )

    @property
    def needed(self) -> str:
        """How many workers the work there is would fill.

        A delayed message counts too: a retry that is minutes away keeps one worker. Messages that
        SQS hasn't counted yet may be any number, so they fill the fleet.
        """
        work = f"(FILL(visible, {self.max_workers * self.processes}) + FILL(in_flight, 0))"
        delayed = "IF(FILL(delayed, 0) > 0, 1, 0)"
        return f"IF({work} > 0, CEIL({work} / {self.processes}), {delayed})"

    @property
    def size(self) -> str:
        """The smallest of ``sizes`` that has ``needed`` workers, or ``max_workers``."""
        exact = max(size for place, size in enumerate(self.sizes) if size == place)
        found = str(self.max_workers)
        for size in reversed(self.sizes[exact + 1 :]):
            found = f"IF(needed <= {size}, {size}, {found})"
        return f"IF(needed <= {exact}, needed, {found})"

    @property
    def fewer(self) -> str:
        """``size`` where that is fewer than run, else ``max_workers``, where the alarm is quiet.

        ECS gives a sample a minute for each worker, so a window's samples are its minutes times
        its workers. Samples that are late make them look fewer, and keep everybody.
        """
        minutes = int(self.fit_window / PERIOD)
        return f"IF(size < FILL(running, 0) / {minutes}, size, {self.max_workers})"


def scaling(
    queue: Queue, catalogue: Catalogue, *, oldest_age: timedelta, idle: timedelta
) -> Scaling:
    """The numbers for one queue.

    A worker's share of the backlog is what it gets through within ``oldest_age`` if every task
    takes all the time its type allows. Where that is longer than ``oldest_age``, it is less than
    one task a process, and no task waits for another to end while the fleet may still grow.
    """
    longest = max((each.time_limit for each in catalogue.on(queue)), default=oldest_age)
    return Scaling(
        max_workers=queue.fleet.max_workers,
        processes=queue.fleet.processes,
        backlog_per_worker=queue.fleet.processes * (oldest_age / longest),
        fit_window=idle / FIT_WINDOWS,
        sizes=sizes_below(queue.fleet.max_workers),
    )


def sizes_below(most: int) -> tuple[int, ...]:
    """The sizes that a fleet of ``most`` may be fitted to: all of them where the steps suffice.

    In a larger fleet every size in the lower half of the steps, so that it can rest at one worker,
    and then sizes that grow by the same factor each.
    """
    if most <= MOST_STEPS:
        return tuple(range(most))
    exact = MOST_STEPS // 2
    wide = MOST_STEPS - exact
    factor = (most / exact) ** (1 / (wide + 1))
    return (*range(exact), *sorted({round(exact * factor**step) for step in range(1, wide + 1)}))
