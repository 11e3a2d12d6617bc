"""The same app under uvicorn: what only a real server and real sockets show."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.integration.api.conftest import Api, problem
from tests.integration.processes import wait_for


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """Where the app is served."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, "uvicorn to start")
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(url: str, api: Api) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {api.key}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        yield client


def test_a_task_can_be_submitted_and_followed(client: httpx.Client) -> None:
    """Over a socket: 202, then a long poll that ends in time."""
    answer = client.post("/tasks/greet", json={"name": "Ада"})
    assert answer.status_code == 202
    task = client.get(f"{answer.headers['location']}?wait=1")
    assert task.json()["status"] == "PENDING"


def test_a_chunked_body_over_the_limit_is_a_413(client: httpx.Client) -> None:
    """The server cuts off a body without a length, and says why."""
    pieces = (b"x" * 2**20 for _ in range(5))
    problem(client.post("/tasks/keep", content=pieces), 413, "too-large")


def test_odd_bytes_in_a_path_are_a_404(url: str, api: Api) -> None:
    """What a socket may carry and no client library would send."""
    host = url.removeprefix("http://")
    for path in ("/tasks/%ff%fe", "/tasks/%00", "/files/%2e%2e/%2e%2e", "//tasks", "/tasks/%ZZ"):
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", path, headers={"Authorization": f"Bearer {api.key}"})
        answer = connection.getresponse()
        assert answer.status == 404
        assert answer.headers["content-type"] == "application/problem+json"
        connection.close()
