"""Bound what a request's body may cost: its size, and the time that it takes to arrive.

Starlette has a middleware for the size, but it answers in plain text and not with a problem.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac.http.problems import Problem, ProblemType

#: For the whole body: a client that sends a byte a second holds its connection no longer.
LONGEST_BODY = timedelta(seconds=30)
#: How much of a body that nobody wants is read before the answer.
MOST_DISCARDED = 64 * 2**20


class BodyLimit:
    """ASGI middleware: 413 for a body of more than ``most`` bytes, 408 for a slow one.

    Every answer waits until the rest of the body has arrived, within limits. A server closes the
    connection of a request that it hasn't read. A client that still sends would then find its
    connection reset, and lose the answer.
    """

    def __init__(self, app: ASGIApp, most: int, longest: timedelta = LONGEST_BODY) -> None:
        self._app = app
        self._most = most
        self._longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(Headers(scope=scope), receive, self._most, self._longest)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.discard()
            await send(message)

        if body.announced_too_large:
            await body.too_large().response()(scope, receive, answer)
            return
        await self._app(scope, body.receive, answer)


class _Body:
    """The body of one request."""

    def __init__(self, headers: Headers, receive: Receive, most: int, longest: timedelta) -> None:
        self._receive = receive
        self._most = most
        self._ends_at = asyncio.get_running_loop().time() + longest.total_seconds()
        length = headers.get("content-length", "")
        self.announced_too_large = length.isdecimal() and _more_than(length, most)
        self._announced = "transfer-encoding" in headers or length.strip("0") != ""
        # Such a client sends no body before it is asked to, which the first ``receive`` does.
        self._held_back = headers.get("expect", "").lower() == "100-continue"
        self._received = 0
        self._ended = False

    async def receive(self) -> Message:
        """The next part. Raises ``Problem`` (408, 413), which the route answers with."""
        self._held_back = False
        if self._ended:
            # Nothing is left to come but the news that the client has gone.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._take()
        except TimeoutError:
            raise Problem(ProblemType.REQUEST_TIMEOUT) from None
        if self._received > self._most:
            raise self.too_large()
        return message

    async def discard(self) -> None:
        """Read what is left of the body, for as long as it may take, and forget it."""
        if self._held_back or not self._announced:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._ends_at):
                while not self._ended and self._received < MOST_DISCARDED:
                    await self._take()

    async def _take(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def too_large(self) -> Problem:
        return Problem(
            ProblemType.TOO_LARGE,
            f"The body is over {self._most:,} bytes. "
            "Upload large data with POST /files and pass its key.",
        )


def _more_than(digits: str, most: int) -> bool:
    # Compared by length first: Python refuses to read numbers of thousands of digits.
    digits = digits.lstrip("0")
    return len(digits) > len(str(most)) or int(digits or "0") > most
