"""The routes of the API: each brings its errors, its body limit and its authentication with it.

An ``APIRouter`` can't add exception handlers or middleware to the app that includes it. A route
class can do their work for its own routes, and so leaves the app's other routes as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from celeriac.http import json_body, links
from celeriac.http.auth import identify
from celeriac.http.body_limit import BodyLimit
from celeriac.http.dependencies import dependencies_of
from celeriac.http.errors import internal, known_problem
from celeriac.http.problems import Problem, ProblemType
from celeriac.origins import METHODS

#: Bodies up to this many bytes are read on the event loop, within a millisecond.
_SMALL = 16 * 1024

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenRoute(APIRoute):
    """A route that needs no key. It answers every error with a problem."""

    #: Unless an answer says another: a cache asks again.
    cache_control = "no-cache"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As FastAPI's, with HEAD wherever there is GET (RFC 9110, section 9.1)."""
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Learn where the API is, and refuse a wrong method and a large body."""
        links.set_base(scope, self.path_format.format(**scope["path_params"]))
        head = scope["method"] == "HEAD"
        if head:
            scope["method"] = "GET"
        most = dependencies_of(scope).settings.max_request_bytes
        await BodyLimit(self._answer, most)(scope, receive, self._with_headers(send, head))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await method_not_allowed(Request(scope)).response()(scope, receive, send)
            return
        await super().handle(scope, receive, send)

    def _with_headers(self, send: Send, head: bool) -> Send:
        """Add what every answer says; leave the body of an answer to HEAD out."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", self.cache_control)
            elif head:
                message = {**message, "body": b""}
            await send(message)

        return answer

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, with problems for what it raises."""
        handle = self.handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:  # The last resort: any other error is an internal one.
                problem = known_problem(error)
                if problem is None and _handled_by_app(request, error):
                    raise
                return (problem or internal(error)).response()

        return answered

    def handler(self) -> Handler:
        """FastAPI's handler."""
        return super().get_route_handler()


class KeyedRoute(OpenRoute):
    """A route that needs an API key or a token.

    It identifies the caller before it reads the body, and takes only JSON as a body.
    """

    cache_control = "no-store"

    def handler(self) -> Handler:
        """FastAPI's handler, for a known caller and strict JSON."""
        handle = super().handler()
        takes_body = self.body_field is not None

        async def keyed(request: Request) -> Response:
            request.state.caller = await identify(request)
            request = JsonRequest(request.scope, request.receive)
            if takes_body:
                await _read_body(request)
            return await handle(request)

        return keyed


class JsonRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """The body. Raises ``Problem`` (400) unless it is one I-JSON document."""
        body = await self.body()
        try:
            # A small body takes less time than a thread does.
            if len(body) <= _SMALL:
                return json_body.loads(body)
            return await run_in_threadpool(json_body.loads, body)
        except json_body.MalformedJsonError as error:
            raise Problem(
                ProblemType.MALFORMED_JSON, f"The body can't be read as JSON. {error}"
            ) from None


def open_router(tag: str) -> APIRouter:
    """A router for routes that need no key."""
    return APIRouter(route_class=OpenRoute, tags=[tag], strict_content_type=False)


def keyed_router(tag: str) -> APIRouter:
    """A router for routes that need a key or a token."""
    return APIRouter(route_class=KeyedRoute, tags=[tag], strict_content_type=False)


def method_not_allowed(request: Request) -> Problem:
    """The problem of a path that some route takes, but with another method."""
    # Starlette names the methods of the first route only.
    app: FastAPI = request.app
    allowed = ", ".join(
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    )
    return Problem(
        ProblemType.METHOD_NOT_ALLOWED,
        f"{request.url.path} takes {allowed}, not {request.method}.",
        headers={"Allow": allowed},
    )


async def _read_body(request: Request) -> None:
    """Read the body, so that FastAPI finds it read. Raises ``Problem`` (400, 413, 415)."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise Problem(ProblemType.BAD_REQUEST, "The request could not be read.") from None
    except HTTPException as error:
        if isinstance(error, Problem) or error.status_code != ProblemType.TOO_LARGE.status:
            raise
        # The app that includes these routes has a lower limit of its own.
        raise Problem(ProblemType.TOO_LARGE) from None
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise Problem(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "The body must not be compressed: send it without the header Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )
    if body and not _is_json(request):
        raise Problem(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON: send the header Content-Type: application/json.",
            headers={"Accept": "application/json"},
        )


def _is_json(request: Request) -> bool:
    """Whether the Content-Type is JSON, or missing."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    kind = kind.strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _handled_by_app(request: Request, error: Exception) -> bool:
    """Whether the app has a handler for this kind of error: a dependency of the app raised it."""
    app: FastAPI = request.app
    kinds = type(error).__mro__
    return any(kind in app.exception_handlers for kind in kinds[: kinds.index(Exception)])
