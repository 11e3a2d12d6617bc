"""A schedule fires when AWS's documentation says, and can't say what AWS can't."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from celeriac.contract import BaseModel, DeclarationError, Schedule, TaskContext, task
from celeriac.contract.schedule import ScheduleError

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def wall(*parts: int) -> datetime:
    """What a clock shows, wherever it is."""
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - of no zone


START, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)

#: Ours, and croniter's spelling where it has another.
EXPRESSIONS = {
    "*/15 * * * *": None,
    "0 6 * * MON-FRI": None,
    "30 2 * * *": None,
    "30 1 * * *": None,
    "0 */2 * * *": None,
    "5,35 0-4 * * *": None,
    "0 0 1 * *": None,
    "0 0 L * *": None,
    "15 10 * * 5L": "15 10 * * L5",
    "0 9 * * MON#1": None,
    "0 0 * * FRI-SUN": "0 0 * * FRI-7",
    "0 0 * * 0,7": None,
    "59 23 31 */3 *": None,
    "7 3 29 2 *": None,
    "10/20 1-3 1-7 JAN,MAR-APR,OCT-NOV *": "10-59/20 1-3 1-7 JAN,MAR-APR,OCT-NOV *",
}
#: Clocks that change at night, at midnight, by half an hour, against the sun; and one that doesn't.
ZONES = (
    "UTC",
    "Europe/Moscow",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "America/Santiago",
)


@cache
def shown(zone: str) -> dict[datetime, datetime]:
    """What a zone's clock shows in the year, minute by minute, and when it does so first."""
    clock = ZoneInfo(zone)
    first: dict[datetime, datetime] = {}
    moment = START - timedelta(days=1)
    while moment < END:
        first.setdefault(moment.astimezone(clock).replace(tzinfo=None, fold=0), moment)
        moment += MINUTE
    return first


@cache
def walls(expression: str) -> list[datetime]:
    """When croniter says that a clock without a zone meets an expression."""
    spelled = EXPRESSIONS[expression] or expression
    found, times = [], croniter(spelled, wall(2026, 12, 30), ret_type=datetime)
    while (each := times.get_next()) < wall(2028, 1, 2):
        found.append(each)
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_year_of_times_is_that_of_another_library_under_awss_rules(
    expression: str, zone: str
) -> None:
    """A time that the clock skips is skipped; one that it shows twice counts the first time."""
    first = shown(zone)
    expected = [first[each] for each in walls(expression) if each in first]
    expected = [moment for moment in expected if START < moment < END]
    found = []
    for moment in Schedule.cron(expression, timezone=zone).fire_times(START):
        if moment >= END:
            break
        found.append(moment)
    assert found == expected


def test_a_gap_is_skipped_and_an_overlap_counts_once() -> None:
    """In Berlin, 02:30 doesn't come on 28 March 2027, and comes twice on 31 October."""
    nightly = Schedule.cron("30 2 * * *", timezone="Europe/Berlin")
    spring = [*islice(nightly.fire_times(datetime(2027, 3, 27, 0, 0, tzinfo=UTC)), 2)]
    assert spring == [
        datetime(2027, 3, 27, 1, 30, tzinfo=UTC),
        datetime(2027, 3, 29, 0, 30, tzinfo=UTC),
    ]
    autumn = [*islice(nightly.fire_times(datetime(2027, 10, 30, 12, 0, tzinfo=UTC)), 2)]
    assert autumn == [
        datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
        datetime(2027, 11, 1, 1, 30, tzinfo=UTC),
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_times_are_strictly_later_wherever_one_asks_from(zone: str) -> None:
    """Asking from any time, also between two showings of one hour, continues the same sequence."""
    schedule = Schedule.cron("*/30 * * * *", timezone=zone)
    whole = [*islice(schedule.fire_times(datetime(2027, 10, 29, tzinfo=UTC)), 400)]
    for asked in range(0, 300, 7):
        for offset in (timedelta(0), timedelta(seconds=1), timedelta(minutes=17)):
            after = whole[asked] + offset
            later = [moment for moment in whole if moment > after]
            assert [*islice(schedule.fire_times(after), 20)] == later[:20]


def test_a_rate_is_counted_from_its_start_and_no_clock_changes_it() -> None:
    """A day is 24 hours, also when the clock shows 23."""
    start = datetime(2027, 3, 27, 12, 0, tzinfo=UTC)
    daily = Schedule.rate(timedelta(days=1), start=start)
    assert next(daily.fire_times(start - 9 * HOUR)) == start
    assert next(daily.fire_times(start)) == start + 24 * HOUR
    assert next(daily.fire_times(start + 30 * HOUR)) == start + 48 * HOUR
    free = Schedule.rate(timedelta(minutes=5))
    assert next(free.fire_times(start)) == start + 5 * MINUTE


def test_one_time_comes_once_and_bounds_are_included() -> None:
    """A start and an end that are times of the schedule are fired."""
    moment = datetime(2027, 6, 1, 12, 0, 0, 1, tzinfo=timezone(2 * HOUR))
    once = Schedule.at(moment)
    assert [*once.fire_times(START)] == [datetime(2027, 6, 1, 10, 0, 1, tzinfo=UTC)]
    assert [*once.fire_times(END)] == []
    first, last = wall(2027, 6, 1, 6, 0), wall(2027, 6, 3, 6, 0)
    bounded = Schedule.cron("0 6 * * *", start=first, end=last, timezone="Europe/Moscow")
    times = [*bounded.fire_times(START)]
    assert times == [datetime(2027, 6, day, 3, 0, tzinfo=UTC) for day in (1, 2, 3)]


AWS_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def aws_values(field: str, lowest: int, highest: int) -> set[int]:
    """The values of a field as AWS documents it; its first day of a week is Sunday, 1."""
    for number, name in enumerate(AWS_DAYS, 1):
        field = field.replace(name, str(number))
    if field in {"*", "?"}:
        return set(range(lowest, highest + 1))
    found: set[int] = set()
    for part in field.split(","):
        first, _, last = part.partition("-")
        assert int(first) <= int(last or first), field
        found |= set(range(int(first), int(last or first) + 1))
    return found


def aws_day(of_month: str, of_week: str, day: datetime) -> bool:
    """Whether AWS's day fields name the day. One of them must be a question mark."""
    assert (of_month == "?") != (of_week == "?")
    length = calendar.monthrange(day.year, day.month)[1]
    weekday = day.isoweekday() % 7 + 1
    if of_month == "L":
        return day.day == length
    if of_week.endswith("L"):
        return weekday == int(of_week[:-1]) and day.day + 7 > length
    if "#" in of_week:
        which, _, number = of_week.partition("#")
        return weekday == int(which) and (day.day - 1) // 7 + 1 == int(number)
    return day.day in aws_values(of_month, 1, 31) and weekday in aws_values(of_week, 1, 7)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_awss_expression_says_the_same(expression: str) -> None:
    """Read by AWS's rules, the six fields name the times that croniter reads in the five."""
    text = Schedule.cron(expression).expression
    assert text.startswith("cron(")
    assert len(text) <= 256  # docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule
    minutes, hours, of_month, months, of_week, year = text[5:-1].split()
    assert year == "*"
    days = (wall(2026, 12, 30) + timedelta(days=each) for each in range(368))
    found = [
        day.replace(hour=hour, minute=minute)
        for day in days
        if day.month in aws_values(months, 1, 12) and aws_day(of_month, of_week, day)
        for hour in sorted(aws_values(hours, 0, 23))
        for minute in sorted(aws_values(minutes, 0, 59))
    ]
    after = wall(2026, 12, 30)
    assert [each for each in found if each > after] == walls(expression)


@pytest.mark.parametrize(
    ("interval", "expression"),
    [
        (MINUTE, "rate(1 minute)"),
        (5 * MINUTE, "rate(5 minutes)"),
        (HOUR, "rate(1 hour)"),
        (90 * MINUTE, "rate(90 minutes)"),
        (timedelta(days=2), "rate(2 days)"),
    ],
)
def test_a_rate_is_written_in_its_largest_unit(interval: timedelta, expression: str) -> None:
    """AWS takes minutes, hours and days."""
    assert Schedule.rate(interval).expression == expression


def test_one_time_is_written_in_utc() -> None:
    """A zone's clock may show it twice."""
    once = Schedule.at(wall(2027, 10, 31, 2, 30).replace(fold=1), timezone="Europe/Berlin")
    assert (once.expression, once.timezone) == ("at(2027-10-31T01:30:00)", "UTC")


def cron(text: Any, **options: Any) -> Callable[[], Schedule]:
    return lambda: Schedule.cron(text, **options)


FAULTS: list[tuple[Callable[[], Any], str, str, str]] = [
    (cron("60 * * * *"), "cron", "the minute of cron '60 * * * *', '60', is wrong", "0 to 59"),
    (cron("0 24 * * *"), "cron", "the hour", "0 to 23"),
    (cron("0 0 32 * *"), "cron", "the day of month", "1 to 31"),
    (cron("0 0 * 13 *"), "cron", "the month", "JAN"),
    (cron("0 0 * * FOO"), "cron", "the day of week", "MON-FRI"),
    (cron("* * *"), "cron", "has 3 fields, not 5", "'0 6 * * MON-FRI'"),
    (cron(""), "cron", "has 0 fields", "five fields"),
    (cron("cron(0 6 * * ? *)"), "cron", "AWS's own form", "five fields"),
    (cron("0 6 ? * MON"), "cron", "has a ?", "Write *"),
    (cron("0 0 30 2 *"), "cron", "never comes", "another day"),
    (cron("0 0 30-31 2 *"), "cron", "never comes", "another day"),
    (cron("0 0 31 4,6,9,11 *"), "cron", "never comes", "another day"),
    (cron("0 0 1 * MON"), "cron", "takes one of them", "'0 0 1 * *' and '0 0 * * MON'"),
    (cron("0 0 */2 * MON"), "cron", "takes one of them", "Write * for the other"),
    (cron("0 0 * * MON#1,FRI"), "cron", "lists L or #", "a schedule of each"),
    (cron("0 0 15W * *"), "cron", "the day of month", "L for the last day"),
    (cron(5), "cron", "not a string", "Schedule.cron("),
    (cron("0 6 * * *", timezone="Europe/Moskow"), "timezone", "no time zone", "Europe/Moscow"),
    (cron("0 6 * * *", timezone="europe/moscow"), "timezone", "no time zone", "Europe/Moscow"),
    (cron("0 6 * * *", timezone="Berlin"), "timezone", "no time zone", "Europe/Berlin"),
    (cron("0 6 * * *", timezone="Europe"), "timezone", "no time zone", "Europe"),
    (cron("0 6 * * *", timezone="right/UTC"), "timezone", "no time zone", ""),
    (cron("0 6 * * *", timezone="../etc/passwd"), "timezone", "no time zone", "IANA"),
    (cron("0 6 * * *", timezone=3), "timezone", "no time zone 3", "IANA"),
    (
        cron("0 6 * * *", start=wall(2027, 1, 2), end=wall(2027, 1, 2)),
        "end",
        "is not before end",
        "after the start",
    ),
    (
        cron("0 6 1 1 *", start=wall(2027, 2, 1), end=wall(2027, 3, 1)),
        "end",
        "no time of this schedule",
        "later end",
    ),
    (cron("0 6 * * *", start="soon"), "start", "not a datetime", "datetime("),
    (cron("0 6 * * *", end=wall(9999, 12, 31)), "end", "out of range", "2198"),
    (cron("0 6 * * *", overlap="queue"), "overlap", "none of allow, skip, cancel", "skip"),
    (cron("0 6 * * *", priority="urgent"), "priority", "none of high, normal", "priority='high'"),
    (cron("0 6 * * *", priority=9), "priority", "none of high, normal", "priority='high'"),
    (cron("0 6 * * *", payload=[1]), "payload", "no mapping", "payload={"),
    (lambda: Schedule.rate(timedelta(seconds=30)), "rate", "shorter than a minute", "a minute"),
    (lambda: Schedule.rate(timedelta(seconds=90)), "rate", "whole number", "1 or 2 minutes"),
    (lambda: Schedule.rate(timedelta(0)), "rate", "shorter", "a minute"),
    (lambda: Schedule.rate(timedelta(minutes=-5)), "rate", "shorter", "a minute"),
    (lambda: Schedule.rate(timedelta.max), "rate", "whole number", "minutes"),
    (lambda: Schedule.rate(timedelta(minutes=1, microseconds=1)), "rate", "whole number", "1 or 2"),
    (lambda: Schedule.rate(True), "rate", "not a timedelta", "timedelta("),  # type: ignore[arg-type]
    (lambda: Schedule.at(date(2027, 3, 28)), "at", "not a datetime", "datetime("),  # type: ignore[arg-type]
    (cron("0 6 * * *", start=date(2027, 3, 28)), "start", "not a datetime", "datetime("),
    (cron("0 6 * * *", end=True), "end", "not a datetime", "datetime("),
    (lambda: Schedule.rate(timedelta(days=400)), "rate", "longer than 366", "once a year"),
    (lambda: Schedule.rate(60), "rate", "not a timedelta", "timedelta("),  # type: ignore[arg-type]
    (
        lambda: Schedule.at(wall(2027, 3, 28, 2, 30), timezone="Europe/Berlin"),
        "at",
        "never comes in Europe/Berlin",
        "2027-03-28T03:30",
    ),
    (lambda: Schedule.at("noon"), "at", "not a datetime", "datetime("),  # type: ignore[arg-type]
    (lambda: Schedule.at(wall(9999, 12, 31, 23, 59)), "at", "out of range", "2198"),
]


def test_bounds_are_kept_in_whole_seconds() -> None:
    """EventBridge knows no others. No time comes before its start, or after its end."""
    start = datetime(2027, 1, 1, 6, 0, 0, 1, tzinfo=UTC)
    found = Schedule.cron("* * * * *", start=start, end=start + timedelta(minutes=2))
    assert (found.start, found.end) == (
        datetime(2027, 1, 1, 6, 0, 1, tzinfo=UTC),
        datetime(2027, 1, 1, 6, 2, tzinfo=UTC),
    )
    assert [each.minute for each in found.fire_times(START)] == [1, 2]
    rate = Schedule.rate(HOUR, start=start)
    assert next(rate.fire_times(START)) == datetime(2027, 1, 1, 6, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(("make", "field", "fault", "fix"), FAULTS)
def test_a_wrong_schedule_says_which_part_is_wrong_and_what_is_right(
    make: Callable[[], Any], field: str, fault: str, fix: str
) -> None:
    """The error names the part, the fault and the fix."""
    with pytest.raises(ScheduleError) as raised:
        make()
    assert raised.value.field == field
    assert fault in raised.value.fault
    assert fix in raised.value.fix


class Digest(BaseModel):
    days: int = 1


class Sent(BaseModel):
    mails: int


def send_digest(payload: Digest, context: TaskContext) -> Sent:
    """Send the digest."""
    return Sent(mails=payload.days)


def test_a_task_type_has_its_schedules_in_order() -> None:
    """``schedule`` is one or a tuple; without it a type has none."""
    daily = Schedule.cron("0 6 * * *", payload={"days": 1})
    weekly = Schedule.cron("0 6 * * MON", payload={"days": 7}, overlap="skip")
    assert task(schedule=daily)(send_digest).schedules == (daily,)
    assert task(schedule=(daily, weekly))(send_digest).schedules == (daily, weekly)
    assert task(send_digest).schedules == ()


@pytest.mark.parametrize(
    ("given", "fault", "fix"),
    [
        ("0 6 * * *", "is not a Schedule", "Schedule.cron('0 6 * * *')"),
        (300, "is not a Schedule", "Schedule.rate(timedelta(seconds=300))"),
        (timedelta(hours=1), "is not a Schedule", "Schedule.rate(timedelta("),
        ([Schedule.cron("0 6 * * *")], "is not a Schedule", "a tuple"),
        (Schedule.cron("0 6 * * *", payload={"days": "x"}), "payload of schedule", "payload={...}"),
        (Schedule.cron("0 6 * * *", payload={"day": 1}), "Did you mean days", "payload={...}"),
    ],
)
def test_a_wrong_option_is_refused_with_the_fix(given: Any, fault: str, fix: str) -> None:
    """The declaration's error names the fault, and the fix."""
    with pytest.raises(DeclarationError) as raised:
        task(schedule=given)(send_digest)
    assert fault in raised.value.fault
    assert fix in raised.value.fix


@pytest.mark.parametrize(
    "cron", ["*/90 * * * *", "0 */24 * * *", "0 0 */32 * *", "0 0 * 1-12/13 *"]
)
def test_a_step_that_is_never_taken_is_refused(cron: str) -> None:
    """``*/90`` would be each full hour, and not each 90 minutes."""
    with pytest.raises(ScheduleError, match="a step that it never takes"):
        Schedule.cron(cron)


def test_the_longest_steps_that_are_taken_stay() -> None:
    """A step may lead to the end of its field."""
    assert Schedule.cron("*/59 */23 * * *").expression == "cron(0,59 0,23 * * ? *)"
