"""``create_app``: the API as a whole FastAPI app."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException
from starlette.responses import Response

from celeriac.contract import Catalogue
from celeriac.http import links, openapi, pages, web_pages
from celeriac.http.assembly import router
from celeriac.http.errors import internal
from celeriac.http.problems import Problem, ProblemType
from celeriac.http.route import method_not_allowed
from celeriac.settings import Settings
from celeriac.settings import settings as process_settings


def create_app(
    settings: Settings | None = None, catalogue: Catalogue | None = None, **options: Any
) -> FastAPI:
    """The API as an app of its own: serve it, or mount it in another.

    It has the routes of ``router``, answers unknown paths with a problem, and redirects ``/`` to
    ``/docs``. The documentation needs no file from another host. Web pages of the setting
    ``web_origins`` may call all of it. Routes that you add keep FastAPI's errors.

    Args:
        settings: as ``router`` takes them.
        catalogue: as ``router`` takes it.
        options: more arguments of ``FastAPI``, such as ``title`` or ``lifespan``. With
            ``openapi_url=None`` there is no documentation, and none with the setting ``docs`` off.

    Raises what ``router`` raises.
    """
    chosen = settings or process_settings()
    app = FastAPI(
        **{
            "title": "Celeriac",
            "summary": "Background tasks over HTTPS.",
            "description": openapi.DESCRIPTION,
            "version": openapi.VERSION,
            "redirect_slashes": False,
            "separate_input_output_schemas": False,
            "strict_content_type": False,
            **options,
            "docs_url": None,
            "redoc_url": None,
            **({} if chosen.docs else {"openapi_url": None}),
        }
    )
    app.include_router(router(settings, catalogue))
    app.add_exception_handler(HTTPException, _from_routing)
    app.add_exception_handler(Exception, _last_resort)
    openapi.install(app)
    pages.install(app)
    web_pages.install(app, chosen.web_origins)
    _make_routes(app)
    return app


def _make_routes(app: FastAPI) -> None:
    """Have FastAPI make the routes now: by default it makes them at the first requests.

    Threads that share the app would make them side by side, and pydantic's warnings, which
    FastAPI silences meanwhile, are silenced for a whole process.
    """
    nowhere = {"type": "http", "method": "GET", "path": "/no/such/path/here", "headers": []}
    for route in app.routes:
        route.matches(nowhere)


async def _from_routing(request: Request, error: Exception) -> Response:
    """Answer for a path that no route takes. An error of an added route stays as it is."""
    if not isinstance(error, HTTPException):
        raise error
    links.set_base(request.scope)
    if isinstance(error, Problem):
        return error.response()
    if "route" in request.scope and error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return await http_exception_handler(request, error)
    path = request.url.path
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            app: FastAPI = request.app
            see = f" See {links.at('/docs')}." if app.openapi_url else ""
            return Problem(ProblemType.NOT_FOUND, f"There is nothing at {path}.{see}").response()
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return method_not_allowed(request).response()
    return await http_exception_handler(request, error)


async def _last_resort(_: Request, error: Exception) -> Response:
    return internal(error).response()
