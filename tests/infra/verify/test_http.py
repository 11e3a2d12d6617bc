"""The function's cold starts, and the API over HTTPS."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from infra.verify.aws import Https
from infra.verify.check import NotHeld, NotShown
from infra.verify.checks import http
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    Aws,
    ScriptedApi,
    accepts,
    on,
    stubbed,
)


def report_line(milliseconds: float) -> dict[str, Any]:
    init = f"Init Duration: {milliseconds} ms"
    return {"message": f"REPORT RequestId: 1 Duration: 5 ms Memory Size: 1024 MB {init}"}


@pytest.mark.parametrize(
    ("starts", "shown"),
    [([600, 900], "2 in a day: median 750 ms, longest 900 ms"), ([9000], None), ([], None)],
)
def test_cold_starts_are_read_from_the_log(
    starts: list[float], shown: str | None, aws: Aws, api: ScriptedApi
) -> None:
    """A burst of requests makes some. A slow one, or a log without any, isn't held."""
    api.says("GET /health", 200)
    accepts(api)
    aws.gives("logs", "filter_log_events", {"events": [report_line(each) for each in starts]})
    trial = Trial(stubbed(aws, api), "key", timedelta(0))

    if shown:
        assert http.cold_start.attempt(trial).startswith(f"{shown}. Of 8 at once, the slowest: ")
    else:
        with pytest.raises(NotHeld):
            http.cold_start.attempt(trial)


def test_the_api_is_asked_over_https() -> None:
    """With the key, the body as JSON, and the query as it is given."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json={"task_id": "t1"}, headers={"ETag": '"1"'})

    api = Https("https://abc.example", httpx.MockTransport(answer))
    found = api.request("POST", "/tasks/x", key="k", body={"a": 1}, query="delay=1&tag=b")

    (request,) = seen
    assert str(request.url) == "https://abc.example/tasks/x?delay=1&tag=b"
    assert request.headers["authorization"] == "Bearer k"
    assert json.loads(request.content) == {"a": 1}
    assert (found.status, found.headers["etag"], found.json()) == (202, '"1"', {"task_id": "t1"})


@pytest.mark.parametrize(
    ("told", "held"), [(["https://shop.example", None], True), ([None, None], False)]
)
def test_a_page_must_be_able_to_read_a_refusal(
    told: list[str | None], held: bool, aws: Aws, api: ScriptedApi
) -> None:
    """The named page, and no other; without a named page nothing is asked."""
    for each in told:
        api.says("GET /tasks", 401, **({"access-control-allow-origin": each} if each else {}))
    deployment = stubbed(aws, api)
    with pytest.raises(NotShown):
        http.web_pages.attempt(on(deployment))
    origins = ("https://shop.example",)
    pages = replace(deployment, environment=replace(deployment.environment, web_origins=origins))
    if held:
        assert "https://shop.example" in http.web_pages.attempt(on(pages))
    else:
        with pytest.raises(NotHeld, match="told None"):
            http.web_pages.attempt(on(pages))
