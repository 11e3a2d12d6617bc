"""Routes that need an API key, or a token: the caller is known before the body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api import json_body
from api.auth import identify
from api.problems import Problem, ProblemType


class JsonRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        try:
            return json_body.loads(await self.body())
        except json_body.MalformedJsonError as error:
            raise Problem(
                ProblemType.MALFORMED_JSON, f"The body can't be read as JSON. {error}"
            ) from None


class KeyedRoute(APIRoute):
    """Knows the caller first, then checks that a body is JSON, then does what FastAPI does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def keyed(request: Request) -> Response:
            request.state.caller = await identify(request)
            request = JsonRequest(request.scope, request.receive)
            if takes_body and not _is_json(request) and await request.body():
                raise Problem(
                    ProblemType.UNSUPPORTED_MEDIA_TYPE,
                    "The body must be JSON: send the header Content-Type: application/json.",
                    headers={"Accept": "application/json"},
                )
            return await handle(request)

        return keyed


def _is_json(request: Request) -> bool:
    """Whether the body is said to be JSON, or nothing is said of it."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    kind = kind.strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
