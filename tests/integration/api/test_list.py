"""GET /tasks: filters and pages."""

from __future__ import annotations

import pytest

from celeriac.records.listing import encode_cursor
from tests.integration.api.conftest import Api, Worker, problem


def test_pages_follow_one_another_to_the_end(api: Api) -> None:
    """Newest first; next_cursor and the Link header lead through every task once."""
    ids = [api.submit(f"n{number}") for number in range(5)]
    seen: list[str] = []
    url = "/tasks?limit=2"
    while url:
        answer = api.get(url)
        page = answer.json()
        assert len(page["data"]) <= 2
        seen += [task["task_id"] for task in page["data"]]
        link = answer.headers.get("link", "")
        url = link.removeprefix("<").partition(">")[0]
        assert bool(url) == (page["next_cursor"] is not None)
        assert url == "" or link.endswith('; rel="next"')
    assert seen == ids[::-1]


def test_a_page_keeps_its_filters(api: Api) -> None:
    """The Link header repeats what was asked for."""
    for number in range(3):
        api.submit(f"n{number}")
    link = api.get("/tasks?limit=1&type=greet&status=PENDING").headers["link"]
    assert "type=greet" in link
    assert "status=PENDING" in link


def test_filters_choose(api: Api, worker: Worker) -> None:
    """Status, type (or an alias of it), tag and time each leave out the others."""
    tagged = api.post("/tasks/greet?tag=blue", json={"name": "A"}).json()
    kept = api.post("/tasks/keep", json={}).json()
    worker.fail(kept["task_id"], "e", "It broke.")

    def found(query: str) -> list[str]:
        answer = api.get("/tasks", params=dict([query.split("=", 1)]))
        assert answer.status_code == 200, answer.text
        return [task["task_id"] for task in answer.json()["data"]]

    assert found("status=FAILURE") == [kept["task_id"]]
    assert found("status=PENDING") == [tagged["task_id"]]
    assert found("type=greet") == found("type=hello") == [tagged["task_id"]]
    assert found("type=unheard-of") == []
    assert found("tag=blue") == [tagged["task_id"]]
    assert found("created_after=2001-01-01") == [kept["task_id"], tagged["task_id"]]
    assert found(f"created_after={tagged['created_at']}") == [kept["task_id"]]
    for later in ("2999-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"):
        assert found(f"created_after={later}") == []
    assert len(found("created_after=0001-01-01T00:00:00+14:00")) == 2


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "status=DONE",
        "created_after=yesterday",
        "created_after=99999999999999999999",
        "statsu=FAILURE",
    ],
)
def test_wrong_filters_are_named(api: Api, query: str) -> None:
    """A wrong or unknown filter is a 422 that names it, never a list of something else."""
    document = problem(api.get(f"/tasks?{query}"), 422, "invalid")
    assert [each["parameter"] for each in document["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize("cursor", ["x", "", "%00", "é", "AAAA", "=", "9" * 5000, "0000"])
def test_a_made_up_cursor_is_a_400(api: Api, cursor: str) -> None:
    """A cursor that no page gave out is refused."""
    problem(api.get(f"/tasks?cursor={cursor}"), 400, "bad-cursor")


def test_a_cursor_older_than_the_time_asked_for_gives_an_empty_page(api: Api) -> None:
    """Filters may be changed between pages: what doesn't overlap is empty, not an error."""
    api.submit()
    cursor = encode_cursor("0000000000001#x")
    answer = api.get(f"/tasks?cursor={cursor}&created_after=2020-01-01T00:00:00Z")
    assert answer.json() == {"data": [], "next_cursor": None}
