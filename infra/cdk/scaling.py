"""When a fleet grows and shrinks, in numbers. Plain data: the template and ``bench`` both read it.

    0 → 1     wake: a message is visible and no worker runs
    1 → N     grow: the backlog of each worker is above ``backlog_per_worker``
    N → 0     fit:  for all of ``idle``, the work there was would have fitted fewer workers

Counts of messages come from SQS once a minute; the count of running workers is the number of CPU
samples ECS has for the service, one a minute for each (no Container Insights needed):
docs.aws.amazon.com/AmazonECS/latest/developerguide/cloudwatch-metrics.html#cw_running_task_count
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tasks.contract import Catalogue, Queue

# SQS and ECS publish a value a minute.
PERIOD = timedelta(minutes=1)
# Fit looks at the most that was going on in each of two windows, so one quiet minute between two
# messages stops nobody.
FIT_WINDOWS = 2
# A step scaling policy takes 20 steps at most.
# docs.aws.amazon.com/general/latest/gr/as-app.html
MOST_STEPS = 20
# How soon a policy may act again. Each policy names the size it wants, so acting twice is harmless.
COOLDOWN = timedelta(minutes=1)

# What target tracking and alarms compute from the counts. ``needed`` counts a delayed message too:
# a retry that is minutes away keeps one worker, and the last one stops when nothing is left at all.
WAKE = "IF(visible > 0 AND FILL(running, 0) < 1, 1, 0)"
GROW = "IF(FILL(running, 0) > 0, visible / FILL(running, 0), 0)"


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The numbers of one fleet's policies. ``sizes`` are the fleet sizes that fit chooses among."""

    max_workers: int
    processes: int
    backlog_per_worker: float
    fit_window: timedelta
    sizes: tuple[int, ...]

    @property
    def needed(self) -> str:
        """The CloudWatch expression for how many workers the work there is would fill."""
        work = "(visible + in_flight)"
        return f"IF({work} > 0, CEIL({work} / {self.processes}), IF(delayed > 0, 1, 0))"

    @property
    def fit(self) -> str:
        """What fit's alarm watches: the workers needed when that is fewer than run.

        Otherwise ``max_workers``, which is where the alarm is quiet. ECS gives a sample a minute
        for each worker, so a window's samples are its minutes times its workers.
        """
        minutes = int(self.fit_window / PERIOD)
        return (
            f"IF({self.needed} < FILL(samples, 0) / {minutes}, {self.needed}, {self.max_workers})"
        )

    def size_for(self, needed: float) -> int:
        """The smallest size among ``sizes`` that has ``needed`` workers."""
        return next(size for size in self.sizes if size >= needed)


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
        sizes=sizes_up_to(queue.fleet.max_workers),
    )


def sizes_up_to(most: int) -> tuple[int, ...]:
    """0 … ``most``: all of them where the steps suffice, else evenly spread."""
    steps = min(most, MOST_STEPS - 1)
    return (0, *(-(-most * step // steps) for step in range(1, steps + 1)))
