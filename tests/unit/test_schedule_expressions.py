"""When schedules fire, held against croniter and AWS's rule for clocks that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from celeriac.local.expressions import ExpressionError, fire_times

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
    times = fire_times(expression, zone, base=BEGIN, after=BEGIN)
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
        rest = fire_times("cron(0/20 * * * ? *)", "Europe/Berlin", base=BEGIN, after=after)
        assert next(rest) == next(each for each in fired if each > after)


@pytest.mark.parametrize(
    "wrong",
    [
        "cron(0 6 * * MON-FRI)",
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
        fire_times(wrong, "UTC", base=BEGIN, after=BEGIN)
