"""Who may do what."""

from __future__ import annotations

import pytest

from celeriac.storage.keys import Scope
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem

NEEDS = [
    ("POST", "/tasks/greet", Scope.SUBMIT),
    ("POST", "/tasks/nope", Scope.SUBMIT),
    ("POST", "/tasks/t-1/retry", Scope.SUBMIT),
    ("POST", "/files", Scope.SUBMIT),
    ("GET", "/tasks", Scope.READ),
    ("GET", "/tasks/t-1", Scope.READ),
    ("GET", "/tasks/t-1/result", Scope.READ),
    ("GET", "/files/files/1/a", Scope.READ),
    ("GET", "/catalogue", Scope.READ),
    ("DELETE", "/tasks/t-1", Scope.CANCEL),
]


@pytest.mark.parametrize(("method", "path", "scope"), NEEDS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer cel_wrong", "Bearer é\x00"],
)
def test_without_a_valid_key_nothing_is_told(
    api: Api, method: str, path: str, scope: Scope, authorization: str | None
) -> None:
    """401 with WWW-Authenticate, before the body is even looked at."""
    stranger = api.without_key()
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    answer = stranger(method, path, headers=headers, content=b"{ not json")
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert ("invalid_token" in answer.headers["www-authenticate"]) == (
        authorization in {"Bearer cel_wrong", "Bearer é\x00"}
    )


@pytest.mark.parametrize(("method", "path", "scope"), NEEDS)
def test_a_missing_scope_is_named(api: Api, method: str, path: str, scope: Scope) -> None:
    """403 names the scope that the key lacks, even if it has all others."""
    others = [each for each in Scope if each not in {scope, Scope.ADMIN}]
    answer = Api.of(api.app, scopes=others)(method, path)
    document = problem(answer, 403, "missing-scope")
    assert document["scope"] == scope
    assert scope in document["detail"]
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("method", "path", "scope"), NEEDS)
def test_the_scope_is_enough(api: Api, method: str, path: str, scope: Scope) -> None:
    """With just the scope it needs, each request gets past the door."""
    assert Api.of(api.app, scopes=[scope])(method, path).status_code not in {401, 403}


def test_a_revoked_key_stops_working(api: Api) -> None:
    """A revoked key is no key."""
    key = services().keys.register("cel_x", name="x", tenant=api.tenant, scopes=[Scope.READ])
    caller = Api(api.app, api.tenant, "cel_x")
    assert caller.get("/tasks").status_code == 200
    services().keys.revoke(key.id)
    problem(caller.get("/tasks"), 401, "unauthorized")


@pytest.mark.parametrize(
    "path", ["/health", "/health/ready", "/problems", "/problems/invalid", "/openapi.json", "/docs"]
)
def test_what_tells_no_secrets_needs_no_key(api: Api, path: str) -> None:
    """Health, problem types and documentation are open."""
    assert api.without_key().get(path).status_code == 200
