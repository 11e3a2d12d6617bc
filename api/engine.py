"""What the routes act on: the settings, the catalogue and the Celery app of this API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from celeriac.app import CeleriacApp
from celeriac.settings import Settings
from tasks.contract import Catalogue


@dataclass(frozen=True)
class Engine:
    """The parts that ``create_app`` was given."""

    settings: Settings
    catalogue: Catalogue
    celery: CeleriacApp


async def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


TheEngine = Annotated[Engine, Depends(_engine)]
