"""The priority of a schedule is that of its tasks: kept, shown, edited, obeyed at each firing."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Schedule, schedules
from celeriac.app.factory import make_app
from celeriac.contract import Catalogue, task
from celeriac.contract.queues import HIGH, NORMAL
from celeriac.http.app import create_app
from celeriac.operations import firings
from celeriac.settings import settings
from celeriac.storage.services import services
from tasks.queues import EMAIL
from tests.integration.api.conftest import Api, problem
from tests.integration.api.schedule_support import (
    DAILY,
    NOON,
    create,
    fire,
    own_app,
    same_types,
    tasks,
)
from tests.integration.api.throwaway import CATALOGUE, greet

__all__ = ["same_types"]  # a fixture of every test here


def waiting(priority: str | None) -> int:
    """How many messages are in a lane of the type's queue."""
    counts = services().sqs.get_queue_attributes(
        QueueUrl=settings().queue_url(EMAIL, priority),
        AttributeNames=["ApproximateNumberOfMessages"],
    )["Attributes"]
    return int(counts["ApproximateNumberOfMessages"])


@pytest.mark.parametrize(
    ("given", "shown", "lane"),
    [
        ({}, None, NORMAL),
        ({"priority": "normal"}, "normal", NORMAL),
        ({"priority": "high"}, "high", HIGH),
    ],
)
@pytest.mark.parametrize("how", ["fire", "run"])
def test_a_schedules_tasks_have_its_priority(
    api: Api, given: dict[str, Any], shown: str | None, lane: str, how: str
) -> None:
    """It is shown, and both its times and its runs by hand send to that lane."""
    view = create(api, **given)
    assert view["priority"] == api.get(view["links"]["self"]).json()["priority"] == shown
    assert api.get("/schedules").json()["data"][0]["priority"] == shown
    before = waiting(lane)
    if how == "fire":
        fire(api, view)
    else:
        assert api.post(view["links"]["run"]).status_code == 202
    assert [each["priority"] for each in tasks(api)] == [lane]
    assert waiting(lane) == before + 1


def test_an_edit_changes_the_priority_or_leaves_it(api: Api) -> None:
    """Null takes it back to what the project has as its default."""
    view = create(api, priority="high")
    here = view["links"]["self"]
    assert api("PATCH", here, json={"tags": ["x"]}).json()["priority"] == "high"
    assert api("PATCH", here, json={"rate": "PT1H"}).json()["priority"] == "high"
    assert api("PATCH", here, json={"priority": "normal"}).json()["priority"] == "normal"
    fire(api, view)
    assert tasks(api)[0]["priority"] == "normal"
    assert api("PATCH", here, json={"priority": None}).json()["priority"] is None


@pytest.mark.parametrize("wrong", ["urgent", "HIGH", "", 9, True, ["high"]])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_another_priority_is_a_422_that_points_at_it(api: Api, wrong: Any, method: str) -> None:
    """Nothing is made or changed."""
    if method == "POST":
        answer = api.post("/schedules", json=DAILY | {"priority": wrong})
    else:
        answer = api("PATCH", create(api)["links"]["self"], json={"priority": wrong})
    [error] = problem(answer, 422, "invalid")["errors"]
    assert error["pointer"] == "#/priority"
    assert "'high' or 'normal'" in error["detail"]


def test_another_priority_is_another_request(api: Api) -> None:
    """The same Idempotency-Key then is a 422."""
    key = {"Idempotency-Key": "k"}
    assert api.post("/schedules", json=DAILY, headers=key).status_code == 201
    other = api.post("/schedules", json=DAILY | {"priority": "high"}, headers=key)
    problem(other, 422, "idempotency-conflict")


def test_from_python_and_in_code_it_is_an_option_of_the_schedule(api: Api) -> None:
    """A declared one and one of a caller fire urgent tasks."""
    daily = Schedule.cron("0 6 * * *", priority="high", payload={"name": "Ada"})
    made = schedules.create("greet", daily, tenant=api.tenant, app=own_app())
    assert made.schedule.priority == "high"
    fire(api, {"schedule_id": made.schedule_id})
    assert [each["priority"] for each in tasks(api)] == ["high"]

    urgent = task(name="greet-urgently", schedule=daily)(greet.function)
    types = Catalogue([*CATALOGUE.values(), urgent])
    own = Api.of(create_app(catalogue=types), settings().tenant)
    assert own.get("/schedules/type-greet-urgently").json()["priority"] == "high"
    firings.fire("type-greet-urgently", NOON, "e-1", app=make_app(settings(), types))
    [fired] = schedules.history("type-greet-urgently", app=make_app(settings(), types))
    record = services().records.get(fired.task_id or "")
    assert record is not None
    assert record.priority == "high"
