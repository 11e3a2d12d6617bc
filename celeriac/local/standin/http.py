"""HTTP/1.1 with keep-alive, no more of it than the AWS SDKs use: no pipelining, no chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote, urlsplit

_REASONS = {200: "OK", 204: "No Content", 206: "Partial Content"}
_NO_BODY = frozenset({204, 304})
LARGEST_HEAD = 64 * 1024


@dataclass
class Request:
    """``headers`` have lower-case names. ``path`` is decoded, ``query`` too."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Exchange:
    """One request, and its answer: now, later, or never."""

    __slots__ = ("_connection", "_on_closed", "answer_lost", "request")

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._on_closed: Callable[[], None] | None = None
        self.request = request
        #: Whether the connection is closed in place of the answer.
        self.answer_lost = False

    @property
    def open(self) -> bool:
        """Whether the client still waits for an answer."""
        return self._connection.waits_for(self)

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call this if the client closes the connection before the answer."""
        self._on_closed = callback

    def closed(self) -> None:
        if self._on_closed is not None:
            self._on_closed()

    def answer(self, status: int, body: bytes, headers: str = "") -> None:
        """Send an answer. ``headers`` is lines of ``Name: value``, each with CRLF."""
        if self.answer_lost:
            self.drop()
            return
        self._connection.send(self, status, body, headers)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self._connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, handle: Callable[[Exchange], None], connections: set[Connection]) -> None:
        self._handle = handle
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._current: Exchange | None = None
        self._continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's always is
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        current, self._current = self._current, None
        if current is not None:
            current.closed()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._current is None:
            self._next()

    def waits_for(self, exchange: Exchange) -> bool:
        return self._current is exchange and self._transport is not None

    def send(self, exchange: Exchange, status: int, body: bytes, headers: str) -> None:
        if not self.waits_for(exchange) or self._transport is None:
            return
        self._current = None
        length = "" if status in _NO_BODY else f"Content-Length: {len(body)}\r\n"
        if exchange.request.method == "HEAD":
            # A HEAD's answer names the length of what a GET would send.
            body = b""
        date = f"Date: {formatdate(usegmt=True)}\r\n"
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\n{date}{length}{headers}\r\n"
        self._transport.write(head.encode() + body)
        if self._received:
            self._next()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > LARGEST_HEAD:
                self.abort()
            return
        lines = self._received[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body_at = end + 4
        if len(self._received) < body_at + length:
            if "expect" in headers and not self._continued and self._transport is not None:
                self._continued = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._continued = False
        body = bytes(self._received[body_at : body_at + length])
        del self._received[: body_at + length]
        method, target, _ = lines[0].split(" ", 2)
        if target == "/":
            path, query = "/", {}
        else:
            parts = urlsplit(target)
            path = unquote(parts.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._current = Exchange(self, Request(method, path, query, headers, body))
        self._handle(self._current)
