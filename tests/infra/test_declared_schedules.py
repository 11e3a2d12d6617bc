"""Each schedule that a task type declares is deployed as a schedule of EventBridge."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from celeriac import BaseModel, Schedule, TaskContext, task
from celeriac.cdk import TaskData
from celeriac.contract import Catalogue, Queue
from celeriac.storage.event_bridge import envelope
from infra.cdk.environments import DEV

END = datetime(2099, 1, 1, tzinfo=UTC)


class Nothing(BaseModel):
    pass


@task(
    schedule=(
        Schedule.cron("0 6 * * MON-FRI", timezone="Europe/Moscow", end=END),
        Schedule.rate(timedelta(hours=1)),
        Schedule.at(datetime(2098, 1, 1, tzinfo=UTC)),
        Schedule.at(datetime(2001, 1, 1, tzinfo=UTC)),
    )
)
def tick(payload: Nothing, context: TaskContext) -> Nothing:
    """Do nothing."""
    return Nothing()


def test_each_declared_schedule_that_still_fires_is_deployed() -> None:
    """Cron, rate and one time call the fire function; a time that has passed is left out."""
    stack = Stack(App(), "stack")
    TaskData(stack, environment=DEV, catalogue=Catalogue([tick], [Queue("default")]))
    found: dict[str, Any] = {
        each["Properties"]["Name"]: each["Properties"]
        for each in Template.from_stack(stack).find_resources("AWS::Scheduler::Schedule").values()
    }
    assert {name: each["ScheduleExpression"] for name, each in found.items()} == {
        f"type-tick{suffix}": schedule.expression
        for suffix, schedule in zip(("", "-2", "-3"), tick.schedules, strict=False)
    }
    assert found["type-tick"]["ScheduleExpressionTimezone"] == "Europe/Moscow"
    assert found["type-tick"]["EndDate"] == "2099-01-01T00:00:00.000Z"
    for name, each in found.items():
        assert each["GroupName"] == "celeriac-dev"
        assert each["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert each["Target"]["Input"] == envelope(name)
        assert "celeriac-dev-fire" in json.dumps(each["Target"]["Arn"])
        assert each["Target"].keys() >= {"RoleArn", "DeadLetterConfig", "RetryPolicy"}
