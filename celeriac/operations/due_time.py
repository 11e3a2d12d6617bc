"""When a submitted task may start: after ``delay``, or at ``run_at``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from celeriac import clock
from celeriac.clock import Millis
from celeriac.contract.errors import Picklable
from celeriac.topology import FURTHEST_DUE

#: A caller's clock may be slow by this much: its "now" isn't refused, and runs now.
TOLERANCE = timedelta(minutes=1)


class DueTimeError(Picklable, ValueError):
    """A task can't be due then. ``field`` is what to correct, ``detail`` what is wrong with it."""

    def __init__(self, field: Literal["delay", "run_at"], detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


def due_at(delay: timedelta | None, run_at: datetime | None) -> Millis | None:
    """When a task is due; None for now.

    Raises:
        DueTimeError: both are given, it is in the past, over a year ahead, or has no time zone.
    """
    if run_at is None:
        return _after(delay) if delay else None
    if delay is not None:
        raise DueTimeError("run_at", "Give either delay or run_at, not both")
    if run_at.utcoffset() is None:
        raise DueTimeError(
            "run_at",
            "It has no offset from UTC, so it could be several times. Write "
            "2027-01-31T06:00:00Z or 2027-01-31T06:00:00+03:00",
        )
    now = clock.now()
    due = int(run_at.timestamp() * 1000)
    if due < now - clock.millis(TOLERANCE):
        raise DueTimeError("run_at", f"It has passed: it is {_text(now)} now")
    if due > now + clock.millis(FURTHEST_DUE):
        raise DueTimeError(
            "run_at",
            f"It is over {FURTHEST_DUE.days} days ahead: the latest is "
            f"{_text(now + clock.millis(FURTHEST_DUE))}",
        )
    return due if due > now else None


def _after(delay: timedelta) -> Millis:
    if delay < timedelta(0):
        raise DueTimeError("delay", "It is negative: give zero or more")
    if delay > FURTHEST_DUE:
        raise DueTimeError("delay", f"It is over {FURTHEST_DUE.days} days, which is the longest")
    return clock.now() + clock.millis(delay)


def _text(moment: Millis) -> str:
    return f"{clock.to_datetime(moment):%Y-%m-%dT%H:%M:%SZ}"
