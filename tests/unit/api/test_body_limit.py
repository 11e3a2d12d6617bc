"""The limit on bodies, at the ASGI boundary."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac.http.body_limit import BodyLimit

LIMIT = 10


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def call(
    parts: list[bytes], headers: dict[str, str], app: ASGIApp = reads_all, left: int = 0
) -> list[Message]:
    """What is sent for a body in these parts, of which so many are left unread."""
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, 1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(BodyLimit(app, LIMIT)(scope, receive, send))
    assert len(messages) == left
    return sent


async def reads_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


def test_a_body_of_the_limit_passes() -> None:
    """The limit itself is allowed."""
    assert call([b"x" * LIMIT], {"content-length": str(LIMIT)})[1]["body"] == b"10"


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 5000])
def test_an_announced_body_over_the_limit_is_refused(length: str) -> None:
    """Content-Length alone is enough to say 413, numbers beyond Python's limits included."""
    start, body = call([b"x"], {"content-length": length})
    assert start["status"] == 413
    assert b"/problems/too-large" in body["body"]


def test_an_unannounced_body_is_cut_off_at_the_limit() -> None:
    """A chunked body is counted as it comes, and the rest is never asked for."""
    with pytest.raises(HTTPException) as raised:
        call([b"x" * 6, b"x" * 6, b"never read"], {})
    assert raised.value.status_code == 413


@pytest.mark.parametrize("length", ["-1", "nonsense", "¹"])
def test_a_wrong_content_length_is_not_trusted(length: str) -> None:
    """What can't be read as a length is ignored; the bytes are counted."""
    assert call([b"x"], {"content-length": length})[1]["body"] == b"1"


@pytest.mark.parametrize("headers", [{"content-length": "9"}, {"transfer-encoding": "chunked"}])
def test_an_answer_waits_for_the_rest_of_the_body(headers: dict[str, str]) -> None:
    """A client that still sends gets its answer, whatever it is: its body is read first."""
    assert call([b"x" * 3] * 3, headers, reads_nothing)[0]["status"] == 401


def test_a_client_that_asks_first_is_answered_first() -> None:
    """``Expect: 100-continue``: the body isn't asked for if nobody wants it."""
    headers = {"content-length": "9", "expect": "100-continue"}
    assert call([b"x" * 9], headers, reads_nothing, left=1)[0]["status"] == 401


def test_a_slow_body_is_given_up() -> None:
    """A body that takes too long is a 408, and nothing waits for the rest of it."""

    async def dribble() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: dict[str, Any] = {"type": "http", "headers": []}
    limit = BodyLimit(reads_all, LIMIT, timedelta(seconds=0.1))
    with pytest.raises(HTTPException) as raised:
        asyncio.run(limit(scope, dribble, send))
    assert raised.value.status_code == 408
