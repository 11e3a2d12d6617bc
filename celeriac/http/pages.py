"""``/docs``: Swagger UI, served from this package, and ``/``, which leads there.

The files in ``swagger_ui/`` are those of swagger-ui-dist 5.35.0 (Apache-2.0). ``start.js`` is ours.
All addresses in the page are relative, so they hold under any mount or stage.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

_FILES = Path(__file__).with_name("swagger_ui")

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/files/swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-document="{document}"></div>
<script src="docs/files/swagger-ui-bundle.js"></script>
<script src="docs/files/start.js"></script>
</body>
</html>
"""

_NOSNIFF = {"X-Content-Type-Options": "nosniff"}

# Swagger UI sets style attributes, and shows images that it carries as data.
_PAGE_HEADERS = {
    **_NOSNIFF,
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

# A browser may keep them for a day, and then asks with their ETag.
_FILE_HEADERS = {**_NOSNIFF, "Cache-Control": "public, max-age=86400"}


def install(app: FastAPI) -> None:
    """Add ``/docs`` and ``/`` to an app that serves its OpenAPI document."""
    openapi_url = app.openapi_url
    if openapi_url is None:
        return
    page = _PAGE.format(title=escape(app.title), document=escape(openapi_url.lstrip("/")))

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    # Not a mount: Starlette's mounts don't find a file if a proxy has cut root_path off the path.
    files = StaticFiles(directory=_FILES)

    async def file(request: Request) -> Response:
        response = await files.get_response(request.path_params["name"], request.scope)
        response.headers.update(_FILE_HEADERS)
        return response

    async def home(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{root}/docs", status_code=307)

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/files/{name}", file, include_in_schema=False)
    app.add_route("/", home, include_in_schema=False)
