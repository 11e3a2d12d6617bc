"""The AWS of this machine refuses the schedules that AWS refuses: moto and the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from celeriac.contract import Schedule
from celeriac.local.scheduler_rules import enforce_in_moto
from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.http import Request
from celeriac.local.standin.scheduler import Scheduler

ROLE = "arn:aws:iam::123456789012:role/celeriac-schedules"
TARGET = {
    "Arn": "arn:aws:lambda:us-east-1:123456789012:function:celeriac-fire",
    "RoleArn": ROLE,
    "Input": "{}",
    "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:123456789012:celeriac-dead-letter"},
    "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185},
}
GOOD: dict[str, Any] = {
    "Name": "nightly",
    "ScheduleExpression": "cron(0 6 * * ? *)",
    "ScheduleExpressionTimezone": "Europe/Moscow",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": TARGET,
}


def target(**changes: Any) -> dict[str, Any]:
    return {"Target": {**TARGET, **changes}}


def dates(**minutes: int) -> dict[str, Any]:
    """Dates so many minutes from when a test begins."""
    return {name: timedelta(minutes=each) for name, each in minutes.items()}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "name with a blank": ({"Name": "a b"}, "Name"),
    "long name": ({"Name": "x" * 65}, "Name"),
    "no expression": ({"ScheduleExpression": "soon"}, "Invalid Schedule Expression soon"),
    "five fields": ({"ScheduleExpression": "cron(0 6 * * ?)"}, "six fields"),
    "seconds": ({"ScheduleExpression": "cron(0 0 6 * * ? *)"}, "six fields"),
    "no question mark": ({"ScheduleExpression": "cron(0 6 * * MON *)"}, "must be ?"),
    "a rate of seconds": ({"ScheduleExpression": "rate(30 seconds)"}, "minutes, hours or days"),
    "a rate of nothing": ({"ScheduleExpression": "rate(0 minutes)"}, "minutes, hours or days"),
    "a time with an offset": ({"ScheduleExpression": "at(2099-01-01T00:00:00Z)"}, "at(yyyy"),
    "unknown zone": ({"ScheduleExpressionTimezone": "Europe/Moskow"}, "ScheduleExpressionTimezone"),
    "a zone in small letters": (
        {"ScheduleExpressionTimezone": "europe/moscow"},
        "ScheduleExpressionTimezone",
    ),
    "long zone": ({"ScheduleExpressionTimezone": "x" * 51}, "50 characters"),
    "a start 6 minutes ago": (dates(StartDate=-6), "cannot be earlier than 5 minutes ago"),
    "an end that is over": (dates(EndDate=-1), "in the past"),
    "an end before the start": (dates(StartDate=20, EndDate=10), "before the EndDate"),
    "no such window": ({"FlexibleTimeWindow": {"Mode": "ON"}}, "OFF, FLEXIBLE"),
    "a window without minutes": ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "1 to 1440"),
    "a window too long": (
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}},
        "1 to 1440",
    ),
    "minutes without a window": (
        {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
        "only for the mode FLEXIBLE",
    ),
    "a target that is no ARN": (target(Arn="celeriac-fire"), "Target.Arn"),
    "a role that is none": (target(RoleArn=TARGET["Arn"]), "Target.RoleArn"),
    "an input that is no JSON": (target(Input="{"), "not JSON"),
    "a large input": (target(Input=json.dumps("x" * 262_144)), "256 KiB"),
    "dead letters to no queue": (target(DeadLetterConfig={"Arn": ROLE}), "DeadLetterConfig"),
    "retries for days": (target(RetryPolicy={"MaximumEventAgeInSeconds": 86_401}), "EventAge"),
    "too many retries": (target(RetryPolicy={"MaximumRetryAttempts": 186}), "RetryAttempts"),
    "no such state": ({"State": "PAUSED"}, "ENABLED, DISABLED"),
    "no such end": ({"ActionAfterCompletion": "KEEP"}, "NONE, DELETE"),
    "a long description": ({"Description": "x" * 513}, "512"),
}

RIGHT: dict[str, dict[str, Any]] = {
    "the usual": {},
    "a start just now": dates(StartDate=-4),
    "bounds": dates(StartDate=10, EndDate=20),
    "a window": {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1440}},
    "one time": {"ScheduleExpression": "at(2099-01-01T00:00:00)"},
    "one time that the clock skips": {
        "ScheduleExpression": "at(2027-03-28T02:30:00)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
    },
    "a description in Russian": {"Description": "Каждое утро в шесть ☕"},
    "the longest name": {"Name": "x" * 64},
    "UTC by default": {"ScheduleExpressionTimezone": None},
}

Keep = Callable[[str, dict[str, Any]], str | None]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of moto's."""
    enforce_in_moto()
    with mock_aws():
        session = boto3.Session("x", "x", region_name="us-east-1")
        yield session.client("scheduler")


@pytest.fixture(params=["moto", "stand-in"])
def keep(request: pytest.FixtureRequest, client: Any) -> Iterator[Keep]:
    """Performs an operation; the message of its ValidationException, or None."""
    if request.param == "stand-in":
        yield _by_request(Scheduler())
        return
    yield _by_boto(client)
    for each in client.list_schedules()["Schedules"]:
        client.delete_schedule(Name=each["Name"])


def _by_boto(client: Any) -> Keep:
    def keep(operation: str, values: dict[str, Any]) -> str | None:
        try:
            getattr(client, operation)(**values)
        except client.exceptions.ValidationException as error:
            return str(error.response["Error"]["Message"])
        return None

    return keep


def _by_request(scheduler: Scheduler) -> Keep:
    def keep(operation: str, values: dict[str, Any]) -> str | None:
        body = dict(values)
        path = f"/schedules/{body.pop('Name')}"
        for name in ("StartDate", "EndDate"):
            if name in body:
                body[name] = body[name].timestamp()
        called = {"create_schedule": "CreateSchedule", "update_schedule": "UpdateSchedule"}
        try:
            request = Request("POST", path, {}, {}, json.dumps(body).encode())
            scheduler.perform(called[operation], request)
        except AwsError as error:
            if error.type != "ValidationException":
                raise
            return str(error)
        return None

    return keep


def values_of(changes: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        name: now + each if isinstance(each, timedelta) else each
        for name, each in (GOOD | changes).items()
        if each is not None
    }


@pytest.mark.parametrize("case", WRONG)
def test_what_aws_refuses_is_not_kept(keep: Keep, case: str) -> None:
    """CreateSchedule, and UpdateSchedule of one that is there: a ValidationException says why."""
    changes, said = WRONG[case]
    message = keep("create_schedule", values_of(changes))
    assert message is not None
    assert said in message
    # moto doesn't read what an update has to follow its last time.
    if not {"Name", "ActionAfterCompletion"} & set(changes):
        assert keep("create_schedule", values_of({})) is None
        assert keep("update_schedule", values_of(changes)) == message


@pytest.mark.parametrize("case", RIGHT)
def test_what_aws_keeps_is_kept(keep: Keep, case: str) -> None:
    """Made, and then written again."""
    for operation in ("create_schedule", "update_schedule"):
        assert keep(operation, values_of(RIGHT[case])) is None


def test_an_update_is_of_the_whole_schedule() -> None:
    """What it doesn't name is gone, as on AWS: the stand-in keeps nothing of the one before."""
    scheduler = Scheduler()
    keep = _by_request(scheduler)
    keep("create_schedule", values_of({**dates(EndDate=20), "Description": "old"}))
    keep("update_schedule", values_of({}))
    [kept] = scheduler.schedules.values()
    assert not {"EndDate", "Description"} & set(kept)
    assert kept["Arn"].endswith("schedule/default/nightly")


def test_a_group_that_is_not_there_is_said_so() -> None:
    """As AWS: ResourceNotFoundException."""
    body = json.dumps({**GOOD, "GroupName": "x"}).encode()
    request = Request("POST", "/schedules/a", {}, {}, body)
    with pytest.raises(AwsError, match="group x does not exist") as raised:
        Scheduler().perform("CreateSchedule", request)
    assert raised.value.type == "ResourceNotFoundException"


EVERY = [
    Schedule.cron("*/15 8-17 * * MON-FRI", timezone="Europe/Moscow"),
    Schedule.cron("0 0 29 2 *"),
    Schedule.cron("15 10 * * 5L"),
    Schedule.cron("0 9 * * MON#1"),
    Schedule.cron("0 0 L * *"),
    Schedule.rate(timedelta(minutes=1)),
    Schedule.rate(timedelta(days=366)),
    Schedule.at(datetime(2099, 1, 31, 12, 0, tzinfo=UTC)),
]


@pytest.mark.parametrize("schedule", EVERY, ids=lambda each: each.expression)
def test_what_a_schedule_says_is_kept(keep: Keep, schedule: Schedule) -> None:
    """Every kind of expression that we write is one of AWS's."""
    values = {
        "ScheduleExpression": schedule.expression,
        "ScheduleExpressionTimezone": schedule.timezone,
    }
    assert keep("create_schedule", values_of(values)) is None
