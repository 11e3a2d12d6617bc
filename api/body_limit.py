"""Refuse a body over the limit, whether or not its length was announced.

Starlette has such a middleware too, but it answers in plain text and not with a problem.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, ProblemType


class BodyLimit:
    """ASGI middleware: 413 for a request with more than ``most`` bytes of body."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and _more_than(announced, self._most):
            await self._too_large().response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                # Raised to whoever reads the body, and answered by the problem's own handler.
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> Problem:
        return Problem(
            ProblemType.TOO_LARGE,
            f"The body is over {self._most:,} bytes. "
            "Upload large data with POST /files and pass its key.",
        )


def _more_than(digits: str, most: int) -> bool:
    # Compared by length first: Python refuses to read numbers of thousands of digits.
    digits = digits.lstrip("0")
    return len(digits) > len(str(most)) or int(digits or "0") > most
