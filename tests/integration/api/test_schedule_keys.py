"""Idempotency-Key on /schedules: a request whose answer was lost can be sent again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from celeriac.settings import settings
from celeriac.storage.event_bridge import EventBridge
from celeriac.storage.firings import Firings
from celeriac.storage.schedules import Schedules
from celeriac.storage.services import services
from celeriac.topology import FIRINGS, SCHEDULES_OF
from tests.integration.api.conftest import Api, problem
from tests.integration.api.schedule_support import (
    DAILY,
    create,
    fire,
    history,
    on_aws,
    same_types,
    tasks,
)

__all__ = ["same_types"]  # a fixture of every test here

KEYED = {"Idempotency-Key": "k-1"}


def make(api: Api, key: str = "k-1", **changes: Any) -> httpx.Response:
    return api.post("/schedules", json=DAILY | changes, headers={"Idempotency-Key": key})


def expression(schedule_id: str) -> str:
    """What EventBridge fires it by."""
    made = on_aws(schedule_id)
    assert made is not None
    return str(made["ScheduleExpression"])


def test_the_same_key_and_body_give_the_same_schedule(api: Api) -> None:
    """201 again, marked as a replay, and one schedule; another key makes another."""
    first, again = make(api), make(api)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert make(api, "k-2").json()["schedule_id"] != first.json()["schedule_id"]
    assert len(api.get("/schedules").json()["data"]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"cron": "0 7 * * *"},
        {"timezone": "Europe/Moscow"},
        {"payload": {"name": "Bob"}},
        {"tags": ["x"]},
        {"overlap": "skip"},
        {"end": "2090-01-01T00:00:00Z"},
        {"type": "keep", "payload": {"value": 1}},
    ],
)
def test_the_same_key_with_another_body_is_a_422(api: Api, changes: dict[str, Any]) -> None:
    """Nothing of the schedule changes, here or in EventBridge."""
    view = make(api).json()
    problem(make(api, **changes), 422, "idempotency-conflict")
    assert api.get("/schedules").json()["data"] == [
        {name: value for name, value in view.items() if name != "payload"}
    ]
    assert expression(view["schedule_id"]) == "cron(0 6 * * ? *)"


def test_a_key_belongs_to_a_tenant(app: FastAPI, api: Api) -> None:
    """Two tenants may use one key."""
    assert make(api).json()["schedule_id"] != make(Api.of(app)).json()["schedule_id"]


def test_a_replay_shows_the_schedule_as_it_is_now(api: Api) -> None:
    """Edits and pauses since then stay: the body is compared with the first one."""
    here = make(api).json()["links"]["self"]
    api("PATCH", here, json={"cron": "30 7 * * *"})
    api.post(f"{here}/pause")
    again = make(api)
    assert again.status_code == 201
    assert (again.json()["cron"], again.json()["paused"]) == ("30 7 * * *", True)
    assert expression(again.json()["schedule_id"]) == "cron(30 7 * * ? *)"


def test_a_rate_is_replayed_though_its_start_was_computed(api: Api) -> None:
    """The start is of the first request."""
    body = {"type": "greet", "payload": {"name": "Ada"}, "rate": "PT2H"}
    first = api.post("/schedules", json=body, headers=KEYED)
    again = api.post("/schedules", json=body, headers=KEYED)
    assert first.status_code == 201
    assert again.json()["start"] == first.json()["start"]


def test_a_one_time_schedule_is_replayed_after_its_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time in the past is no fault of the repetition, and EventBridge isn't given it again."""
    at = datetime(2090, 1, 1, tzinfo=UTC)
    body = {"type": "greet", "payload": {"name": "Ada"}, "at": at.isoformat()}
    view = api.post("/schedules", json=body, headers=KEYED).json()
    fire(api, view, at)
    services().event_bridge.delete(view["schedule_id"])  # as AWS does once it is over
    later = int((at + timedelta(minutes=1)).timestamp() * 1000)
    monkeypatch.setattr("celeriac.operations.scheduling.clock.now", lambda: later)
    again = api.post("/schedules", json=body, headers=KEYED)
    assert (again.status_code, again.json()["schedule_id"]) == (201, view["schedule_id"])
    assert on_aws(view["schedule_id"]) is None


def test_eight_requests_at_once_make_one_schedule(api: Api) -> None:
    """All get it, and EventBridge has it once."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: make(api), range(8)))
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["schedule_id"] for each in answers}) == 1
    assert len(api.get("/schedules").json()["data"]) == 1


def test_requests_at_once_with_other_bodies_end_as_one_of_them(api: Api) -> None:
    """One makes it; the others are 422s, and EventBridge fires what the table says."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda hour: make(api, cron=f"0 {hour} * * *"), range(6)))
    assert sorted(each.status_code for each in answers) == [201, *[422] * 5]
    [listed] = api.get("/schedules").json()["data"]
    hour = listed["cron"].split()[1]
    assert expression(listed["schedule_id"]) == f"cron(0 {hour} * * ? *)"


def _dies(*_: Any) -> Any:
    raise SystemExit


@pytest.mark.parametrize(
    "step", [(Schedules, "create"), (EventBridge, "create")], ids=["item", "EventBridge"]
)
def test_a_request_that_was_cut_off_is_made_good_by_its_repetition(
    api: Api, monkeypatch: pytest.MonkeyPatch, step: tuple[type, str]
) -> None:
    """Also if it comes with another body then: EventBridge fires that one."""
    with monkeypatch.context() as patch:
        patch.setattr(*step, _dies)
        with pytest.raises(SystemExit):
            make(api)
    assert api.get("/schedules").json()["data"] == []
    again = make(api, cron="0 9 * * *")
    assert again.status_code == 201, again.text
    assert expression(again.json()["schedule_id"]) == "cron(0 9 * * ? *)"


def test_the_key_of_a_deleted_schedule_makes_no_other(api: Api) -> None:
    """A late repetition brings nothing to life, as long as the history is kept."""
    view = make(api).json()
    fire(api, view)
    assert api.delete(view["links"]["self"]).status_code == 204
    [mark], [entry] = (
        services().dynamodb.query(
            TableName=settings().table_name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )["Items"]
        for pk in (f"{SCHEDULES_OF}{api.tenant}", f"{FIRINGS}{api.tenant}/{view['schedule_id']}")
    )
    assert int(mark["expires_at"]["N"]) >= int(entry["expires_at"]["N"])
    document = problem(make(api), 422, "idempotency-conflict")
    assert "deleted" in document["detail"]
    problem(api.get(view["links"]["self"]), 404, "schedule-not-found")
    assert on_aws(view["schedule_id"]) is None
    assert api.get("/schedules").json()["data"] == []


@pytest.mark.parametrize("path", ["/schedules", "run"])
@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ключ".encode()])
def test_a_key_of_another_form_is_a_422_that_names_the_header(
    api: Api, path: str, key: str | bytes
) -> None:
    """As for tasks."""
    url = path if path == "/schedules" else create(api)["links"]["run"]
    answer = api.post(url, json=DAILY, headers={"Idempotency-Key": key})
    [error] = problem(answer, 422, "invalid")["errors"]
    assert error["header"] == "Idempotency-Key"


def test_a_run_with_the_same_key_is_the_same_task(api: Api) -> None:
    """202 again, marked as a replay; the history has it once."""
    view = create(api)
    run: Callable[[], httpx.Response] = lambda: api.post(view["links"]["run"], headers=KEYED)  # noqa: E731
    first, again = run(), run()
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["task_id"] == first.json()["task_id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert [each["task_id"] for each in history(api, view)] == [first.json()["task_id"]]
    api("PATCH", view["links"]["self"], json={"payload": {"name": "Bob"}})
    assert run().json()["task_id"] == first.json()["task_id"]
    assert len(tasks(api)) == 1


def test_a_runs_key_belongs_to_its_schedule(api: Api) -> None:
    """Another schedule, and a task with the key, are other requests."""
    first, second = create(api), create(api)
    ids = {
        api.post(each["links"]["run"], headers=KEYED).json()["task_id"] for each in (first, second)
    }
    ids.add(api.submit("Ada", headers=KEYED))
    assert len(ids) == 3


def test_a_run_that_died_before_its_history_is_noted_by_its_repetition(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One task, one entry."""
    view = create(api)
    with monkeypatch.context() as patch:
        patch.setattr(Firings, "note", _dies)
        with pytest.raises(SystemExit):
            api.post(view["links"]["run"], headers=KEYED)
    assert history(api, view) == []
    api.post(view["links"]["run"], headers=KEYED)
    assert [each["task_id"] for each in history(api, view)] == [tasks(api)[0]["task_id"]]


def test_two_runs_in_one_millisecond_are_two_entries(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is written over."""
    view = create(api)
    monkeypatch.setattr("celeriac.app.sending.clock.now", lambda: 1_900_000_000_000)
    for _ in range(2):
        assert api.post(view["links"]["run"]).status_code == 202
    assert len({each["task_id"] for each in history(api, view)}) == 2
