"""Calls of SQS on kombu's event loop: what they leave there, and when they are given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import boto3
import pytest
from kombu.asynchronous import Hub

from celeriac.transport import requests
from celeriac.transport.requests import Answer, SqsRequests, curl_of

# Of pycurl, for how kombu calls it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(IOCTLFUNCTION|socket_all) is deprecated:DeprecationWarning"
)


class Queue:
    """An SQS that answers at once, unless it is told to be ``silent``."""

    def __init__(self) -> None:
        self.speaks = threading.Event()
        self.speaks.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:  # noqa: N805 - self is the queue
                handler.rfile.read(int(handler.headers["Content-Length"]))
                self.speaks.wait(60)
                handler.send_response(200)
                handler.send_header("Content-Length", "2")
                handler.end_headers()
                handler.wfile.write(b"{}")

            def log_message(handler, format: str, *args: object) -> None:  # noqa: N805
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True


@pytest.fixture
def queue() -> Iterator[Queue]:
    queue = Queue()
    thread = threading.Thread(target=queue.server.serve_forever)
    thread.start()
    yield queue
    queue.speaks.set()
    queue.server.shutdown()
    thread.join()
    queue.server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def sqs(queue: Queue, hub: Hub) -> SqsRequests:
    client = boto3.client(
        "sqs",
        endpoint_url=f"http://127.0.0.1:{queue.server.server_port}",
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    )
    return SqsRequests(client, hub)


def turn_until(hub: Hub, condition: Callable[[], object]) -> None:
    loop = hub.create_loop()
    give_up_at = monotonic() + 60
    while not condition():
        assert monotonic() < give_up_at, "it didn't come to that"
        next(loop)


def answer_to_one(hub: Hub, sqs: SqsRequests) -> Answer:
    answers: list[Answer] = []
    sqs.call("DeleteMessageBatch", {"QueueUrl": "q"}, answers.append)
    turn_until(hub, lambda: answers)
    return answers[0]


def pending(hub: Hub) -> list[float]:
    """In how many seconds each of the loop's timers is due."""
    return [due - monotonic() for due, _, entry in hub.timer._queue if not entry.canceled]


def test_calls_leave_no_timers_with_the_event_loop(hub: Hub, sqs: SqsRequests) -> None:
    """However many there were, curl has one; and what it asks for is milliseconds away."""
    assert all(answer_to_one(hub, sqs).ok for _ in range(30))
    # The other is the check each second.
    assert len(pending(hub)) <= 2
    assert max(due for due, _, _ in hub.timer._queue) - monotonic() < 5


def test_a_call_that_is_never_answered_is_given_up_in_time(
    queue: Queue, hub: Hub, sqs: SqsRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are answered, and have curl set its timer again."""
    monkeypatch.setattr(requests, "ANSWER_TIMEOUT", timedelta(seconds=0.3))
    queue.speaks.clear()
    answers: list[Answer] = []
    began_at = monotonic()

    sqs.call("ReceiveMessage", {"QueueUrl": "q"}, answers.append, wait=timedelta(seconds=0.2))
    sqs.call("DeleteMessageBatch", {"QueueUrl": "q"}, answers.append)
    turn_until(hub, lambda: len(answers) == 2)

    assert not any(answer.ok for answer in answers)
    assert 0.5 <= monotonic() - began_at < 2


def test_a_client_that_is_closed_does_nothing_more(hub: Hub, sqs: SqsRequests) -> None:
    """The loop closes it when the worker reconnects; what was on its way still comes by."""
    answers: list[Any] = []
    sqs.call("ReceiveMessage", {"QueueUrl": "q"}, answers.append, wait=timedelta(seconds=5))
    curl = curl_of(hub)
    curl.close()

    sqs.finish(timedelta(seconds=1))
    curl._timeout_check()
    curl._set_timeout(0)

    assert answers == []
    assert pending(hub) == []
    assert curl_of(hub) is not curl
