"""The same app under uvicorn: what only a real server and real sockets show."""

from __future__ import annotations

import http.client
import socket
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


@pytest.mark.parametrize(
    ("authorized", "announced", "status"),
    [(True, True, 413), (True, False, 413), (False, True, 413), (False, False, 401)],
)
def test_a_client_that_still_sends_gets_its_answer(
    url: str, api: Api, authorized: bool, announced: bool, status: int
) -> None:
    """A refused body is read before the answer: no reset takes the answer away."""
    host, _, port = url.removeprefix("http://").partition(":")
    piece = b"x" * 2**16
    pieces = 16 * 16
    head = "POST /tasks/keep HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n"
    if authorized:
        head += f"Authorization: Bearer {api.key}\r\n"
    length = f"Content-Length: {len(piece) * pieces}"
    head += f"{length if announced else 'Transfer-Encoding: chunked'}\r\n\r\n"
    chunk = piece if announced else f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(head.encode())
        for _ in range(pieces):
            connection.sendall(chunk)
        if not announced:
            connection.sendall(b"0\r\n\r\n")
        assert connection.recv(2**16).startswith(f"HTTP/1.1 {status} ".encode())
