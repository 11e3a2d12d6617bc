"""The limit on bodies, at the ASGI boundary."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from api.body_limit import BodyLimit

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


def call(parts: list[bytes], headers: dict[str, str]) -> list[Message]:
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

    asyncio.run(BodyLimit(reads_all, LIMIT)(scope, receive, send))
    return sent


def test_a_body_of_the_limit_passes() -> None:
    """The limit itself is allowed."""
    assert call([b"x" * LIMIT], {"content-length": str(LIMIT)})[1]["body"] == b"10"


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 5000])
def test_an_announced_body_over_the_limit_is_refused_unread(length: str) -> None:
    """Content-Length alone is enough to say 413, numbers beyond Python's limits included."""
    start, body = call([], {"content-length": length})
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
