"""EventBridge Scheduler's expressions, read as the ``Schedule`` that says the same.

    cron(0/20 8-17 ? * 2-6 *)     →     0/20 8-17 * * 1-5
         │    │    │ │ │   └ year (1970-2199)
         │    │    │ │ └ day of week (1-7 or SUN-SAT; L is Saturday, 6L the last Friday, 2#1)
         │    │    │ └ month
         │    │    └ day of month (L the last, 15W the weekday next to the 15th)
         │    └ hour
         └ minute

So times, zones and clocks that change are read in one place, which is the contract's. Only years
and W have no counterpart there: they leave out days.
docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from celeriac.contract import Schedule, zones
from celeriac.contract.schedule import ScheduleError

AT_FORMAT = "%Y-%m-%dT%H:%M:%S"
_EXPRESSION = re.compile(r"(?P<kind>at|rate|cron)\((?P<what>[^()]+)\)")
_RATE = re.compile(r"(?P<value>[1-9][0-9]{0,6}) (?P<unit>minute|hour|day)s?")
_CRON_FIELDS = 6
_WEEKDAY = re.compile(r"(?<![#/0-9])[1-7](?![0-9])")
_NO_WEEKDAY = re.compile(r"(?<![#/0-9])[089]")
_NEXT_TO = re.compile(r"(?P<day>[1-9]|[12][0-9]|3[01])W")
#: A range that passes the end of an hour or of a day, such as 20-2.
_OVER_THE_END = re.compile(r"(?<![0-9-])(?P<first>[0-9]{1,2})-(?P<last>[0-9]{1,2})(?![0-9])")
_FIRST_YEAR, _LAST_YEAR = 1970, 2199

_Admits = Callable[[datetime], bool]


class ExpressionError(ValueError):
    """EventBridge Scheduler would refuse this expression."""

    def __init__(self, expression: str, why: str) -> None:
        super().__init__(f"Invalid Schedule Expression {expression}: {why}.")
        self.expression = expression


@dataclass(frozen=True)
class Expression:
    """What an expression says. ``admits`` says of a clock's time whether its day is one of them.

    ``schedule`` is None for one time that the zone's clock skips, so that it never fires.
    """

    schedule: Schedule | None
    admits: _Admits = lambda _: True

    def fire_times(self, *, base: datetime, after: datetime) -> Iterator[datetime]:
        """The times, in UTC, at which it fires, in their order.

        A rate is counted from ``base``: the schedule's start, or its creation. Recurring times are
        strictly after ``after``. The only time of a one-time schedule is given as it is.
        """
        match self.schedule:
            case None:
                return iter(())
            case Schedule(when=datetime() as moment):
                return iter((moment,))
            case Schedule(when=timedelta()) as rate:
                return replace(rate, start=base).fire_times(after)
            case cron:
                zone = ZoneInfo(cron.timezone)
                times = cron.fire_times(after)
                return (each for each in times if self.admits(each.astimezone(zone)))


def read(expression: str, timezone: str) -> Expression:
    """Read an expression in this IANA zone.

    Raises:
        ExpressionError: the expression is wrong, or never fires.
        ScheduleError: there is no such zone.
    """
    zones.zone(timezone)
    found = _EXPRESSION.fullmatch(expression)
    if found is None:
        raise ExpressionError(expression, "it is none of at(…), rate(…) and cron(…)")
    try:
        match found["kind"]:
            case "at":
                return _one_time(expression, found["what"], timezone)
            case "rate":
                return Expression(Schedule.rate(_interval(expression, found["what"])))
            case _:
                return _cron(expression, found["what"], timezone)
    except ScheduleError as error:
        raise ExpressionError(expression, error.fault) from None


def _one_time(expression: str, what: str, timezone: str) -> Expression:
    try:
        wall = datetime.strptime(what, AT_FORMAT)  # noqa: DTZ007 (of the zone's clock)
    except ValueError:
        raise ExpressionError(expression, "write at(yyyy-mm-ddThh:mm:ss)") from None
    skipped = wall.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC).astimezone(ZoneInfo(timezone))
    if skipped.replace(tzinfo=None, fold=0) != wall:
        return Expression(None)
    return Expression(Schedule.at(wall, timezone=timezone))


def _interval(expression: str, what: str) -> timedelta:
    found = _RATE.fullmatch(what)
    if found is None:
        raise ExpressionError(expression, "write rate(5 minutes), in minutes, hours or days")
    return timedelta(**{f"{found['unit']}s": int(found["value"])})


def _cron(expression: str, what: str, timezone: str) -> Expression:
    fields = what.split()
    if len(fields) != _CRON_FIELDS:
        raise ExpressionError(expression, "it needs six fields: minute to weekday, and the year")
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?") or "?" in f"{minute}{hour}{month}{year}":
        raise ExpressionError(expression, "one of day-of-month and day-of-week must be ?")
    if _NO_WEEKDAY.search(weekday):
        raise ExpressionError(expression, "a day of the week is 1-7 or SUN-SAT")
    in_years = _years(expression, year)
    admits: _Admits = lambda wall: in_years(wall.year)  # noqa: E731
    if next_to := _NEXT_TO.fullmatch(day):
        nearest, day = _next_to(int(next_to["day"])), "?"
        admits = lambda wall: in_years(wall.year) and nearest(wall)  # noqa: E731
    five = (
        _in_order(minute, 59),
        _in_order(hour, 23),
        day.replace("?", "*"),
        month,
        "6" if weekday == "L" else _WEEKDAY.sub(_from_sunday, weekday.replace("?", "*")),
    )
    return Expression(Schedule.cron(" ".join(five), timezone=timezone), admits)


def _from_sunday(day: re.Match[str]) -> str:
    """AWS counts from Sunday as 1, cron from Sunday as 0."""
    return str(int(day[0]) - 1)


def _in_order(field: str, highest: int) -> str:
    """A range over the end as the two that it has: ``20-2`` as ``20-23,0-2``."""

    def split(found: re.Match[str]) -> str:
        first, last = int(found["first"]), int(found["last"])
        return f"{first}-{highest},0-{last}" if first > last else found[0]

    # With a step it would count on over the end, which cron can't say.
    return field if "/" in field else _OVER_THE_END.sub(split, field)


def _next_to(day: int) -> _Admits:
    """Whether a date is the weekday next to a day of its month, which it never leaves."""

    def nearest(wall: datetime) -> bool:
        last = calendar.monthrange(wall.year, wall.month)[1]
        if day > last:
            return False
        found = day
        match calendar.weekday(wall.year, wall.month, day):
            case 5:  # Saturday
                found = day - 1 if day > 1 else day + 2
            case 6:  # Sunday
                found = day + 1 if day < last else day - 2
        return wall.day == found

    return nearest


def _years(expression: str, field: str) -> Callable[[int], bool]:
    """Whether a year is one of the last field's."""
    spans: list[range] = []
    for part in field.split(","):
        found = re.fullmatch(
            r"(?:\*|(?P<first>\d{4})(?:-(?P<last>\d{4}))?)(?:/(?P<step>[1-9]\d*))?", part
        )
        if found is None:
            raise ExpressionError(expression, f"{part} is no year")
        first = int(found["first"] or _FIRST_YEAR)
        single = found["first"] and not found["step"]
        last = int(found["last"] or (first if single else _LAST_YEAR))
        if not _FIRST_YEAR <= first <= last <= _LAST_YEAR:
            raise ExpressionError(expression, f"{part} is not within 1970-2199")
        spans.append(range(first, last + 1, int(found["step"] or 1)))
    return lambda year: any(year in each for each in spans)
