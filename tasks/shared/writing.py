"""How a sender writes numbers and dates: options for values that can be read in two ways."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

DecimalMark = Literal[".", ","]


def whole_date(pattern: str) -> str:
    """The pattern, if it is one of strptime's that tells a whole date.

    Raises:
        ValueError: it lacks the day, the month or the year, or has one of them twice.
    """
    day = datetime(2024, 12, 31, tzinfo=UTC)
    try:
        read = datetime.strptime(day.strftime(pattern), pattern).date()  # noqa: DTZ007
    except (ValueError, re.error):
        read = None
    if read != day.date():
        raise ValueError(f"{pattern!r} needs a day, a month and a year, each once")
    return pattern


DateFormat = Annotated[
    str,
    Field(max_length=40, pattern=r"^([^%]*%[dmYyHIMSfpbBjz])+[^%]*$"),
    AfterValidator(whole_date),
]
