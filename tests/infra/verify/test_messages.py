"""Dead letters."""

from __future__ import annotations

from typing import Any

import pytest

from infra.verify.check import NotShown
from infra.verify.checks import messages
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    Aws,
    ScriptedApi,
    accepts,
    alarm_of,
)


@pytest.mark.parametrize(
    "check", [messages.dead_letter, messages.redrive, messages.dead_letter_alarm]
)
def test_dead_letters_of_others_are_left_alone(check: Any, api: ScriptedApi, trial: Trial) -> None:
    """A redrive would run them, so nothing is sent."""
    api.says("GET /queues/default", 200, {"dead_letters": 2})

    with pytest.raises(NotShown, match="2 dead letters of others"):
        check.attempt(trial)


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
