"""AWS is down: 503 with Retry-After, and nothing half-accepted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from celeriac.http.app import create_app
from celeriac.storage import services
from tests.integration.api.conftest import Api, forget_clients, problem
from tests.integration.api.throwaway import CATALOGUE


class Outage:
    """Takes services of AWS down: nothing listens where they were."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self._api = api
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def of(self, service: str, endpoint: str = "http://127.0.0.1:9") -> Api:
        """A new process's API, to which the service is down."""
        self._monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", endpoint)
        return self.new_process()

    def over(self, service: str) -> Api:
        """A new process's API, to which the service is back."""
        self._monkeypatch.delenv(f"AWS_ENDPOINT_URL_{service}")
        return self.new_process()

    def new_process(self) -> Api:
        forget_clients()
        return self._api.on(create_app(catalogue=CATALOGUE))


@pytest.fixture
def outage(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    yield Outage(api, monkeypatch)
    forget_clients()


def assert_unavailable(answer: httpx.Response) -> None:
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1" not in answer.text


def test_without_sqs_no_task_is_accepted(outage: Outage) -> None:
    """A message that can't be sent takes the record with it; the same request works later."""
    key = {"Idempotency-Key": "k"}
    down = outage.of("SQS")
    assert_unavailable(down.post("/tasks/greet", json={"name": "Ada"}, headers=key))
    up = outage.over("SQS")
    assert up.get("/tasks").json()["data"] == []
    answer = up.post("/tasks/greet", json={"name": "Ada"}, headers=key)
    assert answer.status_code == 202
    assert "idempotent-replayed" not in answer.headers


def test_an_sqs_that_never_answers_is_given_up_in_time(
    outage: Outage, silent_endpoint: str
) -> None:
    """The record is taken back, and 503 said, before API Gateway gives up after 30 s."""
    down = outage.of("SQS", silent_endpoint)
    begun = time.monotonic()
    assert_unavailable(down.post("/tasks/greet", json={"name": "Ada"}))
    assert time.monotonic() - begun < 25
    assert down.get("/tasks").json()["data"] == []


def test_without_dynamodb_nobody_is_known(outage: Outage) -> None:
    """Even the key can't be looked up: that is 503, not 401."""
    down = outage.of("DYNAMODB")
    for method, path in (("POST", "/tasks/greet"), ("GET", "/tasks"), ("DELETE", "/tasks/t-1")):
        assert_unavailable(down(method, path, json={"name": "Ada"}))


def test_without_dynamodb_a_known_caller_is_told_so(
    outage: Outage,
) -> None:
    """With the key in the cache, each use of the records answers 503 on its own."""
    up = outage.new_process()
    task_id = up.submit()
    keys = services.services().keys
    down = outage.of("DYNAMODB")
    services.services().keys = keys
    for method, path in (
        ("POST", "/tasks/greet"),
        ("GET", "/tasks"),
        ("GET", f"/tasks/{task_id}"),
        ("GET", f"/tasks/{task_id}/result"),
        ("DELETE", f"/tasks/{task_id}"),
        ("POST", f"/tasks/{task_id}/retry"),
        # It says of each type whether it is paused.
        ("GET", "/catalogue"),
    ):
        assert_unavailable(down(method, path, json={"name": "Ada"} if method == "POST" else None))
    assert up.get("/openapi.json").status_code == 200


def test_without_s3_no_large_task_is_accepted(outage: Outage) -> None:
    """A payload that can't be kept is not accepted, and files answer 503 as well."""
    down = outage.of("S3")
    assert_unavailable(down.post("/tasks/keep", json={"value": "x" * 100_000}))
    assert_unavailable(down.get("/files/files/0-1/a"))
    assert down.get("/tasks").json()["data"] == []
    assert down.post("/tasks/greet", json={"name": "Ada"}).status_code == 202
