"""What comes of requests that no route takes, and of faults that nobody expected."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from celeriac.http.problems import ProblemType
from tests.integration.api.conftest import Api, problem


@pytest.mark.parametrize("path", ["/nope", "/tasks/", "/x//", "/tasks/a/b/c", "/%00", "/\u0436"])
def test_an_unknown_path_is_a_404(api: Api, path: str) -> None:
    """A path that leads nowhere is a problem like any other."""
    assert api.get(path).headers["content-type"] == "application/problem+json"
    problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/tasks", {"GET", "HEAD"}),
        ("PATCH", "/tasks/t-1", {"DELETE", "GET", "HEAD", "POST"}),
        ("POST", "/catalogue", {"GET", "HEAD"}),
        ("POST", "/files/files/1/a", {"GET", "HEAD"}),
        ("DELETE", "/files", {"POST"}),
        ("BREW", "/health", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_names_the_right_ones(
    api: Api, method: str, path: str, allowed: set[str]
) -> None:
    """405 lists in Allow what all routes of the path take."""
    answer = api(method, path)
    problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


def test_problem_types_can_be_looked_up(api: Api) -> None:
    """A problem's type leads to what it means."""
    document = problem(api.get("/nope"), 404, "not-found")
    shown = api.get(document["type"]).json()
    assert (shown["type"], shown["status"]) == (document["type"], 404)
    listed = api.get("/problems").json()["data"]
    assert [each["type"] for each in listed] == [each.uri for each in ProblemType]
    problem(api.get("/problems/nope"), 404, "not-found")


def test_an_unexpected_fault_shows_nothing_of_itself(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 gives a reference and no more; the log has the traceback under it."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr("celeriac.operations.lookup.find", broken)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {api.key}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", headers=headers
        ) as client:
            return await client.get("/tasks/t-1")

    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(ask())
    document = problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert document["reference"] in caplog.text
    assert "the secret is 42" in caplog.text
