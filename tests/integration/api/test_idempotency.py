"""Idempotency-Key: one key, one task."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

import httpx
import pytest
from moto.core.botocore_stubber import BotocoreStubber

from celeriac.http.app import create_app
from tests.integration.api.conftest import Api, Worker, problem
from tests.integration.api.throwaway import CATALOGUE

KEY = {"Idempotency-Key": "order-17"}


def test_the_same_request_again_is_the_same_task(api: Api) -> None:
    """A repeated request, however its JSON is written, gives the first answer again and says so."""
    first = api.post("/tasks/greet", json={"name": "Ada"}, headers=KEY)
    again = api.post("/tasks/greet", content=b' { "name" : "\\u0041da" }', headers=KEY)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(api.get("/tasks").json()["data"]) == 1


def test_another_body_under_the_key_is_refused(api: Api) -> None:
    """A key stands for one request: other content is a 422, and the first task stays."""
    api.post("/tasks/greet", json={"name": "Ada"}, headers=KEY)
    answer = api.post("/tasks/greet", json={"name": "Eve"}, headers=KEY)
    problem(answer, 422, "idempotency-conflict")
    answer = api.post("/tasks/greet?tag=x", json={"name": "Ada"}, headers=KEY)
    problem(answer, 422, "idempotency-conflict")
    assert len(api.get("/tasks").json()["data"]) == 1


def test_keys_of_other_types_and_tenants_are_other_keys(api: Api) -> None:
    """What a key stands for is told apart by task type and tenant."""
    other = Api.of(api.app)
    ids = {
        answer.json()["task_id"]
        for answer in (
            api.post("/tasks/greet", json={"name": "Ada"}, headers=KEY),
            api.post("/tasks/keep", json={}, headers=KEY),
            other.post("/tasks/greet", json={"name": "Ada"}, headers=KEY),
        )
    }
    assert len(ids) == 3


def test_a_replay_after_the_end_shows_the_end(api: Api, worker: Worker) -> None:
    """The task is the same; its status and result are as they are now."""
    task_id = api.submit(headers=KEY)
    worker.succeed(task_id, {"text": "Hello Ada!"})
    again = api.post("/tasks/greet", json={"name": "Ada"}, headers=KEY).json()
    assert (again["task_id"], again["status"]) == (task_id, "SUCCESS")
    assert again["result"] == {"text": "Hello Ada!"}


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of DynamoDB is atomic; moto's are not where threads meet, unless locked."""
    lock = Lock()
    process = BotocoreStubber.process_request

    def locked(self: BotocoreStubber, request: Any) -> Any:
        with lock:
            return process(self, request)

    monkeypatch.setattr(BotocoreStubber, "process_request", locked)


def test_simultaneous_requests_with_one_key_make_one_task(api: Api, atomic_requests: None) -> None:
    """Of many requests at once, on several processes' worth of apps, exactly one is the first."""
    apps = [api.on(create_app(catalogue=CATALOGUE)) for _ in range(2)]
    many = 12
    together = Barrier(many)

    def submit(number: int) -> httpx.Response:
        together.wait()
        return apps[number % 2].post("/tasks/greet", json={"name": "Ada"}, headers=KEY)

    with ThreadPoolExecutor(many) as pool:
        answers = list(pool.map(submit, range(many)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    replayed = [answer for answer in answers if "idempotent-replayed" in answer.headers]
    assert len(replayed) == many - 1
    assert len(api.get("/tasks").json()["data"]) == 1
