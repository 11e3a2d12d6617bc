"""``WebPages``: let the pages of some origins call an app from a browser (CORS).

On AWS, API Gateway answers with the same headers, and drops the app's. No header is there twice.
docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from celeriac.origins import METHODS, PREFLIGHT_KEPT, REQUEST_HEADERS, RESPONSE_HEADERS
from celeriac.settings import settings


class WebPages(CORSMiddleware):
    """ASGI middleware: ``app.add_middleware(WebPages)`` in an app that includes ``router()``.

    ``origins`` are those of the setting ``web_origins`` unless given. ``create_app`` needs no such
    call. No cookie is sent or read: a page sends a key or token of its own.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str] | None = None) -> None:
        super().__init__(
            app,
            allow_origins=settings().web_origins if origins is None else origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
            max_age=PREFLIGHT_KEPT // timedelta(seconds=1),
        )


def install(app: FastAPI, origins: Collection[str]) -> None:
    """Put ``WebPages`` around all of an app.

    Starlette answers an error that nobody handled outside of every middleware that is added. A page
    could not read that answer.
    """
    if not origins:
        return
    build: Callable[[], ASGIApp] = app.build_middleware_stack

    def stack() -> ASGIApp:
        return WebPages(build(), origins)

    app.build_middleware_stack = stack  # type: ignore[method-assign] # it takes no wrapper
