"""The API: ``uvicorn api.app:app`` serves it, ``api.handler`` runs it in a Lambda."""

from __future__ import annotations

from fastapi import FastAPI

from api import error_handlers, openapi
from api.body_limit import BodyLimit
from api.engine import Engine
from api.routes import batch, files, health, problems, queues, results, submit, tasks
from api.routes import catalogue as catalogue_routes
from celeriac.app import celery_app, make_app
from celeriac.settings import Settings
from celeriac.settings import settings as process_settings
from tasks.contract import Catalogue
from tasks.contract import catalogue as process_catalogue


def create_app(settings: Settings | None = None, catalogue: Catalogue | None = None) -> FastAPI:
    """An API over these task types.

    Args:
        settings: those of the process, read from its environment, unless given. What talks to AWS
            (``celeriac.services``) always follows the process's.
        catalogue: the task types of the ``tasks`` package, unless given.
    """
    if settings is None and catalogue is None:
        engine = Engine(process_settings(), process_catalogue(), celery_app())
    else:
        settings = settings or process_settings()
        catalogue = process_catalogue() if catalogue is None else catalogue
        engine = Engine(settings, catalogue, make_app(settings, catalogue))
    app = FastAPI(
        title="Celeriac",
        summary="Background tasks over HTTPS.",
        description=openapi.DESCRIPTION,
        version=openapi.VERSION,
        redirect_slashes=False,
        redoc_url=None,
        separate_input_output_schemas=False,
        strict_content_type=False,
    )
    app.state.engine = engine
    app.add_middleware(BodyLimit, most=engine.settings.max_request_bytes)
    error_handlers.install(app)
    types = list(engine.catalogue.values())
    app.include_router(submit.router_of(types))
    app.include_router(batch.router_of(types))
    app.include_router(tasks.router)
    app.include_router(results.router)
    app.include_router(files.router)
    app.include_router(catalogue_routes.router)
    app.include_router(queues.router)
    app.include_router(health.router)
    app.include_router(problems.router)
    openapi.install(app)
    return app


app = create_app()
