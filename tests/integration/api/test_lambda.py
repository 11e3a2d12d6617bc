"""The same app behind an API Gateway HTTP API (payload format 2.0), through Mangum."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from celeriac.http import lambda_handler
from celeriac.settings import Settings
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, Worker

EVENTS = Path(__file__).parent / "events"

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def invoke(app: FastAPI, api: Api, loop: None) -> Invoke:
    """Call the Lambda with an event from a file, as API Gateway would."""
    own = lambda_handler(app)

    def call(event: str, task_id: str = "", **headers: str) -> dict[str, Any]:
        text = (EVENTS / f"{event}.json").read_text("utf-8").replace("TASK_ID", task_id)
        document = json.loads(text)
        document["headers"] |= {"authorization": f"Bearer {api.key}"} | headers
        answer: dict[str, Any] = own(document, None)
        return answer

    return call


def body(answer: dict[str, Any]) -> Any:
    assert answer["isBase64Encoded"] is False
    return json.loads(answer["body"])


def test_a_task_lives_through_the_lambda(invoke: Invoke, worker: Worker) -> None:
    """Submit, look, list, fetch the result: each event gets its answer."""
    answer = invoke("submit")
    task = body(answer)
    assert answer["statusCode"] == 202
    assert answer["headers"]["location"] == f"/tasks/{task['task_id']}"
    assert task["tags"] == ["a", "b"]
    assert invoke("submit")["headers"]["idempotent-replayed"] == "true"

    listed = invoke("list")
    assert [each["task_id"] for each in body(listed)["data"]] == [task["task_id"]]
    assert 'rel="next"' in listed["headers"]["link"]

    assert invoke("result", task["task_id"])["statusCode"] == 409
    worker.succeed(task["task_id"], {"text": "Hello Ada!"})
    answer = invoke("get", task["task_id"])
    assert (answer["statusCode"], body(answer)["status"]) == (200, "SUCCESS")
    assert body(invoke("result", task["task_id"])) == {"result": {"text": "Hello Ada!"}}
    assert invoke("cancel", task["task_id"])["statusCode"] == 409


def test_a_body_may_come_as_base64(invoke: Invoke) -> None:
    """API Gateway encodes what it takes for binary; other scripts come through."""
    assert invoke("submit-base64")["statusCode"] == 202


def test_a_long_poll_waits_in_a_lambda(invoke: Invoke) -> None:
    """The wait is spent inside one invocation, and an unchanged task is a 304 without a body."""
    task_id = body(invoke("submit"))["task_id"]
    begun = time.monotonic()
    answer = invoke("get", task_id, **{"if-none-match": '"1"'})
    assert time.monotonic() - begun >= 1
    assert answer["statusCode"] == 304
    assert answer["body"] == ""


@pytest.mark.parametrize(
    ("event", "status", "slug"),
    [
        ("submit-wrong", 422, "invalid"),
        ("submit-malformed", 400, "malformed-json"),
        ("unknown-path", 404, "not-found"),
        ("wrong-method", 405, "method-not-allowed"),
        ("file", 404, "file-not-found"),
    ],
)
def test_problems_are_text(invoke: Invoke, event: str, status: int, slug: str) -> None:
    """Problem documents pass API Gateway as JSON text, never as base64."""
    answer = invoke(event)
    assert answer["statusCode"] == status
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert body(answer)["type"] == f"/problems/{slug}"


def test_a_missing_key_is_a_401(invoke: Invoke) -> None:
    """Authentication is the app's own, not API Gateway's."""
    assert invoke("list", authorization="Bearer cel_no")["statusCode"] == 401


def test_an_artifact_is_a_redirect(invoke: Invoke, api: Api) -> None:
    """The bytes never pass through the Lambda, whose answers have 6 MB at most."""
    services().artifacts.put(api.tenant, "tasks/0-1/1/a b.png", b"png", content_type="image/png")
    answer = invoke("file")
    assert answer["statusCode"] == 303
    assert answer["headers"]["location"].startswith("https://")
    assert answer["body"] == ""


def test_the_real_handler_answers(aws: Settings, loop: None) -> None:
    """``api.handler.handler``, as AWS calls it."""
    from api.handler import handler

    event = json.loads((EVENTS / "health.json").read_text("utf-8"))
    answer = handler(event, None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"status": "ok"})
