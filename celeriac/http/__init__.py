"""The HTTP API, for an app of its own or for yours.

    app = celeriac.http.create_app()                 # a whole FastAPI app, also to mount
    app.include_router(celeriac.http.router())       # routes in your FastAPI app
    app.add_middleware(celeriac.http.WebPages)       # web pages may call such an app
    handler = celeriac.http.lambda_handler(app)      # what Lambda calls

The names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.http.app import create_app as create_app
    from celeriac.http.assembly import router as router
    from celeriac.http.function import lambda_handler as lambda_handler
    from celeriac.http.web_pages import WebPages as WebPages

__all__ = ["WebPages", "create_app", "lambda_handler", "router"]

_HOMES = {
    "WebPages": "celeriac.http.web_pages",
    "create_app": "celeriac.http.app",
    "lambda_handler": "celeriac.http.function",
    "router": "celeriac.http.assembly",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
