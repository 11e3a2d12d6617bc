"""Dead letters and schedules."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import ANY

from infra.verify.check import NotShown
from infra.verify.checks import messages
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    ACCOUNT,
    CLUSTER,
    REGION,
    Aws,
    ScriptedApi,
    accepts,
    alarm_of,
    on,
    stubbed,
    task,
)


@pytest.mark.parametrize(
    "check", [messages.dead_letter, messages.redrive, messages.dead_letter_alarm]
)
def test_dead_letters_of_others_are_left_alone(check: Any, api: ScriptedApi, trial: Trial) -> None:
    """A redrive would run them, so nothing is sent."""
    api.says("GET /queues/default", 200, {"dead_letters": 2})

    with pytest.raises(NotShown, match="2 dead letters of others"):
        check.attempt(trial)


def test_a_schedule_is_brought_forward_and_followed_to_its_end(aws: Aws, api: ScriptedApi) -> None:
    """All of it but the time stays, so that its own target and role are tried."""
    kept: dict[str, Any] = {
        "Name": "t1-1",
        "GroupName": CLUSTER,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:queue",
            "RoleArn": "arn:aws:iam::123456789012:role/s",
            "Input": "{}",
        },
    }
    aws.gives(
        "scheduler", "get_schedule", {**kept, "ScheduleExpression": "at(2026-11-28T13:00:00)"}
    )
    aws.gives(
        "scheduler",
        "update_schedule",
        {"ScheduleArn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{CLUSTER}/t1-1"},
        **kept,
        ScheduleExpression=ANY,
        ScheduleExpressionTimezone="UTC",
    )
    for _ in range(2):  # once it has ended, and once it is cleaned up
        stub = aws.stubs["scheduler"]
        stub.add_client_error("get_schedule", "ResourceNotFoundException")
    api.says("GET /tasks/t1", 200, task("SUCCESS"))
    api.says("DELETE /tasks/t1", 409)
    trial = on(stubbed(aws, api, {"python": '{"_aws": {}}\nt1'}))

    assert messages.schedule_fires.attempt(trial).endswith("the schedule is gone")
    assert trial.clean_up() == []


def test_a_dead_letter_is_followed_to_its_alarm(aws: Aws, api: ScriptedApi, trial: Trial) -> None:
    """The message is removed afterwards; one that can't be found is reported."""
    api.says("GET /queues/default", 200, {"dead_letters": 0})
    api.says("DELETE /tasks/t1", 409)
    accepts(api)
    aws.gives("sqs", "send_message", {})
    for state in ("OK", "ALARM"):
        found = {"MetricAlarms": [alarm_of("celeriac-dev-default-dead-letter", state)]}
        aws.gives("cloudwatch", "describe_alarms", found)

    assert "default-dead-letter in ALARM after" in messages.dead_letter_alarm.attempt(trial)

    for _ in range(10):
        aws.gives("sqs", "receive_message", {"Messages": []})
    (left,) = trial.clean_up()
    assert "is not in https://sqs.eu-central-1.amazonaws.com" in left
