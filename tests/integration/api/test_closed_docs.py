"""An API without documentation: a caller without a key doesn't learn which task types there are."""

from __future__ import annotations

import pytest

from celeriac.http.app import create_app
from celeriac.settings import Settings
from tests.integration.api.conftest import Api, problem
from tests.integration.api.throwaway import CATALOGUE


@pytest.fixture
def closed(aws: Settings) -> Api:
    """A caller of an API whose setting ``docs`` is off."""
    return Api.of(create_app(aws.model_copy(update={"docs": False}), CATALOGUE))


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/docs/", "/docs/files/start.js", "/openapi.json", "/redoc", "/docs/oauth2"],
)
def test_no_documentation_is_there(closed: Api, path: str) -> None:
    """With a key or without: a path like any that leads nowhere, and no link to a page."""
    for caller in (closed, closed.without_key()):
        answer = caller.get(path)
        document = problem(answer, 404, "not-found")
        assert "See /docs" not in document["detail"]
        assert "greet" not in answer.text


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/tasks/{}", "/tasks/{}/batch", "/tasks/{}/result"])
def test_a_stranger_cannot_tell_a_task_type_from_a_guess(
    closed: Api, method: str, path: str
) -> None:
    """Whatever is asked of it, its answer is that of a type that doesn't exist."""
    stranger = closed.without_key()
    real, guess = (stranger(method, path.format(name)) for name in ("greet", "guess"))

    assert real.status_code == guess.status_code
    assert dict(real.headers) == dict(guess.headers)
    assert real.text.replace("greet", "guess") == guess.text


def test_what_a_key_opens_is_there_as_ever(closed: Api) -> None:
    """A caller with a key has the catalogue, with the schema of each type."""
    assert closed.submit()
    listed = closed.get("/catalogue").json()["data"]
    assert {each["name"] for each in listed} == {"greet", "keep"}
    assert all(each["payload_schema"] for each in listed)
    problem(closed.without_key().get("/catalogue"), 401, "unauthorized")


def test_the_documentation_is_there_unless_it_is_turned_off(api: Api) -> None:
    """The default: a page, its document, and the way there."""
    assert api.get("/docs").status_code == api.get("/openapi.json").status_code == 200
    assert api.get("/").headers["location"] == "/docs"
    assert "See /docs." in problem(api.get("/nowhere"), 404, "not-found")["detail"]


def test_the_variable_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """``CELERIAC_DOCS=false``, and another process reads what this one passes on."""
    monkeypatch.setenv("CELERIAC_DOCS", "false")
    assert Settings().docs is False
    assert Settings().to_environment()["CELERIAC_DOCS"] == "false"
