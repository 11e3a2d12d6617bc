"""A web page of another origin calls the API from a browser: what CORS lets it do and read.

The requests are those that a browser sends (fetch.spec.whatwg.org/#http-cors-protocol).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from mangum import Mangum

import celeriac.http
from celeriac.http.app import create_app
from celeriac.origins import REQUEST_HEADERS, RESPONSE_HEADERS
from celeriac.settings import Settings
from tests.integration.api.conftest import Api, problem
from tests.integration.api.throwaway import CATALOGUE

PAGE = "https://app.shop.net"
OTHER = "http://localhost:5173"
ALLOW_ORIGIN = "access-control-allow-origin"
EVENTS = Path(__file__).parent / "events"
DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def settings(aws: Settings) -> Settings:
    return aws.model_copy(update={"web_origins": (PAGE, OTHER), "max_request_bytes": 1000})


@pytest.fixture(scope="module")
def open_app(settings: Settings) -> FastAPI:
    return create_app(settings, CATALOGUE)


@pytest.fixture
def open_api(open_app: FastAPI) -> Api:
    """A caller of an API that two pages may call."""
    return Api.of(open_app)


def preflight(
    api: Api, path: str = "/tasks/greet", *, page: str = PAGE, method: str = "POST", asks: str = ""
) -> httpx.Response:
    """What a browser asks before a request that isn't simple. It sends no key."""
    headers = {"Origin": page, "Access-Control-Request-Method": method}
    if asks:
        headers["Access-Control-Request-Headers"] = asks
    return api.without_key()("OPTIONS", path, headers=headers)


def readable(answer: httpx.Response, page: str = PAGE) -> bool:
    """Whether the browser gives this answer to the page's script."""
    values = answer.headers.get_list(ALLOW_ORIGIN)
    assert len(values) <= 1, values
    return values == [page]


@pytest.mark.parametrize("page", [PAGE, OTHER])
def test_a_page_reads_an_answer_with_its_headers(open_api: Api, page: str) -> None:
    """The answer names the page's origin, and caches keep it for that page alone."""
    answer = open_api.post("/tasks/greet", json={"name": "Ada"}, headers={"Origin": page})

    assert answer.status_code == 202
    assert readable(answer, page)
    assert answer.headers["vary"] == "Origin"
    exposed = {each.strip() for each in answer.headers["access-control-expose-headers"].split(",")}
    assert {"Location", "Retry-After"} <= exposed
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["DELETE", "GET", "PATCH", "POST", "PUT"])
def test_a_preflight_needs_no_key(open_api: Api, method: str) -> None:
    """It is answered for every path, with the headers that the API reads."""
    for path in ("/tasks/greet", "/tasks/t-1", "/files", "/nowhere"):
        answer = preflight(open_api, path, method=method, asks=", ".join(REQUEST_HEADERS).lower())
        assert answer.status_code == 200
        assert readable(answer)
        assert method in answer.headers["access-control-allow-methods"].split(", ")
        assert answer.headers["access-control-max-age"] == "3600"


def test_a_preflight_is_refused_what_the_api_does_not_take(open_api: Api) -> None:
    """Another header or method is refused, and so is a page that isn't named."""
    for refused in (
        preflight(open_api, asks="x-other"),
        preflight(open_api, method="TRACE"),
        preflight(open_api, page="https://shop.net"),
    ):
        assert refused.status_code == 400


@pytest.mark.parametrize(
    "page",
    [
        "null",
        "https://shop.net",
        "http://app.shop.net",
        "https://app.shop.net:8443",
        "https://app.shop.net.evil.net",
        "https://APP.shop.net",
        "",
        "*",
    ],
)
def test_another_page_reads_nothing(open_api: Api, page: str) -> None:
    """Even with a key: the request is answered, and the browser keeps the answer to itself."""
    answer = open_api.get("/tasks", headers={"Origin": page})

    assert ALLOW_ORIGIN not in answer.headers
    assert ALLOW_ORIGIN not in preflight(open_api, page=page).headers


def test_a_page_reads_every_problem(open_api: Api) -> None:
    """From the door, the routes, the body's limit, and paths that are not there."""
    origin = {"Origin": PAGE}
    stranger = open_api.without_key()
    for answer, status, slug in (
        (stranger.get("/tasks", headers=origin), 401, "unauthorized"),
        (Api.of(open_api.app, scopes=[]).get("/tasks", headers=origin), 403, "missing-scope"),
        (open_api.get("/tasks/t-1", headers=origin), 404, "task-not-found"),
        (open_api.get("/nowhere", headers=origin), 404, "not-found"),
        (open_api("PUT", "/tasks", headers=origin), 405, "method-not-allowed"),
        (
            open_api.post("/tasks/greet", content=b"x" * 2000, headers=origin),
            413,
            "too-large",
        ),
        (open_api.post("/tasks/greet", json={}, headers=origin), 422, "invalid"),
    ):
        problem(answer, status, slug)
        assert readable(answer), slug


def test_a_page_reads_how_long_to_wait(settings: Settings) -> None:
    """A key over its limit is told so, and the page's script sees the seconds."""
    limited = Api.of(create_app(settings.model_copy(update={"requests_per_key": 1}), CATALOGUE))
    answers = [limited.get("/tasks", headers={"Origin": PAGE}) for _ in range(3)]

    problem(answers[-1], 429, "too-many-requests")
    assert readable(answers[-1])
    assert int(answers[-1].headers["retry-after"]) > 0
    assert "Retry-After" in answers[-1].headers["access-control-expose-headers"]


def test_a_page_reads_the_problem_of_an_error_that_nobody_handled(settings: Settings) -> None:
    """An added route that fails is answered outside of all middleware that an app adds."""
    app = create_app(settings, CATALOGUE)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("oops")

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/broken", headers={"Origin": PAGE})

    answer = asyncio.run(request())
    problem(answer, 500, "internal")
    assert readable(answer)


def test_a_page_follows_a_task_by_its_etag(open_api: Api) -> None:
    """The page may send If-None-Match, and read the ETag of a 304 too."""
    here = f"/tasks/{open_api.submit()}"
    first = open_api.get(here, headers={"Origin": PAGE})
    again = open_api.get(here, headers={"Origin": PAGE, "If-None-Match": first.headers["etag"]})

    assert again.status_code == 304
    assert readable(again)
    assert "ETag" in again.headers["access-control-expose-headers"]


def test_without_the_setting_no_page_is_let_in(api: Api) -> None:
    """An API that names no page answers a preflight as any wrong method."""
    answer = api.get("/tasks", headers={"Origin": PAGE})

    assert not [name for name in answer.headers if name.startswith("access-control-")]
    problem(preflight(api), 405, "method-not-allowed")


def test_a_request_without_a_page_is_answered_as_ever(open_api: Api) -> None:
    """OPTIONS outside of CORS is a wrong method, and no answer names an origin."""
    problem(open_api("OPTIONS", "/tasks"), 405, "method-not-allowed")
    assert ALLOW_ORIGIN not in open_api.get("/tasks").headers


@pytest.mark.parametrize("order", ["ours-first", "theirs-first"])
def test_an_app_with_the_router_lets_pages_in_by_the_middleware(
    settings: Settings, order: str
) -> None:
    """The app's own routes too, and a problem of ours is readable."""
    app = FastAPI()
    if order == "ours-first":
        app.add_middleware(celeriac.http.WebPages, origins=settings.web_origins)

    @app.get("/own")
    def own() -> str:
        return "own"

    app.include_router(celeriac.http.router(settings, CATALOGUE))
    if order == "theirs-first":
        app.add_middleware(celeriac.http.WebPages, origins=settings.web_origins)
    api = Api.of(app)

    assert preflight(api, asks="authorization, content-type").status_code == 200
    assert readable(api.get("/own", headers={"Origin": PAGE}))
    denied = api.without_key().get("/tasks", headers={"Origin": PAGE})
    problem(denied, 401, "unauthorized")
    assert readable(denied)


def test_the_middleware_takes_the_pages_of_the_setting(
    aws: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``app.add_middleware(WebPages)`` is all that an app writes."""
    monkeypatch.setattr("celeriac.http.web_pages.settings", lambda: Settings(web_origins=(PAGE,)))
    app = FastAPI()
    app.add_middleware(celeriac.http.WebPages)
    app.include_router(celeriac.http.router(aws, CATALOGUE))

    assert readable(Api.of(app).get("/health", headers={"Origin": PAGE}))


def test_a_mounted_api_has_its_headers_once(settings: Settings) -> None:
    """Below an app that lets pages in itself."""
    outer = FastAPI()
    outer.add_middleware(celeriac.http.WebPages, origins=settings.web_origins)
    outer.mount("/background", create_app(settings, CATALOGUE))

    assert readable(Api.of(outer).get("/background/tasks", headers={"Origin": PAGE}))


def test_with_tokens_a_preflight_needs_none(settings: Settings) -> None:
    """API Gateway's open route brings it without claims, and the function says yes."""
    event = json.loads((EVENTS / "list-token.json").read_text("utf-8"))
    del event["requestContext"]["authorizer"]
    event["routeKey"] = "OPTIONS /{proxy+}"
    event["requestContext"] |= {"routeKey": event["routeKey"]}
    event["requestContext"]["http"]["method"] = "OPTIONS"
    event["headers"] = {
        "origin": PAGE,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
    }
    tokens = settings.model_copy(update={"token_tenant_claim": "custom:tenant"})
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        handler: Any = Mangum(create_app(tokens, CATALOGUE), lifespan="off")
        answer = handler(event, None)
    finally:
        loop.close()
        asyncio.set_event_loop(None)

    assert answer["statusCode"] == 200
    assert answer["headers"][ALLOW_ORIGIN] == PAGE


def test_every_documented_header_is_let_through() -> None:
    """A header that an operation reads may be sent; one that it answers with may be read."""
    document = json.loads(DOCUMENT.read_text("utf-8"))
    operations = [each for path in document["paths"].values() for each in path.values()]
    read = {
        parameter["name"].lower()
        for operation in operations
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    }
    answered = {
        name.lower()
        for operation in operations
        for response in operation["responses"].values()
        for name in response.get("headers", {})
    }

    assert read
    assert read <= {each.lower() for each in REQUEST_HEADERS}
    assert answered
    assert answered <= {each.lower() for each in RESPONSE_HEADERS}
