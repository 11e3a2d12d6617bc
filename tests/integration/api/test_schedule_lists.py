"""How many schedules a tenant may have, and the pages of their list and of their history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from celeriac import QuotaExceededError, Schedule, schedules
from celeriac.app.factory import make_app
from celeriac.contract import Catalogue, task
from celeriac.http.app import create_app
from celeriac.settings import Settings
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem
from tests.integration.api.schedule_support import DAILY, NOON, create, fire, same_types
from tests.integration.api.throwaway import CATALOGUE, greet

__all__ = ["same_types"]  # a fixture of every test here

LIMIT = 3


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, aws: Settings) -> Api:
    """A caller of an API that lets a tenant have three schedules."""
    own = aws.model_copy(update={"schedules_per_tenant": LIMIT})
    return Api.of(create_app(own, CATALOGUE))


def test_a_tenant_has_so_many_schedules_and_no_more(few: Api, app: FastAPI) -> None:
    """One more is a 429 that names the quota; nothing is made. Other tenants have room."""
    made = [create(few) for _ in range(LIMIT)]
    answer = few.post("/schedules", json=DAILY)
    document = problem(answer, 429, "quota-exceeded")
    assert (document["quota"], document["limit"]) == ("schedules_per_tenant", LIMIT)
    assert int(answer.headers["retry-after"]) > 0
    assert len(few.get("/schedules").json()["data"]) == LIMIT
    create(Api.of(few.app))
    few.delete(made[0]["links"]["self"])
    create(few)


def test_what_is_there_is_no_new_schedule(few: Api) -> None:
    """Replays, edits, pauses and runs go on at the limit."""
    key = {"Idempotency-Key": "k"}
    view = few.post("/schedules", json=DAILY, headers=key).json()
    for _ in range(LIMIT - 1):
        create(few)
    here = view["links"]["self"]
    assert few.post("/schedules", json=DAILY, headers=key).status_code == 201
    assert few("PATCH", here, json={"tags": ["x"]}).status_code == 200
    assert few.post(f"{here}/pause").status_code == 200
    assert few.post(f"{here}/run").status_code == 202


def test_python_callers_have_the_same_limit(few: Api, aws: Settings) -> None:
    """The error says how to make room."""
    own = make_app(aws.model_copy(update={"schedules_per_tenant": 1}), CATALOGUE)
    daily = Schedule.cron("0 6 * * *", payload={"name": "Ada"})
    schedules.create("greet", daily, tenant=few.tenant, app=own)
    with pytest.raises(QuotaExceededError, match="Delete some") as raised:
        schedules.create("greet", daily, tenant=few.tenant, app=own)
    assert raised.value.quota == "schedules_per_tenant"


def pages(api: Api, path: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages, by each one's ``next_cursor``, which its Link has too."""
    found: list[list[dict[str, Any]]] = []
    url: str | None = f"{path}?limit={limit}"
    while url is not None:
        answer = api.get(url)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append(page["data"])
        cursor = page["next_cursor"]
        url = answer.links["next"]["url"] if "next" in answer.links else None
        assert (cursor is None) == (url is None)
        assert url is None or url.endswith(f"cursor={cursor}")
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 8, 100])
def test_each_schedule_is_on_one_page(app: FastAPI, limit: int) -> None:
    """Those that code declares first, whatever the limit; no page but the last is short."""
    declared = [
        task(name=f"greet-{name}", schedule=Schedule.cron("0 6 * * *", payload={"name": "Ada"}))(
            greet.function
        )
        for name in ("a", "b", "c")
    ]
    types = Catalogue([*CATALOGUE.values(), *declared])
    own = Api.of(create_app(catalogue=types), services().settings.tenant)
    made = [create(own)["schedule_id"] for _ in range(4)]
    keyed = own.post("/schedules", json=DAILY, headers={"Idempotency-Key": f"k-{limit}"}).json()
    own.post("/schedules/type-greet-b/pause")
    found = pages(own, "/schedules", limit)
    assert all(len(each) == limit for each in found[:-1])
    listed = [each for page in found for each in page]
    ids = [each["schedule_id"] for each in listed]
    of_callers = sorted([*made, keyed["schedule_id"]])
    assert ids == ["type-greet-a", "type-greet-b", "type-greet-c", *of_callers]
    assert [each["paused"] for each in listed[:3]] == [False, True, False]
    own.post("/schedules/type-greet-b/resume")
    for each in ids[3:]:
        own.delete(f"/schedules/{each}")


def test_a_page_goes_on_where_a_schedule_was_deleted(api: Api) -> None:
    """A cursor is a place in the list, not a schedule."""
    ids = [create(api)["schedule_id"] for _ in range(4)]
    first = api.get("/schedules?limit=2").json()
    api.delete(f"/schedules/{ids[1]}")
    rest = api.get("/schedules", params={"cursor": first["next_cursor"]}).json()
    assert [each["schedule_id"] for each in rest["data"]] == ids[2:]


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 100])
def test_each_firing_is_on_one_page_newest_first(api: Api, limit: int) -> None:
    """Also those that somebody ran; the last page has no cursor."""
    view = create(api)
    for day in range(4):
        fire(api, view, NOON - timedelta(days=900 - day))
    for _ in range(2):
        api.post(view["links"]["run"])
    found = pages(api, view["links"]["history"], limit)
    assert all(len(each) == limit for each in found[:-1])
    times = [each["scheduled_at"] for page in found for each in page]
    assert times == sorted(times, reverse=True)
    assert len({each["task_id"] for page in found for each in page}) == 6


@pytest.mark.parametrize("cursor", ["gone", "%", "a b", "x" * 2000, "MTIz", "Ly4uLw"])
@pytest.mark.parametrize("history", [False, True], ids=["schedules", "history"])
def test_another_cursor_is_a_400_that_names_it(api: Api, cursor: str, history: bool) -> None:
    """As of tasks."""
    path = create(api)["links"]["history"] if history else "/schedules"
    if not history and cursor == "MTIz":
        cursor = "MTIzIQ"  # "123" could be an id; "123!" can't
    document = problem(api.get(path, params={"cursor": cursor}), 400, "bad-cursor")
    assert document["errors"][0]["parameter"] == "cursor"


@pytest.mark.parametrize("limit", [0, 101, -1, "x"])
@pytest.mark.parametrize("path", ["/schedules", "/schedules/any/history"])
def test_another_limit_is_a_422_that_names_it(api: Api, limit: Any, path: str) -> None:
    """From 1 to 100."""
    [error] = problem(api.get(f"{path}?limit={limit}"), 422, "invalid")["errors"]
    assert error["parameter"] == "limit"
