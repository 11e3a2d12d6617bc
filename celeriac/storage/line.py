"""The line of those that a limit has refused: when each asks again.

A task that may not run now takes a place in the line, which says when to ask again. So the number
of questions follows the limit's pace, and not how many tasks wait.

    line (pace 1 s)   ── 1 ── 2 ── 3 ── 4 ──
    task A            refused, place 1 ─ asks ✓
    task B            refused, place 2 ────── asks ✗ ─ asks again soon ─ asks ✓
    task C            refused, place 3 ─────────── asks ✓

A place is a hint, and nothing is promised by it: each question is a conditional write of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeGuard

from celeriac import clock
from celeriac.clock import Millis

#: After its place has come, a refused task asks again within so long.
SOON = timedelta(seconds=2)
#: A task that was refused so often takes a new place: the limit is slower than its line.
PATIENCE = 3


@dataclass(frozen=True)
class Place:
    """When a task asks again, and how often it has asked since then."""

    at: Millis
    asked: int = 0


def has_place(place: Place | None) -> TypeGuard[Place]:
    """Whether a task has a place that still holds."""
    return place is not None and place.asked < PATIENCE


@dataclass(frozen=True)
class Later:
    """A limit refuses a task now. It asks again ``after`` so long, from this place."""

    after: timedelta
    place: Place


def refused(place: Place, now: Millis, earliest: Millis, longest: timedelta) -> Later:
    """When a task with this place asks again: not before ``earliest``.

    If its place comes later than after ``longest``, it asks once in between, for limits change.
    """
    if place.at > now:
        until = max(place.at, earliest) - now
        return Later(min(timedelta(milliseconds=until), longest), place)
    after = timedelta(milliseconds=earliest - now) + random.uniform(0, 1) * SOON
    return Later(min(after, longest), Place(place.at, place.asked + 1))


def next_place(last: Millis, pace: timedelta, earliest: Millis) -> Millis:
    """The place behind the last one, but not before ``earliest``."""
    return max(last + clock.millis(pace), earliest)
