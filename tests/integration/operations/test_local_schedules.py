"""EventBridge schedules on this machine, fired by ``celeriac.local.schedules``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from celeriac import states
from celeriac.app.factory import CeleriacApp
from celeriac.local.firing import fire_here, fire_in_child
from celeriac.local.schedules import REPEATED_AFTER, Schedules
from celeriac.settings import settings
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.integration.operations.conftest import StartWorker, wait_for_end
from tests.integration.processes import wait_for

LATER = timedelta(minutes=17)


class Clock:
    """Time as the schedules see it: it stands still, a moment before all that a test makes."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC) - timedelta(seconds=1)
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return self.started + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    """What the schedules complained about."""
    return []


class Fired:
    """Notes what is fired, in place of the function. ``fault`` is what it fails with."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.fault: str | None = None

    def __call__(self, inputs: Sequence[str]) -> list[str | None]:
        self.events += [json.loads(each) for each in inputs]
        return [self.fault] * len(inputs)


@pytest.fixture
def fired() -> Fired:
    return Fired()


@pytest.fixture
def schedules(app: CeleriacApp, fired: Fired, clock: Clock, said: list[str]) -> Schedules:
    return Schedules(services(), fired, said.append, clock)


def names() -> list[str]:
    answer = services().scheduler.list_schedules(GroupName=settings().schedule_group)
    return [each["Name"] for each in answer["Schedules"]]


def messages(url: str) -> int:
    counts = services().sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"],
    )["Attributes"]
    return sum(map(int, counts.values()))


def make(name: str, **options: Any) -> None:
    services().scheduler.create_schedule(
        Name=name,
        GroupName=settings().schedule_group,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": settings().schedule_target_arn,
            "RoleArn": settings().schedule_role_arn,
            "Input": json.dumps(
                {"id": "<aws.scheduler.execution-id>", "at": "<aws.scheduler.scheduled-time>"}
            ),
            "DeadLetterConfig": {"Arn": settings().schedule_dead_letter_arn},
        },
        **{"ScheduleExpression": "at(2000-01-01T00:00:00)", **options},
    )


def test_a_delay_too_long_for_sqs_runs_once_when_it_is_due(
    app: CeleriacApp,
    clock: Clock,
    said: list[str],
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    """A countdown of 16 minutes is a schedule, no message; after that time it runs, once."""
    schedules = Schedules(services(), fire_here, said.append, clock)
    payload = {"path": str(tmp_path / "notes")}
    sent = app.send_task("note", (payload,), countdown=16 * 60)

    url = settings().queue_url(DEFAULT)
    assert messages(url) == 0
    assert names() == [f"{sent.id}-1"]
    assert schedules.fire_due() == []

    clock.ahead = LATER
    assert schedules.fire_due() == [f"{sent.id}-1"]
    assert schedules.fire_due() == []
    assert names() == []

    start_worker()
    assert wait_for_end(sent.id).state == states.SUCCESS
    assert (tmp_path / "notes").read_text() == "done\n"


def test_a_schedule_fires_in_its_own_time_zone(schedules: Schedules) -> None:
    """Noon in Auckland is due when it is noon there."""
    noon = datetime.now(UTC) + timedelta(hours=6)
    make(
        "auckland",
        ScheduleExpression=f"at({noon:%Y-%m-%dT%H:%M:%S})",
        ScheduleExpressionTimezone="Pacific/Auckland",
    )

    assert schedules.fire_due() == ["auckland"]


def test_a_schedule_that_stays_fires_once(schedules: Schedules) -> None:
    """Without ActionAfterCompletion=DELETE it stays in the list, and fires no more."""
    make("stays")

    assert schedules.fire_due() == ["stays"]
    assert schedules.fire_due() == []
    assert names() == ["stays"]


def test_a_disabled_schedule_does_not_fire(schedules: Schedules, clock: Clock) -> None:
    """A paused schedule waits."""
    make("paused", State="DISABLED")
    make("paused-rate", ScheduleExpression="rate(1 minute)", State="DISABLED")
    clock.ahead = timedelta(hours=1)

    assert schedules.fire_due() == []


def test_what_is_fired_is_told_when_and_under_which_id(
    schedules: Schedules, fired: Fired, clock: Clock
) -> None:
    """The context attributes of the input are AWS's: the scheduled time, and an id each time."""
    make("each-minute", ScheduleExpression="cron(* * * * ? *)")
    for minutes in (2, 4):
        clock.ahead = timedelta(minutes=minutes)
        assert schedules.fire_due() == ["each-minute"]

    first, second = fired.events
    assert first["id"] != second["id"]
    times = [datetime.fromisoformat(each["at"]) for each in fired.events]
    minute = clock.started.replace(second=0, microsecond=0)
    assert times == [minute + timedelta(minutes=n) for n in (2, 4)]


def test_times_that_passed_while_the_machine_slept_fire_once(
    schedules: Schedules, fired: Fired, clock: Clock
) -> None:
    """A lid that was closed for an hour doesn't fire a schedule of each minute sixty times."""
    make("each-minute", ScheduleExpression="rate(1 minute)")
    schedules.fire_due()
    fired.events.clear()
    clock.ahead = timedelta(hours=1)

    assert schedules.fire_due() == ["each-minute"]
    assert len(fired.events) == 1


def test_a_firer_that_starts_later_repeats_nothing(
    app: CeleriacApp, fired: Fired, clock: Clock, said: list[str]
) -> None:
    """A recurring time that passed before it began may have been fired; the next one is."""
    make("each-hour", ScheduleExpression="rate(1 hour)")
    clock.ahead = timedelta(minutes=90)
    again = Schedules(services(), fired, said.append, clock)

    assert again.fire_due() == []
    clock.ahead = timedelta(minutes=121)
    assert again.fire_due() == ["each-hour"]


def test_start_and_end_bound_a_recurring_schedule(
    schedules: Schedules, fired: Fired, clock: Clock
) -> None:
    """The first is at the start, the last no later than the end."""
    start = clock().replace(microsecond=0) + timedelta(minutes=10)
    make(
        "bounded",
        ScheduleExpression="rate(5 minutes)",
        StartDate=start,
        EndDate=start + timedelta(minutes=12),
    )
    for minutes in range(40):
        clock.ahead = timedelta(minutes=minutes, seconds=1)
        schedules.fire_due()

    assert [datetime.fromisoformat(each["at"]) for each in fired.events] == [
        start + timedelta(minutes=n) for n in (0, 5, 10)
    ]


def test_a_year_of_schedules_fires_what_croniter_has(
    schedules: Schedules, fired: Fired, clock: Clock
) -> None:
    """Daily, weekly and one-time schedules in zones whose clocks change: each firing of a year."""
    began, year = clock(), timedelta(days=365)
    crons = {
        "berlin": ("cron(30 2 * * ? *)", "30 2 * * *", "Europe/Berlin"),
        "new-york": ("cron(30 1 ? * SUN *)", "30 1 * * SUN", "America/New_York"),
        "moscow": ("cron(0 6 ? * MON *)", "0 6 * * MON", "Europe/Moscow"),
    }
    expected: dict[str, list[datetime]] = {}
    for name, (expression, cron, zone) in crons.items():
        make(name, ScheduleExpression=expression, ScheduleExpressionTimezone=zone)
        expected[name] = wall_times(cron, ZoneInfo(zone), began, began + year)
    start = began.replace(microsecond=0) + timedelta(days=2)
    make("rate", ScheduleExpression="rate(11 days)", StartDate=start)
    expected["rate"] = [start + n * timedelta(days=11) for n in range(34)]
    once = start + timedelta(days=300)
    make("once", ScheduleExpression=f"at({once:%Y-%m-%dT%H:%M:%S})", ActionAfterCompletion="DELETE")
    expected["once"] = [once]

    schedules.fire_due()
    found: dict[str, list[datetime]] = {name: [] for name in expected}
    while (next_at := schedules.next_at) is not None and next_at < began + year:
        clock.ahead = next_at - began
        fired.events.clear()
        for name, event in zip(schedules.fire_due(), fired.events, strict=True):
            found[name].append(datetime.fromisoformat(event["at"]))

    assert found == expected
    assert "once" not in names()


def wall_times(cron: str, zone: ZoneInfo, after: datetime, before: datetime) -> list[datetime]:
    """By croniter on a wall clock: a time that doesn't exist is left out, one that is twice once.

    docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    """
    found: list[datetime] = []
    walls = croniter(cron, (after - timedelta(days=1)).replace(tzinfo=None), ret_type=datetime)
    while True:
        wall: datetime = walls.get_next()
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment >= before:
            return found
        if moment > after and moment.astimezone(zone).replace(tzinfo=None) == wall:
            found.append(moment)


def test_what_cannot_be_fired_is_repeated_and_becomes_a_dead_letter(
    schedules: Schedules, fired: Fired, clock: Clock, said: list[str]
) -> None:
    """As Lambda does: after one minute, after two more, and then it is set aside."""
    make("broken", ActionAfterCompletion="DELETE")
    fired.fault = "OSError: no"
    for wait in (timedelta(0), *REPEATED_AFTER):
        clock.ahead += wait
        assert schedules.fire_due() == []
        assert schedules.fire_due() == []

    assert len(fired.events) == 3
    assert names() == []
    assert messages(settings().queue_url_prefix + "schedules-dead-letter") == 1
    assert said[-1] == "The schedule broken could not fire, and leaves a dead letter: OSError: no"


def test_a_wrong_expression_is_refused_as_on_aws(app: CeleriacApp) -> None:
    """So it isn't kept, and nothing waits for a schedule that never fires."""
    with pytest.raises(services().scheduler.exceptions.ValidationException, match="six fields"):
        make("wrong", ScheduleExpression="cron(0 6 * * MON-FRI)")
    assert names() == []


def test_what_is_fired_in_a_child_says_how_it_went(app: CeleriacApp) -> None:
    """The supervisor's process imports no project: a child fires, and reports each event."""
    gone = json.dumps({"celeriac": "due", "task_id": "gone", "attempt": 1})

    first, second = fire_in_child([gone, '{"celeriac": "else"}'])

    assert first is None
    assert second is not None
    assert second.startswith("UnknownEventError")


def test_due_schedules_are_fired_while_the_stack_runs(
    app: CeleriacApp, fired: Fired, said: list[str]
) -> None:
    """Their caller need not ask: the thread fires what is due within a second or two."""
    make("due", ActionAfterCompletion="DELETE")

    with Schedules(services(), fired, said.append):
        wait_for(lambda: names() == [], "the schedule to fire")

    assert said == []
