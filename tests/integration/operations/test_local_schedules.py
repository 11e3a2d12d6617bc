"""Delays too long for SQS: EventBridge schedules, fired here by ``celeriac.local.schedules``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from celeriac import states
from celeriac.app.factory import CeleriacApp
from celeriac.local.schedules import Schedules
from celeriac.settings import settings
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.integration.operations.conftest import StartWorker, wait_for_end
from tests.integration.processes import wait_for

LATER = timedelta(minutes=17)


class Clock:
    """Time as the schedules see it."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    """What the schedules complained about."""
    return []


@pytest.fixture
def schedules(app: CeleriacApp, clock: Clock, said: list[str]) -> Schedules:
    return Schedules(services(), said.append, clock)


def names() -> list[str]:
    answer = services().scheduler.list_schedules(GroupName=settings().schedule_group)
    return [each["Name"] for each in answer["Schedules"]]


def messages(url: str) -> int:
    counts = services().sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"],
    )["Attributes"]
    return sum(map(int, counts.values()))


def make(name: str, *, queue: str = "default", **options: str) -> None:
    services().scheduler.create_schedule(
        Name=name,
        GroupName=settings().schedule_group,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": settings().queue_arn_prefix + queue,
            "RoleArn": settings().schedule_role_arn,
            "Input": "{}",
            "DeadLetterConfig": {"Arn": settings().schedule_dead_letter_arn},
        },
        **{"ScheduleExpression": "at(2000-01-01T00:00:00)", **options},  # type: ignore[arg-type]
    )


def test_a_delay_too_long_for_sqs_runs_once_when_it_is_due(
    app: CeleriacApp,
    schedules: Schedules,
    clock: Clock,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    """A countdown of 16 minutes is a schedule, no message; after that time it runs, once."""
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
    """Without ActionAfterCompletion=DELETE it stays in the list, and sends nothing again."""
    make("stays")

    assert schedules.fire_due() == ["stays"]
    assert schedules.fire_due() == []
    assert names() == ["stays"]


@pytest.mark.parametrize(
    "options", [{"State": "DISABLED"}, {"ScheduleExpression": "rate(1 minute)"}]
)
def test_only_enabled_one_time_schedules_fire(
    schedules: Schedules, options: dict[str, str]
) -> None:
    """A paused schedule waits, and a recurring one isn't played here."""
    make("other", **options)

    assert schedules.fire_due() == []


def test_what_cannot_be_sent_becomes_a_dead_letter(schedules: Schedules, said: list[str]) -> None:
    """A schedule whose queue is gone leaves its message where the deployment keeps such."""
    make("lost", queue="gone", ActionAfterCompletion="DELETE")

    assert schedules.fire_due() == ["lost"]

    url = settings().queue_url_prefix + "schedules-dead-letter"
    assert messages(url) == 1
    assert said == ["The schedule lost sends to a queue that does not exist."]


def test_due_schedules_are_fired_while_the_stack_runs(app: CeleriacApp, said: list[str]) -> None:
    """Their caller need not ask: the thread sends what is due within a second or two."""
    make("due", ActionAfterCompletion="DELETE")

    with Schedules(services(), said.append):
        wait_for(lambda: names() == [], "the schedule to fire")

    assert said == []
