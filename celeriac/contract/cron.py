"""Cron expressions: five fields, read by cronsim, and written as AWS writes them.

    0 6 * * MON-FRI      →      cron(0 6 ? * MON-FRI *)
    │ │ │ │ └ day of week (0-7 or SUN-SAT; 5L the last Friday, MON#1 the first Monday)
    │ │ │ └ month (1-12 or JAN-DEC)
    │ │ └ day of month (1-31; L the last day)
    │ └ hour (0-23)
    └ minute (0-59)

docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from celeriac.contract.errors import Picklable

if TYPE_CHECKING:
    from cronsim import CronSim

_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
#: What cronsim calls the fields.
_THEIRS = {name.replace(" ", "-"): name for name in _FIELDS}
_HINTS = {
    "minute": "Use 0 to 59, such as 0, */15 or 10,40",
    "hour": "Use 0 to 23, such as 6, */2 or 8-18",
    "day of month": "Use 1 to 31, such as 1, 1,15, or L for the last day",
    "month": "Use 1 to 12 or JAN to DEC, such as 1, JAN-MAR or */3",
    "day of week": "Use 0 to 7 or SUN to SAT, such as MON-FRI, 5L for the last Friday or MON#1",
}
#: A longer step would be none: ``*/90`` is minute 0 of each hour.
_HIGHEST = {"minute": 59, "hour": 23, "day of month": 31, "month": 12, "day of week": 7}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: Cronsim's word for the last day.
_LAST = -1000
_LONGEST = 256
_SATURDAY = 6


class CronError(Picklable, ValueError):
    """No such cron expression, or none that AWS has. ``fault`` and ``fix`` have no full stop."""

    def __init__(self, fault: str, fix: str) -> None:
        super().__init__(f"{fault}. {fix}.")
        self.fault = fault
        self.fix = fix


def check(text: str) -> None:
    """Raises ``CronError`` for what is no expression, what AWS can't say, and what never fires."""
    fields = _split(text)
    read = _read(text)
    if _restricted(read.days, 1, 31) and _restricted(read.weekdays, 0, 6):
        raise CronError(
            f"cron {text!r} names days of the month and days of the week, and EventBridge "
            "Scheduler takes one of them",
            f"Write * for the other, or make two schedules: "
            f"'{' '.join([*fields[:4], '*'])}' and '{' '.join([*fields[:2], '*', *fields[3:]])}'",
        )
    if not any(wall_times(text, datetime(2000, 1, 1))):  # noqa: DTZ001 - on a wall clock
        raise _never(text)


def expression(text: str) -> str:
    """The expression as AWS reads it, without steps, which AWS counts from another start."""
    read: Any = _read(text)
    weekly = _restricted(read.weekdays, 0, 6)
    fields = (
        _listed(read.minutes, 0, 59),
        _listed(read.hours, 0, 23),
        "?" if weekly else "L" if _LAST in read.days else _listed(read.days, 1, 31),
        _listed(read.months, 1, 12),
        _weekdays(read.weekdays) if weekly else "?",
        "*",
    )
    return f"cron({' '.join(fields)})"


def wall_times(text: str, after: datetime) -> Iterator[datetime]:
    """When a wall clock that is never changed meets the expression, strictly after a naive time."""
    from cronsim import CronSim

    try:
        yield from CronSim(_normal(text), after)
    except OverflowError:  # the year 9999 is over
        return


@lru_cache(maxsize=1024)
def _read(text: str) -> CronSim:
    """Cronsim's reading, of which only the fields' values are used."""
    from cronsim import CronSim, CronSimError

    fields = _split(text)
    for each, field in zip(_FIELDS, fields, strict=True):
        if "," in field and re.search(r"#|(?<![JU])L", field):
            raise CronError(
                f"the {each} of cron {text!r}, {field!r}, lists L or # with other days, which "
                "EventBridge Scheduler doesn't take",
                "Make a schedule of each",
            )
    try:
        return CronSim(_normal(text), datetime(2000, 1, 1))  # noqa: DTZ001 - on a wall clock
    except CronSimError as error:
        name = _THEIRS[str(error).removeprefix("Bad ")]
        field = fields[_FIELDS.index(name)]
        if name == "day of month" and _comes_in_other_months(fields):
            raise _never(text) from None
        raise CronError(f"the {name} of cron {text!r}, {field!r}, is wrong", _HINTS[name]) from None


_EXAMPLE = (
    "Write five fields, such as '0 6 * * MON-FRI': minute, hour, day of month, month, day of week"
)


def _split(text: object) -> list[str]:
    if not isinstance(text, str):
        raise CronError(f"a cron expression is a string, not {type(text).__name__}", _EXAMPLE)
    fields = _normal(text).split()
    if text.strip().lower().startswith(("cron(", "rate(", "at(")):
        raise CronError(f"cron {text[:80]!r} is AWS's own form", _EXAMPLE)
    if len(fields) != len(_FIELDS):
        raise CronError(f"cron {text[:80]!r} has {len(fields)} fields, not 5", _EXAMPLE)
    if len(text) > _LONGEST:
        raise CronError(f"cron {text[:20]!r}… is longer than {_LONGEST} characters", "Shorten it")
    if "?" in text:
        raise CronError(f"cron {text!r} has a ?, which is AWS's own", "Write * for any day")
    if not text.isascii() or "W" in fields[2]:
        raise CronError(f"the day of month of cron {text!r} is wrong", _HINTS["day of month"])
    for name, field in zip(_FIELDS, fields, strict=True):
        for step in re.findall(r"/(\d+)", field):
            if int(step) > _HIGHEST[name]:
                raise CronError(
                    f"the {name} of cron {text!r}, {field!r}, has a step that it never takes",
                    f"{_HINTS[name]}; a rate has any interval",
                )
    return fields


def _normal(text: str) -> str:
    """Names of periods as fields, and a range that ends on Sunday as one that ends on 7."""
    text = _MACROS.get(text.strip().lower(), text).upper()
    head, blank, days = text.strip().rpartition(" ")
    return f"{head}{blank}{re.sub(r'-(SUN|0)(?![0-9])', '-7', days)}"


def _comes_in_other_months(fields: list[str]) -> bool:
    """Whether cronsim refuses a day of month only since these months haven't so many."""
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join([*fields[:3], "*", fields[4]]), datetime(2000, 1, 1))  # noqa: DTZ001
    except CronSimError:
        return False
    return True


def _never(text: str) -> CronError:
    return CronError(f"cron {text!r} never comes: no year has such a day", "Choose another day")


def _restricted(values: Any, lowest: int, highest: int) -> bool:
    """Whether a field leaves out any of its values. A week's day 7 is its day 0."""
    found = {0 if highest == _SATURDAY and each == _SATURDAY + 1 else each for each in values}
    return not found >= set(range(lowest, highest + 1))


def _listed(values: Any, lowest: int, highest: int) -> str:
    """Values as AWS lists them: ``*``, ``8-18`` or ``0,15,30,45``."""
    return _joined(values, str) if _restricted(values, lowest, highest) else "*"


def _weekdays(values: Any) -> str:
    """By name where it can be: AWS counts from 1, for Sunday."""
    [first, *_] = values
    if isinstance(first, tuple):
        day, which = first
        number = day % 7 + 1
        return f"{number}L" if which == _LAST else f"{number}#{which}"
    return _joined({each % 7 for each in values}, lambda day: _DAYS[day])


def _joined(values: Iterable[int], name: Callable[[int], str]) -> str:
    """Runs of three or more as a range. None passes the end of a week: AWS has no such range."""
    return ",".join(
        name(first)
        if first == last
        else f"{name(first)}{'-' if last > first + 1 else ','}{name(last)}"
        for first, last in _runs(sorted(values))
    )


def _runs(values: list[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each run of whole numbers without a gap."""
    start = previous = values[0]
    for value in values[1:]:
        if value != previous + 1:
            yield start, previous
            start = value
        previous = value
    yield start, previous
