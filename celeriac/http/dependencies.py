"""What the routes take from the API: its settings, task types and Celery app, and a task's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from celeriac.app.factory import CeleriacApp
from celeriac.contract import Catalogue
from celeriac.errors import NotFoundError
from celeriac.records.identifiers import is_task_id
from celeriac.settings import Settings

#: Where a request's ASGI scope holds the dependencies.
SCOPE_KEY = "celeriac.dependencies"


@dataclass(frozen=True)
class Dependencies:
    """The parts that ``router`` was given, or has looked up."""

    settings: Settings
    catalogue: Catalogue
    celery: CeleriacApp


def dependencies_of(scope: Scope) -> Dependencies:
    """Those of the router that handles this request."""
    found: Dependencies = scope[SCOPE_KEY]
    return found


async def _dependencies(request: Request) -> Dependencies:
    return dependencies_of(request.scope)


async def _known_id(task_id: str) -> str:
    """Refuse a text that can't be an id: no task has it."""
    if not is_task_id(task_id):
        raise NotFoundError(task_id[:100])
    return task_id


TheDependencies = Annotated[Dependencies, Depends(_dependencies)]
TaskId = Annotated[str, Depends(_known_id)]
