"""The API: ``uvicorn api.app:app`` serves it, and ``api.handler`` runs it in a Lambda."""

from __future__ import annotations

from celeriac.http import create_app

# A FastAPI app with Celeriac's routes, /docs, and problems for unknown paths.
# Add routes of your own below, with @app.get("/hello") for example. They keep FastAPI's errors.
app = create_app()
