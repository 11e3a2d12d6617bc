"""Celeriac in a FastAPI app that has routes of its own: included, below a prefix, or mounted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.types import Receive, Scope, Send

import celeriac.http
from celeriac.http.problems import MEDIA_TYPE
from celeriac.settings import Settings
from tests.integration.api.conftest import Api, Worker, chunks
from tests.integration.api.throwaway import CATALOGUE


class LoginNeededError(Exception):
    """An error of the user's own app, which has a handler there."""


def own_app(**options: Any) -> FastAPI:
    """A user's app: a route, an error handler and an error shape of its own."""
    app = FastAPI(title="Shop", **options)

    @app.get("/invoices/{number}")
    def invoice(number: int) -> dict[str, int]:
        if number == 0:
            raise HTTPException(404, "No such invoice")
        return {"number": number}

    @app.exception_handler(LoginNeededError)
    async def login(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"login": str(error)}, 418)

    return app


def included(prefix: str = "", **options: Any) -> FastAPI:
    app = own_app()
    app.include_router(celeriac.http.router(catalogue=CATALOGUE), prefix=prefix, **options)
    return app


def own_prefix() -> FastAPI:
    app = own_app()
    app.include_router(celeriac.http.router(catalogue=CATALOGUE, prefix="/background"))
    return app


def nested() -> FastAPI:
    """In a router of the user's, with a parameter in its prefix."""
    app = own_app()
    outer = APIRouter(prefix="/teams/{team}")
    outer.include_router(celeriac.http.router(catalogue=CATALOGUE), prefix="/background")
    app.include_router(outer)
    return app


def mounted() -> FastAPI:
    app = own_app()
    app.mount("/background", celeriac.http.create_app(catalogue=CATALOGUE))
    return app


FORMS: dict[str, tuple[Callable[[], FastAPI], str]] = {
    "included": (included, ""),
    "prefix": (lambda: included("/background"), "/background"),
    "own-prefix": (own_prefix, "/background"),
    "nested": (nested, "/teams/7/background"),
    "mounted": (mounted, "/background"),
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, aws: Settings) -> tuple[Api, str]:
    """A caller of each kind of app, and the path that Celeriac is below."""
    make, base = FORMS[request.param]
    return Api.of(make()), base


def problem(answer: httpx.Response, status: int, type: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    assert document["type"] == type
    return document


def test_every_link_leads_back_to_the_api(form: tuple[Api, str], worker: Worker) -> None:
    """Location, links, url, next and submit are below the path that the app gave."""
    api, base = form
    made = api.post(f"{base}/tasks/greet", json={"name": "Ada"})
    assert made.status_code == 202, made.text
    here = made.headers["location"]
    assert here == f"{base}/tasks/{made.json()['task_id']}"
    assert made.json()["links"]["self"] == here
    worker.succeed(
        made.json()["task_id"],
        {"artifacts": [{"key": "tasks/1/a b", "name": "a", "content_type": "x/y", "size": 1}]},
    )
    task = api.get(here).json()
    assert api.get(task["links"]["result"]).status_code == 200
    again = api.post(task["links"]["retry"])
    assert again.status_code == 202
    assert api.delete(again.json()["links"]["cancel"]).status_code == 200
    listed = api.get(f"{base}/tasks?limit=1")
    following = listed.headers["link"].partition(">")[0].lstrip("<")
    assert api.get(following).status_code == 200
    submit = api.get(f"{base}/catalogue").json()["data"][0]["links"]["submit"]
    assert api.post(submit, json={"name": "Bob"}).status_code == 202
    queue = api.get(f"{base}/queues").json()["data"][0]["links"]["self"]
    assert api.get(queue).status_code == 200


def test_every_error_of_ours_is_a_problem(form: tuple[Api, str]) -> None:
    """Wrong values, no key, malformed JSON, no such task, a wrong method: all are problems."""
    api, base = form
    url = f"{base}/tasks/greet"
    kinds = f"{base}/problems"
    problem(api.post(url, json={}), 422, f"{kinds}/invalid")
    problem(api.post(url, content=b"{"), 400, f"{kinds}/malformed-json")
    problem(api.without_key().post(url, content=b"{"), 401, f"{kinds}/unauthorized")
    problem(
        api.post(url, content=b"a", headers={"content-type": "text/plain"}),
        415,
        f"{kinds}/unsupported-media-type",
    )
    problem(api.get(f"{base}/tasks/nope"), 404, f"{kinds}/task-not-found")
    document = problem(api.post(f"{base}/tasks/nope"), 404, f"{kinds}/unknown-task-type")
    assert api.get(document["type"]).json()["type"] == document["type"]
    answer = api("PATCH", f"{base}/tasks/t-1")
    problem(answer, 405, f"{kinds}/method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "DELETE"}


@pytest.mark.parametrize("make", [included, mounted])
def test_the_body_limit_comes_with_the_routes(
    aws: Settings, make: Callable[[], FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body over the limit is a 413, announced or not, and costs the user's routes nothing."""
    small = Settings(**aws.model_dump() | {"max_request_bytes": 100})
    app = own_app()
    if make is included:
        app.include_router(celeriac.http.router(small, CATALOGUE), prefix="/background")
    else:
        app.mount("/background", celeriac.http.create_app(small, CATALOGUE))

    @app.post("/own")
    async def own(request: Request) -> int:
        return len(await request.body())

    api = Api.of(app)
    for body in (b"x" * 101, chunks(b"x" * 60, b"x" * 60)):
        answer = api.post("/background/tasks/greet", content=body)
        problem(answer, 413, "/background/problems/too-large")
    assert api.post("/own", content=b"x" * 101).json() == 101


def test_the_users_routes_keep_their_errors(form: tuple[Api, str]) -> None:
    """The user's own 200, 404, 405 and 422 are FastAPI's, as without Celeriac."""
    api, _ = form
    plain = Api(own_app(), api.tenant, None)
    for method, url in [
        ("GET", "/invoices/3"),
        ("GET", "/invoices/0"),
        ("GET", "/invoices/x"),
        ("GET", "/nothing"),
        ("GET", "/"),
        ("PUT", "/invoices/3"),
    ]:
        ours, theirs = api(method, url), plain(method, url)
        assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content), url
        assert ours.headers["content-type"] == theirs.headers["content-type"]


def test_routes_added_to_create_app_keep_fastapis_errors(aws: Settings) -> None:
    """An app of create_app is the user's as well: routes that it gains answer as FastAPI does."""
    app = celeriac.http.create_app(catalogue=CATALOGUE, title="Shop")

    @app.get("/own/{number}")
    def own(number: int) -> None:
        raise HTTPException(404, "No such thing")

    api = Api.of(app)
    assert api.get("/own/1").json() == {"detail": "No such thing"}
    assert api.get("/own/x").json()["detail"][0]["loc"] == ["path", "number"]
    problem(api.get("/nothing"), 404, "/problems/not-found")


def test_a_dependency_of_the_app_guards_our_routes(aws: Settings) -> None:
    """The app's dependencies run for our routes, and its handlers answer what they raise."""

    async def guard(door: Annotated[str, Header()] = "open") -> None:
        if door == "shut":
            raise HTTPException(403, "Shut")
        if door == "login":
            raise LoginNeededError("please")

    api = Api.of(included("/background", dependencies=[Depends(guard)]))
    assert api.get("/background/tasks").status_code == 200
    shut = api.get("/background/tasks", headers={"door": "shut"})
    assert (shut.status_code, shut.json()) == (403, {"detail": "Shut"})
    login = api.get("/background/tasks", headers={"door": "login"})
    assert (login.status_code, login.json()) == (418, {"login": "please"})


def test_lifespan_and_middleware_of_the_app_hold(aws: Settings) -> None:
    """CORS and GZip apply to our answers, and the app's own lifespan is the one that runs."""
    ran = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ran.append("start")
        yield
        ran.append("stop")

    app = own_app(lifespan=lifespan)
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.test"])
    app.add_middleware(GZipMiddleware, minimum_size=10)
    app.include_router(celeriac.http.router(catalogue=CATALOGUE))

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert ran == ["start"]

    asyncio.run(live())
    assert ran == ["start", "stop"]
    answer = Api.of(app).get("/catalogue", headers={"origin": "https://shop.test"})
    assert answer.headers["access-control-allow-origin"] == "https://shop.test"
    assert answer.headers["content-encoding"] == "gzip"


def test_two_apps_of_a_process_keep_their_own_task_types(aws: Settings) -> None:
    """Each router has its catalogue, even side by side in one app."""
    app = own_app()
    some = CATALOGUE.__class__([CATALOGUE["greet"]])
    app.include_router(celeriac.http.router(catalogue=some), prefix="/a")
    app.include_router(celeriac.http.router(catalogue=CATALOGUE), prefix="/b")
    api = Api.of(app)
    assert [each["name"] for each in api.get("/a/catalogue").json()["data"]] == ["greet"]
    assert len(api.get("/b/catalogue").json()["data"]) == 2


@pytest.mark.parametrize("make", [included, own_prefix])
def test_the_apps_openapi_document_is_whole(aws: Settings, make: Callable[[], FastAPI]) -> None:
    """Every reference resolves, ids are unique, and secured operations name a known scheme."""
    document = make().openapi()
    OpenAPIV31SpecValidator(document).validate()
    components = document["components"]
    for reference in re.findall(r"'#/components/(\w+)/(\w+)'", str(document)):
        assert reference[1] in components[reference[0]], reference
    operations = [each for path in document["paths"].values() for each in path.values()]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    schemes = {name for each in operations for one in each.get("security", []) for name in one}
    assert schemes == {"ApiKey"} <= components["securitySchemes"].keys()


def root_path() -> Any:
    """Behind a proxy or a stage that cuts its part off the path: uvicorn --root-path /stage."""
    app = celeriac.http.create_app(catalogue=CATALOGUE)

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/stage"}, receive, send)

    return behind


@pytest.mark.parametrize(
    ("make", "asked", "seen"),
    [
        (lambda: celeriac.http.create_app(catalogue=CATALOGUE), "", ""),
        (mounted, "/background", "/background"),
        (root_path, "", "/stage"),
    ],
)
def test_docs_load_nothing_from_another_host(
    aws: Settings, make: Callable[[], FastAPI], asked: str, seen: str
) -> None:
    """/ leads to /docs; each file and the document that the page names are there, and are ours."""
    api = Api.of(make()).without_key()
    home = api.get(f"{asked}/")
    assert (home.status_code, home.headers["location"]) == (307, f"{seen}/docs")
    page = api.get(f"{asked}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self';" in page.headers["content-security-policy"]
    found = re.findall(r'(?:src|href|data-document)="([^"]+)"', page.text)
    assert len(found) == 5
    for link in found:
        if link == "data:,":
            continue
        url = urljoin(f"http://shop.test{seen}/docs", link)
        assert url.startswith(f"http://shop.test{seen}/")
        answer = api.get(asked + url.removeprefix(f"http://shop.test{seen}"))
        assert answer.status_code == 200, url
        kinds = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
        kind = kinds[url.rpartition(".")[2]]
        assert answer.headers["content-type"].partition(";")[0] == kind
        if kind != "application/json":
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "max-age" in answer.headers["cache-control"]
            same = api.get(
                asked + url.removeprefix(f"http://shop.test{seen}"),
                headers={"if-none-match": answer.headers["etag"]},
            )
            assert same.status_code == 304


def test_links_are_right_behind_a_proxy(aws: Settings) -> None:
    """With root_path, links begin with the part of the path that the proxy cut off."""
    answer = Api.of(root_path()).post("/tasks/greet", json={"name": "Ada"})
    assert answer.headers["location"].startswith("/stage/tasks/")


def test_router_leaves_the_front_page_and_docs_to_the_app(aws: Settings) -> None:
    """router() takes neither / nor /docs."""
    api = Api.of(included())
    assert api.get("/").status_code == 404
    assert "Shop" in api.get("/docs").text
