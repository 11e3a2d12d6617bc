"""Rates: intervals of whole minutes, written as AWS writes them.

docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from celeriac.contract import zones
from celeriac.contract.errors import ScheduleError

MINUTE = timedelta(minutes=1)
#: The longest interval of a schedule.
LONGEST_RATE = timedelta(days=366)
#: From the longest: AWS takes whole minutes, hours of 60 minutes and days of 24 hours.
_UNITS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", MINUTE))


def check(interval: timedelta) -> None:
    """Raises ``ScheduleError`` for an interval that AWS can't say."""
    if interval < MINUTE:
        raise ScheduleError(
            "rate",
            f"rate {interval} is shorter than a minute, which EventBridge Scheduler can't do",
            "Give a minute or more, or let one task do the work of a minute in a loop",
        )
    if interval % MINUTE:
        raise ScheduleError(
            "rate",
            f"rate {interval} is not a whole number of minutes",
            f"Give {interval // MINUTE} or {interval // MINUTE + 1} minutes",
        )
    if interval > LONGEST_RATE:
        raise ScheduleError(
            "rate",
            f"rate {interval} is longer than {LONGEST_RATE.days} days",
            "Use a cron expression, such as '0 6 1 1 *' for once a year",
        )


def expression(interval: timedelta) -> str:
    """The expression as AWS reads it, in the largest unit."""
    name, unit = next(each for each in _UNITS if not interval % each[1])
    count = interval // unit
    return f"rate({count} {name}{'' if count == 1 else 's'})"


def times(interval: timedelta, after: datetime, start: datetime | None) -> Iterator[datetime]:
    """Every ``interval`` from ``start`` on, or from an interval after ``after``."""
    moment = after + interval
    if start is not None:
        moment = start + max((after - start) // interval + 1, 0) * interval
    while moment < zones.BEYOND:
        yield moment
        moment += interval
