"""Durations and times are read exactly, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.http import times

SECOND = timedelta(seconds=1)
RIGHT = {
    "PT15M": timedelta(minutes=15),
    "P7D": timedelta(days=7),
    "P1W2DT3H4M5S": timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5),
    "PT0S": timedelta(0),
    "PT90S": timedelta(seconds=90),
    "-PT5M": timedelta(minutes=-5),
    "P00001D": timedelta(days=1),
}


@pytest.mark.parametrize("text", RIGHT)
def test_a_duration_is_iso_8601_in_whole_numbers(text: str) -> None:
    """Weeks to seconds, each once and in this order."""
    assert times.duration(text) == RIGHT[text]


WRONG: list[Any] = [
    "",
    "P",
    "PT",
    "P1DT",
    "-",
    "T1H",
    "1H",
    "PT1",
    "P1H",
    "PT1D",
    "PT1H1H",
    "PT1M1H",
    "P1D1D",
    "P1D1W",
    "PT1S1M",
    "P1Y",
    "P1M",
    "PT1.5H",
    "PT1,5H",
    "PT0.5S",
    "PT60.0S",
    "PT-1H",
    "P-1D",
    "+PT1H",
    "--PT1H",
    "pt1h",
    "PT1h",
    "Pt1H",
    " PT1H",
    "PT1H ",
    "PT1H\n",
    "PT 1H",
    "PT1_0M",
    "PT١H",
    "PT1️H",
    "PT1e3S",
    "PTinfS",
    "P1W/PT1H",
    "R/PT1H",
    "01:00:00",
    "1 day",
    "3600",
    "rate(1 hour)",
    "P0001-00-00T00:00:00",
    5,
    True,
    None,
    [],
    {},
]


@pytest.mark.parametrize("given", WRONG, ids=repr)
def test_anything_else_is_no_duration(given: Any) -> None:
    """Repeated units, fractions, signs inside, other digits, blanks, small letters."""
    assert times.duration(given) is None


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 10**9 - 1)), min_size=5, max_size=5),
    st.booleans(),
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[int | None], negative: bool) -> None:
    """However large: what no ``timedelta`` can be is longer than any limit."""
    given = dict(zip("WDHMS", parts, strict=True))
    day, time = (
        "".join(f"{given[unit]}{unit}" for unit in units if given[unit] is not None)
        for units in ("WD", "HMS")
    )
    text = f"{'-' if negative else ''}P{day}{f'T{time}' if time else ''}"
    units = (604_800, 86_400, 3600, 60, 1)
    total = sum((part or 0) * unit for part, unit in zip(parts, units, strict=True))
    found = times.duration(text)
    if not day and not time:
        assert found is None
        return
    assert found is not None
    assert abs(found) == min(total, 999_999_999 * 86_400) * SECOND
    assert (found < timedelta(0)) == (negative and total > 0)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(60, 60), (60.0, 60), (0, 0), (-5, -5), (1e15, None), (10**400, None), (-1e300, None)],
)
def test_a_number_is_whole_seconds(given: float, seconds: int | None) -> None:
    """``None``: longer than any limit."""
    found = times.seconds(given)
    assert found is not None
    if seconds is None:
        assert abs(found) == timedelta(days=999_999_999)
    else:
        assert found == seconds * SECOND


@pytest.mark.parametrize(
    "given",
    [60.0000004, 60.5, 0.1, -0.5, 1e-9, float("nan"), float("inf"), True, False, "60", None, []],
    ids=repr,
)
def test_no_other_number_is_rounded_to_one(given: Any) -> None:
    """Fractions, what is no number, and booleans, which are numbers to Python."""
    assert times.seconds(given) is None


EAST = timezone(timedelta(hours=3))
MOMENTS = {
    "2031-06-01T12:00:00Z": datetime(2031, 6, 1, 12, tzinfo=UTC),
    "2031-06-01t12:00:00z": datetime(2031, 6, 1, 12, tzinfo=UTC),
    "2031-06-01 12:00:00+03:00": datetime(2031, 6, 1, 12, tzinfo=EAST),
    "2031-06-01T12:00:00": datetime(2031, 6, 1, 12),  # noqa: DTZ001
    "2031-06-01T12:00": datetime(2031, 6, 1, 12),  # noqa: DTZ001
    "2031-06-01T12:00:00.5Z": datetime(2031, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC),
    "2031-06-01T12:00:00.123456Z": datetime(2031, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC),
    "2031-06-01T12:00:00.123456000Z": datetime(2031, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC),
    "2031-06-01T12:00:00.123456001Z": datetime(2031, 6, 1, 12, 0, 0, 123_457, tzinfo=UTC),
    "2031-12-31T23:59:59.9999999Z": datetime(2032, 1, 1, tzinfo=UTC),
}


@pytest.mark.parametrize("text", MOMENTS)
def test_a_time_is_read_to_the_microsecond(text: str) -> None:
    """What is finer is rounded up, and nothing is early."""
    found = times.moment(text)
    assert (found, found.utcoffset()) == (MOMENTS[text], MOMENTS[text].utcoffset())


NO_MOMENTS: list[tuple[Any, str]] = [
    ("2031-06-01", "no time of day"),
    ("2031-06", "ISO 8601"),
    ("2031", "ISO 8601"),
    ("2031-06-01T12", "ISO 8601"),
    ("2031-06-01T12Z", "ISO 8601"),
    ("20310601T120000Z", "ISO 8601"),
    ("2031-W22-7T12:00:00Z", "ISO 8601"),
    ("2031-152T12:00:00Z", "ISO 8601"),
    ("2031-6-1T12:00:00Z", "ISO 8601"),
    ("2031-06-01T12:00:00,5Z", "ISO 8601"),
    ("2031-06-01T12:00.5Z", "ISO 8601"),
    ("2031-06-01T12:00:00.Z", "ISO 8601"),
    ("2031-06-01T12:00:00.1234567891Z", "ISO 8601"),
    ("2031-06-01T12:00:00+03", "ISO 8601"),
    ("2031-06-01T12:00:00+0300", "ISO 8601"),
    ("2031-06-01T12:00:00 +03:00", "ISO 8601"),
    ("2031-06-01T12:00:00 UTC", "ISO 8601"),
    ("2031-06-01T12:00:00[Europe/Moscow]", "ISO 8601"),
    ("2031-06-01T12:00:00 03:00", "plus sign"),
    (" 2031-06-01T12:00:00Z", "ISO 8601"),
    ("2031-06-01T12:00:00Z\n", "ISO 8601"),
    ("2031-06-01  12:00:00Z", "ISO 8601"),
    ("٢٠٣١-06-01T12:00:00Z", "ISO 8601"),
    ("+2031-06-01T12:00:00Z", "ISO 8601"),
    ("12031-06-01T12:00:00Z", "ISO 8601"),
    ("2031-02-29T12:00:00Z", "no such time"),
    ("2031-13-01T12:00:00Z", "no such time"),
    ("2031-06-01T25:00:00Z", "no such time"),
    ("2031-06-01T12:60:00Z", "no such time"),
    ("2031-06-30T23:59:60Z", "no such time"),
    ("2031-06-01T12:00:00+24:00", "no such time"),
    ("0000-06-01T12:00:00Z", "no such time"),
    ("9999-12-31T23:59:59.9999999Z", "no such time"),
    ("2031-06-01T24:00:00Z", "no hour 24"),
    ("tomorrow", "ISO 8601"),
    ("01/06/2031", "ISO 8601"),
    ("1938000000", "ISO 8601"),
    (1938000000, "ISO 8601"),
    (True, "ISO 8601"),
    (None, "ISO 8601"),
    ("", "ISO 8601"),
]


@pytest.mark.parametrize(("given", "said"), NO_MOMENTS, ids=repr)
def test_what_could_be_several_times_or_none_is_refused(given: Any, said: str) -> None:
    """The error says what to write."""
    with pytest.raises(ValueError, match=said):
        times.moment(given)


@given(
    st.datetimes(timezones=st.sampled_from([None, UTC, EAST, timezone(timedelta(minutes=-570))]))
)
def test_every_time_that_python_writes_is_read_as_it_is(moment: datetime) -> None:
    """With any fraction and any offset."""
    assert times.moment(moment.isoformat()) == moment
