"""When a submitted task may start: after ``delay``, or at ``run_at``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from celeriac import clock
from celeriac.clock import Millis
from celeriac.contract.errors import Picklable
from celeriac.contract.places import short
from celeriac.topology import FURTHEST_DUE

#: A caller's clock may be slow by this much: its "now" isn't refused, and runs now.
TOLERANCE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DueTimeError(Picklable, ValueError):
    """A task can't be due then. ``field`` is what to correct, ``detail`` what is wrong with it."""

    def __init__(self, field: Literal["delay", "run_at"], detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


def due_at(delay: timedelta | None, run_at: datetime | None) -> Millis | None:
    """When a task is due; None for now.

    Raises:
        DueTimeError: both are given, it is in the past, over a year ahead, or has no time zone; or
            it is no time or no duration.
    """
    given: object = delay
    if not isinstance(given, timedelta | None):
        raise DueTimeError("delay", f"{short(given)} is not a timedelta. Write timedelta(hours=2)")
    if run_at is None:
        return _after(delay) if delay else None
    if delay is not None:
        raise DueTimeError("run_at", "Give either delay or run_at, not both")
    given = run_at
    if not isinstance(given, datetime):
        raise DueTimeError(
            "run_at",
            f"{short(given)} is not a datetime. Write datetime.now(UTC) + timedelta(days=1)",
        )
    if run_at.utcoffset() is None:
        raise DueTimeError(
            "run_at",
            "It has no offset from UTC, so it could be several times. Write "
            f"{run_at.isoformat()}Z or {run_at.isoformat()}+03:00",
        )
    now = clock.now()
    due = _whole(run_at - _EPOCH)
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
    return clock.now() + _whole(delay)


def _whole(duration: timedelta) -> Millis:
    """In milliseconds, rounded up: nothing is early."""
    return -(-duration // timedelta(milliseconds=1))


def _text(moment: Millis) -> str:
    return f"{clock.to_datetime(moment):%Y-%m-%dT%H:%M:%SZ}"
