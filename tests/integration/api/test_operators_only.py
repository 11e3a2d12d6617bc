"""What maintains the whole deployment is nobody's to submit but its operators'."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from celeriac.http.app import create_app
from celeriac.storage.keys import Scope
from tests.integration.api.conftest import Api, Worker, problem


@pytest.fixture(scope="module")
def built_in(app: FastAPI) -> FastAPI:
    return create_app()


@pytest.mark.parametrize("path", ["/tasks/cleanup", "/tasks/cleanup/batch"])
def test_submitting_needs_admin(built_in: FastAPI, path: str) -> None:
    """A key that may submit anything else is a 403, whatever its tenant."""
    caller = Api.of(built_in, scopes=set(Scope) - {Scope.ADMIN})
    body: dict[str, object] = {"items": [{"payload": {}}]} if path.endswith("batch") else {}
    answer = caller.post(path, json=body)
    assert problem(answer, 403, "missing-scope")["scope"] == "admin"
    assert Api.of(built_in).post(path, json=body).is_success


def test_retrying_needs_admin(built_in: FastAPI, worker: Worker) -> None:
    """An operator's task that a tenant's key can see can't be repeated with it."""
    operator = Api.of(built_in)
    task_id = operator.post("/tasks/cleanup", json={}).json()["task_id"]
    worker.fail(task_id, "no", "no")
    tenants = Api.of(built_in, operator.tenant, set(Scope) - {Scope.ADMIN})
    problem(tenants.post(f"/tasks/{task_id}/retry"), 403, "missing-scope")
    assert operator.post(f"/tasks/{task_id}/retry").status_code == 202


@pytest.mark.parametrize("payload", [{"lookback": "PT2H"}, {"grace": "P2D"}, {"grace": "-PT1S"}])
def test_its_work_is_bounded(built_in: FastAPI, payload: dict[str, object]) -> None:
    """Nobody has it look at years."""
    problem(Api.of(built_in).post("/tasks/cleanup", json=payload), 422, "invalid")
