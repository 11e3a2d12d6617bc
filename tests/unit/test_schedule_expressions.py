"""When schedules fire, held against croniter and AWS's rule for clocks that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.contract import Schedule
from celeriac.contract.schedule import ScheduleError
from celeriac.local.expressions import ExpressionError, read

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)

#: AWS's expression, and the same for croniter.
CRONS = [
    ("0 6 ? * MON-FRI *", "0 6 * * MON-FRI"),
    ("30 2 * * ? *", "30 2 * * *"),
    ("30 1 * * ? *", "30 1 * * *"),
    ("0/20 1-3 * * ? *", "*/20 1-3 * * *"),
    ("15 0 ? * 1,7 *", "15 0 * * 0,6"),
    ("0 12 L * ? *", "0 12 L * *"),
    ("0 9 ? * 2#1 *", "0 9 * * 1#1"),
    ("0 0 29 2 ? *", "0 0 29 2 *"),
    ("45 23 1,15 */3 ? *", "45 23 1,15 */3 *"),
    ("0 2 ? * SUN *", "0 2 * * SUN"),
    ("0/30 20-2 * * ? *", "0,30 20-23,0-2 * * *"),
    ("50-10 8 * * ? *", "50-59,0-10 8 * * *"),
    ("0-15/5 8-8 ? * 2,3,4 *", "0-15/5 8 * * 1,2,3"),
    ("30 13 ? * L *", "30 13 * * 6"),
    ("15 10 ? * 6L *", "15 10 * * L5"),
    ("0 9 ? * THU#4 *", "0 9 * * THU#4"),
    ("0 0 1 5 ? 2027", "0 0 1 5 *"),
    ("0 0 1 6 ? 2020-2030/7,2099", "0 0 1 6 *"),
]
#: Their clocks change by an hour at different dates and hours, by half an hour, at midnight, never.
ZONES = [
    "UTC",
    "Europe/Moscow",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Pacific/Auckland",
]


def year_of(expression: str, zone: str) -> list[datetime]:
    times = read(expression, zone).fire_times(base=BEGIN, after=BEGIN)
    return list(takewhile(lambda each: each < END, times))


def expected(cron: str, zone_name: str) -> list[datetime]:
    """By croniter on a wall clock: a time that doesn't exist is left out, one that is twice once.

    docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    """
    zone = ZoneInfo(zone_name)
    found: list[datetime] = []
    walls = croniter(cron, datetime(2026, 12, 30), ret_type=datetime)  # noqa: DTZ001 a wall clock
    while True:
        wall: datetime = walls.get_next()
        if wall.year > END.year:
            return found
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        skipped = moment.astimezone(zone).replace(tzinfo=None) != wall
        if not skipped and BEGIN < moment < END:
            found.append(moment)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("ours", "theirs"), CRONS)
def test_a_year_of_a_cron_schedule_is_what_croniter_has(ours: str, theirs: str, zone: str) -> None:
    """Each firing of a whole year, in zones whose clocks change."""
    assert year_of(f"cron({ours})", zone) == expected(theirs, zone)


def test_a_time_that_does_not_exist_is_skipped_and_one_that_comes_twice_fires_once() -> None:
    """In Berlin, 02:30 doesn't exist on 28 March 2027, and comes twice on 31 October."""
    fired = year_of("cron(30 2 * * ? *)", "Europe/Berlin")
    days = [each.astimezone(ZoneInfo("Europe/Berlin")).date().isoformat() for each in fired]
    assert "2027-03-28" not in days
    assert days.count("2027-10-31") == 1
    assert len(fired) == 364


@pytest.mark.parametrize(
    ("rate", "step"),
    [
        ("rate(1 minute)", timedelta(minutes=1)),
        ("rate(1 minutes)", timedelta(minutes=1)),
        ("rate(5 hour)", timedelta(hours=5)),
        ("rate(5 hours)", timedelta(hours=5)),
        ("rate(7 days)", timedelta(days=7)),
    ],
)
def test_a_rate_follows_no_clock_that_changes(rate: str, step: timedelta) -> None:
    """Its firings are as far apart all year, counted from its base."""
    fired = year_of(rate, "Europe/Berlin")
    assert fired[0] == BEGIN + step
    assert {second - first for first, second in pairwise(fired)} == {step}


def test_times_after_any_moment_are_the_rest_of_the_same_times() -> None:
    """One that is asked later goes on with what the first would have given, in a fall hour too."""
    fired = year_of("cron(0/20 * * * ? *)", "Europe/Berlin")
    for after in (datetime(2027, 10, 31, 0, 30, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC)):
        rest = read("cron(0/20 * * * ? *)", "Europe/Berlin").fire_times(base=BEGIN, after=after)
        assert next(rest) == next(each for each in fired if each > after)


@pytest.mark.parametrize(
    "wrong",
    [
        "cron(0 6 * * MON-FRI)",
        "cron(0 0 6 * * ? *)",
        "cron(0 6 ? ? MON *)",
        "cron(0 6 * * ? 1969)",
        "cron(0 6 * * ? 2200)",
        "cron(0 6 * * ? 2030-2020)",
        "cron(0 6 * * ? 2030/0)",
        "cron(0 6 30 2 ? *)",
        "cron(0 6 0W * ? *)",
        "cron(0 6 32W * ? *)",
        "cron(0 6 ? * 0 *)",
        "cron(0 6 ? * 8 *)",
        "cron(0 6 ? * 2#1,3#2 *)",
        "rate(1.5 hours)",
        "rate(1 week)",
        "rate(367 days)",
        "rate(1  minute)",
        "at(2027-01-31)",
        "at(2027-01-31T12:00:00Z)",
        "at(2027-01-31 12:00:00)",
        "cron(0 6 * * * *)",
        "cron(0 6 ? * ? *)",
        "cron(61 6 * * ? *)",
        "cron(0 6 * * ? soon)",
        "rate(0 minutes)",
        "rate(fast)",
        "rate(5 seconds)",
        "at(tomorrow)",
        "at(2027-02-31T00:00:00)",
        "0 6 * * *",
        "",
    ],
)
def test_what_aws_would_refuse_is_refused(wrong: str) -> None:
    """The error names the expression."""
    with pytest.raises(ExpressionError, match="Invalid Schedule Expression"):
        read(wrong, "UTC")


def test_the_weekday_next_to_a_day_never_leaves_its_month() -> None:
    """1W and 31W of 2027, by the calendar: a Saturday's is Friday, a Sunday's is Monday."""
    first = [each.day for each in year_of("cron(0 12 1W * ? *)", "UTC")]
    assert first == [1, 1, 1, 1, 3, 1, 1, 2, 1, 1, 1, 1]
    last = [(each.month, each.day) for each in year_of("cron(0 12 31W * ? *)", "UTC")]
    assert last == [(1, 29), (3, 31), (5, 31), (7, 30), (8, 31), (10, 29), (12, 31)]


def test_years_leave_out_the_others() -> None:
    """Also with a day that only some years have."""
    leap = read("cron(0 0 29 2 ? 2030-2044)", "UTC").fire_times(base=BEGIN, after=BEGIN)
    assert [each.year for each in leap] == [2032, 2036, 2040, 2044]


def test_one_time_is_of_its_zone_and_a_skipped_one_never_comes() -> None:
    """AWS skips a time that the zone's clock skips, and takes the first of two."""

    def at(wall: str) -> list[datetime]:
        return list(read(f"at({wall})", "Europe/Berlin").fire_times(base=BEGIN, after=END))

    assert at("2027-03-28T02:30:00") == []
    assert at("2027-10-31T02:30:00") == [datetime(2027, 10, 31, 0, 30, tzinfo=UTC)]
    assert at("2027-07-01T12:00:00") == [datetime(2027, 7, 1, 10, 0, tzinfo=UTC)]


@pytest.mark.parametrize(
    "zone", ["Europe/Moskow", "europe/berlin", "", "../etc/passwd", "right/UTC"]
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    """Names are IANA's, as they are spelled there."""
    with pytest.raises(ScheduleError, match="no time zone"):
        read("cron(0 6 * * ? *)", zone)


def _field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    value = st.integers(lowest, highest)
    part = st.one_of(
        value.map(str),
        st.tuples(value, value).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, min(30, highest)).map(lambda step: f"*/{step}"),
    )
    return st.just("*") | st.lists(part, min_size=1, max_size=3).map(",".join)


DAYS = _field(1, 28) | st.just("L")
WEEKDAYS = _field(0, 6) | st.sampled_from(["MON-FRI", "5L", "SUN#2", "SAT,SUN", "FRI-SUN"])
TEXTS = st.builds(
    "{} {} {} {} {}".format,
    _field(0, 59),
    _field(0, 23),
    DAYS,
    _field(1, 12),
    st.just("*"),
) | st.builds("{} {} * {} {}".format, _field(0, 59), _field(0, 23), _field(1, 12), WEEKDAYS)


@given(text=TEXTS, zone=st.sampled_from(ZONES))
@settings(deadline=None, max_examples=150)
def test_awss_expression_of_a_schedule_is_read_as_the_same_times(text: str, zone: str) -> None:
    """What is written for AWS and read back fires as the five fields do."""
    schedule = Schedule.cron(text, timezone=zone)
    again = read(schedule.expression, zone).fire_times(base=BEGIN, after=BEGIN)
    assert list(islice(again, 50)) == list(islice(schedule.fire_times(BEGIN), 50))
