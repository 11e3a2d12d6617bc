"""What tests of /schedules share: make one, fire it as EventBridge does, see what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI

from celeriac.app.factory import CeleriacApp, make_app
from celeriac.operations import firings
from celeriac.settings import settings
from celeriac.storage.services import services
from tests.integration.api.conftest import Api
from tests.integration.api.throwaway import CATALOGUE

DAILY: dict[str, Any] = {"type": "greet", "payload": {"name": "Ada"}, "cron": "0 6 * * *"}
#: A time to come, whenever the tests run.
NOON = datetime(2090, 1, 31, 12, 0, tzinfo=UTC)


def create(api: Api, **changes: Any) -> dict[str, Any]:
    """A new schedule."""
    answer = api.post("/schedules", json=DAILY | changes)
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    assert answer.headers["location"] == view["links"]["self"]
    return view


def on_aws(schedule_id: str) -> dict[str, Any] | None:
    """EventBridge Scheduler's copy."""
    client = services().scheduler
    try:
        return dict(
            client.get_schedule(GroupName=services().settings.schedule_group, Name=schedule_id)
        )
    except client.exceptions.ResourceNotFoundException:
        return None


def fire(api: Api, view: dict[str, Any], at: datetime = NOON, execution: str = "e-1") -> None:
    """Call the target as EventBridge does."""
    firings.fire(f"{api.tenant}/{view['schedule_id']}", at, execution)


def history(api: Api, view: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(view["links"]["history"]).json()["data"]
    return found


def tasks(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/tasks").json()["data"]
    return found


def own_app() -> CeleriacApp:
    """An app with the API's task types."""
    return make_app(settings(), CATALOGUE)


@pytest.fixture(autouse=True)
def same_types(monkeypatch: pytest.MonkeyPatch, app: FastAPI) -> None:
    """EventBridge's calls find the types that the API has."""
    own = own_app()
    monkeypatch.setattr("celeriac.operations.firings.celery_app", lambda: own)
