"""Durations and times as callers write them.

Only what says one thing exactly is taken: nothing is rounded down, and nothing is guessed.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

#: ISO 8601 in whole numbers, without years and months, whose lengths differ.
_DURATION = re.compile(
    r"(?P<sign>-?)P(?=.)(?:(?P<weeks>[0-9]{1,9})W)?(?:(?P<days>[0-9]{1,9})D)?"
    r"(?:T(?=.)(?:(?P<hours>[0-9]{1,9})H)?(?:(?P<minutes>[0-9]{1,9})M)?"
    r"(?:(?P<seconds>[0-9]{1,9})S)?)?"
)
#: RFC 3339, section 5.6. A time without an offset is told apart, and so is one without seconds.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?P<hour>[0-9]{2}):[0-9]{2}"
    r"(?P<seconds>:[0-9]{2}(?:\.[0-9]{1,6}(?P<finer>[0-9]{0,3}))?)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: What is left of an offset whose plus sign a URL has turned into a space.
_LOST_PLUS = re.compile(r".*[0-9] [0-9]{2}:[0-9]{2}")
#: Longer than any limit, and short enough to be negative.
_ENDLESS = timedelta(days=999_999_999)


def duration(given: Any) -> timedelta | None:
    """A duration of ISO 8601, such as ``PT2H``; None for anything else.

    One that no ``timedelta`` can be is the longest one.
    """
    found = _DURATION.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        return None
    parts = {name: int(digits or 0) for name, digits in found.groupdict().items() if name != "sign"}
    try:
        length = min(timedelta(**parts), _ENDLESS)
    except OverflowError:
        length = _ENDLESS
    return -length if found["sign"] else length


def seconds(given: Any) -> timedelta | None:
    """A whole number of seconds, also as ``60.0``; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    if isinstance(given, float) and not given.is_integer():
        return None
    longest = _ENDLESS // timedelta(seconds=1)
    return timedelta(seconds=int(max(-longest, min(given, longest))))


def moment(given: Any) -> datetime:
    """A date and time, such as ``2031-01-31T06:00:00+03:00``; naive if it has no offset.

    Less than a microsecond is rounded up, so that nothing is early.

    Raises:
        ValueError: the message is a sentence without a full stop.
    """
    found = _MOMENT.fullmatch(given) if isinstance(given, str) else None
    if found is not None and found["hour"] == "24":
        raise ValueError("There is no hour 24: write 00 of the next day")
    if found is None:
        if isinstance(given, str) and _DATE.fullmatch(given):
            raise ValueError(f"It has no time of day: write {given}T00:00:00Z for its midnight")
        if isinstance(given, str) and _LOST_PLUS.fullmatch(given):
            raise ValueError("Its offset has lost its plus sign: in a URL, write + as %2B")
        raise ValueError(
            "Write a time of ISO 8601, as RFC 3339 has it, such as 2031-01-31T06:00:00+03:00"
        )
    try:
        exact = datetime.fromisoformat(given.upper())
        return exact + timedelta(microseconds=bool((found["finer"] or "").strip("0")))
    except (ValueError, OverflowError):
        raise ValueError("There is no such time: look at its day, hour and minute") from None
