"""``router``: the API's routes, for a FastAPI app of your own."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.types import Receive, Scope, Send

from celeriac.app.factory import celery_app, make_app
from celeriac.contract import Catalogue
from celeriac.contract import catalogue as process_catalogue
from celeriac.http.dependencies import SCOPE_KEY, Dependencies
from celeriac.http.routes import (
    batch,
    files,
    health,
    problems,
    queues,
    results,
    schedule_runs,
    schedules,
    submit,
    tasks,
)
from celeriac.http.routes import catalogue as catalogue_routes
from celeriac.settings import Settings
from celeriac.settings import settings as process_settings


class CeleriacRouter(APIRouter):
    """A router that hands its dependencies to its routes."""

    def __init__(self, dependencies: Dependencies) -> None:
        super().__init__()
        self._dependencies = dependencies

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that one of the routes takes. FastAPI calls this."""
        scope[SCOPE_KEY] = self._dependencies
        await super().handle(scope, receive, send)


def router(
    settings: Settings | None = None, catalogue: Catalogue | None = None, *, prefix: str = ""
) -> APIRouter:
    """The routes of the API: ``app.include_router(celeriac.http.router())``.

    They answer every error of theirs with a problem (RFC 9457). The app's own routes keep
    FastAPI's errors. A path that no route takes belongs to the app. FastAPI takes the first route
    that matches: include this router after your own routes.

    Settings, task types and Celery app are looked up now, not when the module is imported.

    Args:
        settings: limits and names that the routes and the Celery app use. Default: the settings
            of the process, from its environment. The AWS clients are shared by the whole process
            and always use those.
        catalogue: the task types to serve. Default: those of the project's ``tasks`` package.
        prefix: a path before each route, such as ``/background``. It adds to the prefix of
            ``include_router``.

    Raises ``DeclarationError`` for a mistake in a task file, and pydantic's ``ValidationError``
    or ``PlaceholderError`` for wrong settings.
    """
    if settings is None and catalogue is None:
        # The project's own Celery app may have more queues than its task files name.
        celery = celery_app()
        found = Dependencies(celery.settings, celery.catalogue, celery)
    else:
        settings = settings or process_settings()
        catalogue = process_catalogue() if catalogue is None else catalogue
        found = Dependencies(settings, catalogue, make_app(settings, catalogue))
    types = list(found.catalogue.values())
    whole = CeleriacRouter(found)
    for part in (
        submit.router_of(types),
        batch.router_of(types),
        tasks.router,
        results.router,
        files.router,
        catalogue_routes.router,
        queues.router,
        schedules.router,
        schedule_runs.router,
        health.router,
        problems.router,
    ):
        whole.include_router(part, prefix=prefix)
    return whole
