"""When a fleet grows and shrinks, as data: templates are made of it, and ``bench`` simulates it.

    0 → 1     wake: the backlog has exceeded the running workers' share for three minutes
    1 → N     grow: the backlog of each worker is above ``backlog_per_worker``
    N → 0     fit:  the work would have fitted fewer workers for all of ``idle``

SQS publishes its counts of messages once a minute. The count of running workers is the number of
CPU samples that ECS has for the service, one a minute for each worker. Container Insights isn't
needed:
docs.aws.amazon.com/AmazonECS/latest/developerguide/cloudwatch-metrics.html#cw_running_task_count

The two are published apart, so either may be a minute or two behind the other. If a late count is
filled in, its newest points are always the filler:
docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
So each filler here is a value that doesn't move a working fleet.

A queue has two lanes, and their counts are added: ``high_visible`` is that of the high lane. SQS
publishes nothing of a lane that nobody has used for six hours, so either may be missing. It counts
as 0 where the other lane has a count, but not when a fleet is to shrink. Where neither lane has
a count, the sum is missing too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from celeriac.contract import Catalogue, Queue

# SQS and ECS publish a value a minute.
PERIOD = timedelta(minutes=1)
# A step scaling policy takes 20 steps at most.
# docs.aws.amazon.com/general/latest/gr/as-app.html
MOST_STEPS = 20
# How soon grow and fit may act again. They name the size they want, so acting twice is harmless.
COOLDOWN = timedelta(minutes=1)

# The waiting messages of both lanes.
WAITING = "(FILL(visible, 0 * high_visible) + FILL(high_visible, 0 * visible))"
# The expression that target tracking follows. It waits for late samples.
GROW = f"{WAITING} / running"
# The expression of the no-worker alarm. Without workers there are no samples: they are filled in.
NO_WORKER = f"IF({WAITING} > 0 AND FILL(running, 0) < 1, 1, 0)"
# One minute more than ECS may be behind SQS: of so many minutes, one is a real count.
WAKE_MINUTES = 3
# Longer than a worker takes to start and be counted, so that one wait adds one worker.
WAKE_COOLDOWN = timedelta(minutes=5)
# Fit looks at the maximum of each of two windows, so one quiet minute between two messages stops no
# worker.
FIT_WINDOWS = 2

Count = Literal[
    "visible", "in_flight", "delayed", "high_visible", "high_in_flight", "high_delayed", "running"
]
Adjustment = Literal["ChangeInCapacity", "ExactCapacity"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change of the fleet, by ``adjustment`` workers or to that size.

    It applies while the watched value is between ``lower`` and ``upper`` above the threshold;
    either may be open.
    """

    lower: float | None = None
    upper: float | None = None
    adjustment: int


@dataclass(frozen=True, kw_only=True)
class StepPolicy:
    """An alarm, and the change that it makes to the fleet in each minute that it is on.

    ``expressions`` are computed from ``counts`` and from each other. The alarm watches the last of
    them for ``windows`` windows in a row. It is on at ``threshold`` or above, or only below it.
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
    min_workers: int = 0
    processes: int
    backlog_per_worker: float
    fit_window: timedelta
    sizes: tuple[int, ...]

    @property
    def wake(self) -> StepPolicy:
        """One worker more. It can't see how many there are, so it must not name a size.

        If none runs, any message exceeds their share. If some run, grow adds more than this. There
        is one exception: a fleet of size 0 whose last worker is still busy and protected. Grow
        multiplies the size, so it would add none.
        """
        share = f"{self.backlog_per_worker} * FILL(running, 0)"
        return StepPolicy(
            name="wake",
            reason="The backlog exceeds the running workers' share: start one worker.",
            counts=("visible", "high_visible", "running"),
            expressions={"wake": f"IF({WAITING} > {share}, 1, 0)"},
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
        """As many workers as the work needs, if that is fewer than are running."""
        most, sizes = self.max_workers, self.sizes
        return StepPolicy(
            name="fit",
            reason="The work fits fewer workers, or there is none: stop the surplus.",
            counts=(
                "visible",
                "in_flight",
                "delayed",
                "high_visible",
                "high_in_flight",
                "high_delayed",
                "running",
            ),
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
        """How many workers the present work would fill.

        A delayed message counts too: a retry that is minutes away keeps one worker. A count that
        SQS hasn't published yet may be any number, so it fills the fleet.
        """
        full = self.max_workers * self.processes
        waiting = f"FILL(visible, {full}) + FILL(high_visible, {full})"
        work = f"({waiting} + FILL(in_flight, 0) + FILL(high_in_flight, 0))"
        delayed = "IF(FILL(delayed, 0) + FILL(high_delayed, 0) > 0, 1, 0)"
        needed = f"IF({work} > 0, CEIL({work} / {self.processes}), {delayed})"
        fewest = self.min_workers
        return f"IF({needed} < {fewest}, {fewest}, {needed})" if fewest else needed

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
        """``size`` if that is fewer than are running, else ``max_workers``, which is no alarm.

        ECS publishes a sample a minute for each worker, so a window's samples are its minutes times
        its workers. With late samples the workers look fewer, and none is stopped.
        """
        minutes = int(self.fit_window / PERIOD)
        return f"IF(size < FILL(running, 0) / {minutes}, size, {self.max_workers})"


def scaling(
    queue: Queue,
    catalogue: Catalogue,
    *,
    oldest_age: timedelta,
    idle: timedelta,
    most: int | None = None,
) -> Scaling:
    """The numbers for one queue, whose fleet grows to ``most`` workers, or to its ``max_workers``.

    A worker's share of the backlog is the number of tasks that it finishes within ``oldest_age`` if
    every task takes its type's whole time limit. If that limit is longer than ``oldest_age``, the
    share is less than one task a process: the fleet grows before a task waits for another.
    """
    fleet = queue.fleet
    largest = fleet.max_workers if most is None else most
    longest = max((each.time_limit for each in catalogue.on(queue)), default=oldest_age)
    return Scaling(
        max_workers=largest,
        min_workers=fleet.min_workers,
        processes=fleet.processes,
        backlog_per_worker=fleet.processes * (oldest_age / longest),
        fit_window=idle / FIT_WINDOWS,
        sizes=sizes_below(largest),
    )


def sizes_below(most: int) -> tuple[int, ...]:
    """The sizes that a fleet of ``most`` may be fitted to: all of them if the steps suffice.

    A larger fleet gets every size in the lower half of the steps, so that it can rest at one
    worker. In the upper half, each size is the one before times the same factor.
    """
    if most <= MOST_STEPS:
        return tuple(range(most))
    exact = MOST_STEPS // 2
    wide = MOST_STEPS - exact
    factor = (most / exact) ** (1 / (wide + 1))
    return (*range(exact), *sorted({round(exact * factor**step) for step in range(1, wide + 1)}))
