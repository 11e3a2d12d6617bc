"""Pause, priority and delay, asked for over HTTP and obeyed by real workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import states
from celeriac.http.app import create_app
from celeriac.operations import firing, pausing
from celeriac.storage.services import services
from tests.faults.app import TYPES
from tests.faults.stack import Stack
from tests.faults.test_lanes_and_pauses import OBEYED_WITHIN, begun, none_begins
from tests.integration.api.conftest import Api


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """A caller of the tests' task types, who leaves nothing paused."""
    settings = services().settings
    yield Api.of(create_app(settings, TYPES), settings.tenant)
    for pause in pausing.paused().pauses:
        services().pauses.resume(pause.kind, pause.name)


def submit(api: Api, seconds: float = 0, **query: str) -> str:
    """The id of a new task."""
    answer = api.post("/tasks/effect", json={"name": "x", "seconds": seconds}, params=query)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


@pytest.mark.parametrize(
    ("what", "resumed_within"), [("queues/default", OBEYED_WITHIN), ("catalogue/effect", 75.0)]
)
def test_what_is_paused_begins_nothing_until_it_is_resumed(
    stack: Stack, api: Api, what: str, resumed_within: float
) -> None:
    """Within ten seconds of a pause nothing begins, and no attempt is used up."""
    stack.start_worker(2)
    stack.wait_for_state(submit(api), states.SUCCESS)

    assert api.post(f"/{what}/pause").is_success
    time.sleep(OBEYED_WITHIN)
    task_ids = [submit(api) for _ in range(3)]
    none_begins(task_ids, 3)
    assert {api.get(f"/tasks/{each}").json()["status"] for each in task_ids} == {states.PENDING}

    assert api.post(f"/{what}/resume").is_success
    ended = stack.wait_for_all(task_ids, resumed_within)
    assert {each.attempts for each in ended.values()} == {1}


def test_an_urgent_task_begins_before_those_that_wait(stack: Stack, api: Api) -> None:
    """It was submitted last."""
    normal = [submit(api, 0.5) for _ in range(20)]
    urgent = submit(api, priority="high")

    stack.start_worker(1)
    ended = stack.wait_for_all([*normal, urgent], 60)

    order = [each.task_id for each in begun(ended)]
    assert order.index(urgent) < 5, order


def due(task_id: str) -> dict[str, Any]:
    """What EventBridge Scheduler keeps for a task."""
    [name] = [
        each["Name"]
        for each in services().scheduler.list_schedules()["Schedules"]
        if each["Name"].startswith(task_id)
    ]
    group = services().settings.schedule_group
    return dict(services().scheduler.get_schedule(Name=name, GroupName=group))


@pytest.mark.parametrize("ahead", [timedelta(minutes=16), timedelta(days=365)])
@pytest.mark.parametrize("asked", ["delay", "run_at"])
def test_a_long_delay_begins_once_when_it_is_due(
    stack: Stack, api: Api, asked: str, ahead: timedelta
) -> None:
    """Until its schedule fires there is no message; fired twice, it runs once."""
    moment = datetime.now(UTC) + ahead
    query = {"delay": f"{ahead.total_seconds():.0f}", "run_at": moment.isoformat()}[asked]
    task_id = submit(api, 0, **{asked: query})
    stack.start_worker(1)
    assert not any(stack.depth().values())
    schedule = due(task_id)
    at = datetime.fromisoformat(schedule["ScheduleExpression"][3:-1]).replace(tzinfo=UTC)
    assert abs(at - moment) < timedelta(seconds=5)

    for _ in range(2):
        firing.fire(json.loads(schedule["Target"]["Input"]))

    assert stack.wait_for_state(task_id, states.SUCCESS).attempts == 1


def test_a_delayed_task_that_is_cancelled_never_begins(stack: Stack, api: Api) -> None:
    """Its schedule fires all the same, and sends nothing."""
    task_id = submit(api, delay="PT16M")
    schedule = due(task_id)

    assert api.delete(f"/tasks/{task_id}").status_code == 200
    firing.fire(json.loads(schedule["Target"]["Input"]))

    assert not any(stack.depth().values())
    assert api.get(f"/tasks/{task_id}").json()["status"] == states.REVOKED
