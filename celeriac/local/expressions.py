"""When an EventBridge schedule fires, by its expression: ``at(…)``, ``rate(…)`` or ``cron(…)``.

AWS reads cron and one-time expressions in the schedule's time zone. In spring a time that doesn't
exist is skipped. In autumn a time that comes twice fires once, the first time. Rates follow the
clock of UTC: docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

AT_FORMAT = "%Y-%m-%dT%H:%M:%S"
_EXPRESSION = re.compile(r"(?P<kind>at|rate|cron)\((?P<what>[^()]+)\)")
_RATE = re.compile(r"(?P<value>[1-9][0-9]*) (?P<unit>minute|hour|day)s?")
_CRON_FIELDS = 6
_WEEKDAY = re.compile(r"(?<![#/0-9])[1-7](?![0-9])")
#: How many years a cron expression names at most: AWS takes 1970 to 2199.
_LAST_YEAR = 2199


class ExpressionError(ValueError):
    """EventBridge Scheduler would refuse this expression."""

    def __init__(self, expression: str, why: str) -> None:
        super().__init__(f"Invalid Schedule Expression {expression}: {why}.")
        self.expression = expression


def fire_times(
    expression: str, timezone: str, *, base: datetime, after: datetime
) -> Iterator[datetime]:
    """The times, in UTC, at which a schedule fires, in their order.

    Args:
        expression: as EventBridge Scheduler has it.
        timezone: the IANA zone that it is read in.
        base: when a rate begins to count: the schedule's start, or its creation.
        after: recurring times are strictly later. A one-time schedule's only time is given as it
            is.

    Raises:
        ExpressionError: the expression is wrong.
    """
    found = _EXPRESSION.fullmatch(expression)
    if found is None:
        raise ExpressionError(expression, "it is none of at(…), rate(…) and cron(…)")
    what = found["what"]
    match found["kind"]:
        case "at":
            return iter([_one_time(expression, what, ZoneInfo(timezone))])
        case "rate":
            return _rate(expression, what, base, after)
        case _:
            return _cron(expression, what, ZoneInfo(timezone), after)


def _one_time(expression: str, what: str, zone: ZoneInfo) -> datetime:
    try:
        local = datetime.strptime(what, AT_FORMAT)  # noqa: DTZ007 (the zone follows)
    except ValueError:
        raise ExpressionError(expression, "write at(yyyy-mm-ddThh:mm:ss)") from None
    return local.replace(tzinfo=zone).astimezone(UTC)


def _rate(expression: str, what: str, base: datetime, after: datetime) -> Iterator[datetime]:
    found = _RATE.fullmatch(what)
    if found is None:
        raise ExpressionError(expression, "write rate(5 minutes), in minutes, hours or days")
    step = timedelta(**{f"{found['unit']}s": int(found["value"])})
    passed = max(0, (after - base) // step + 1) if after >= base else 0
    return (base + n * step for n in _count(passed))


def _count(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _cron(expression: str, what: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    fields = what.split()
    if len(fields) != _CRON_FIELDS:
        raise ExpressionError(expression, "it needs six fields: minute to weekday, and the year")
    *five, year = fields
    day, weekday = five[2], five[4]
    if (day == "?") == (weekday == "?"):
        raise ExpressionError(expression, "one of day-of-month and day-of-week must be ?")
    five[2], five[4] = day.replace("?", "*"), _weekdays(weekday)
    is_in = _years(expression, year)
    # Naive, so that cronsim counts through the days as calendars have them.
    local = after.astimezone(zone).replace(tzinfo=None, fold=0)
    try:
        # From before an hour that comes twice: what was fired in it is left out below.
        walls = CronSim(" ".join(five), local - timedelta(hours=3))
    except CronSimError as error:
        raise ExpressionError(expression, str(error)) from None
    return _existing(walls, zone, is_in, after)


def _existing(
    walls: Iterator[datetime], zone: ZoneInfo, is_in: Callable[[int], bool], after: datetime
) -> Iterator[datetime]:
    """The moments behind times on a wall; those that don't exist are left out."""
    for wall in walls:
        if wall.year > _LAST_YEAR:
            return
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        exists = moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall
        if exists and moment > after and is_in(wall.year):
            yield moment


def _weekdays(field: str) -> str:
    """AWS counts from Sunday as 1, cron from Sunday as 0; ``L`` alone is Saturday."""
    if field == "L":
        return "6"
    return _WEEKDAY.sub(lambda each: str(int(each[0]) - 1), field.replace("?", "*"))


def _years(expression: str, field: str) -> Callable[[int], bool]:
    """Whether a year is one of the last field's."""
    spans: list[range] = []
    for part in field.split(","):
        found = re.fullmatch(
            r"(?:\*|(?P<first>\d{4})(?:-(?P<last>\d{4}))?)(?:/(?P<step>\d+))?", part
        )
        if found is None:
            raise ExpressionError(expression, f"{part} is no year")
        first = int(found["first"] or 1970)
        single = found["first"] and not found["step"]
        last = int(found["last"] or (first if single else _LAST_YEAR))
        spans.append(range(first, last + 1, int(found["step"] or 1)))
    return lambda year: any(year in each for each in spans)
