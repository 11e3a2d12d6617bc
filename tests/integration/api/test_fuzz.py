"""No input gives a 500 or a traceback."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote_from_bytes, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from tests.integration.api.conftest import Api

MANY = settings(
    max_examples=200,
    deadline=None,
    # One AWS for all examples: what one leaves behind is input to the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

METHODS = st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "\u0436"])
SEGMENTS = st.sampled_from(
    [
        *("tasks", "greet", "keep", "hello", "nope", "result", "retry"),
        *("files", "values", "catalogue", "health", "ready", "problems", "..", "."),
        *("schedules", "run", "history", "queues", "default", "pause", "resume"),
    ]
) | st.binary(max_size=20).map(quote_from_bytes)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda parts: "/" + "/".join(parts))
NAMES = st.sampled_from(
    [
        *("status", "type", "tag", "created_after", "limit", "cursor", "wait", "delay", "x", ""),
        *("run_at", "priority", "reason"),
    ]
)
VALUES = (
    st.binary(max_size=30).map(quote_from_bytes)
    | st.sampled_from(["PENDING", "FAILURE", "greet", "5", "-1", "1e400", "NaN", "9" * 5000])
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.integers().map(str)
)
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=4).map(
    # Never wait: that is another test's.
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs if name != "wait")
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"idempotency-key", b"if-none-match", b"prefer", b"content-type", b"accept",
             b"authorization", b"content-length", b"host", b"x-forwarded-proto", b"cookie"]
        ),
        st.binary(max_size=40) | st.sampled_from([b"application/json", b"*", b'"1"', b"text/x;;"]),
    ),
    max_size=4,
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[])),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4)
    ),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"name": value, "times": value}).encode())
    | JSON.map(lambda value: json.dumps({"value": value}).encode())
    | JSON.map(
        lambda value: json.dumps(
            {"filename": value, "content_type": "a/b", "size": 1, "name": "x"}
        ).encode()
    )
    | st.integers(1, 3000).map(lambda depth: b'{"value":' * depth + b"1" + b"}" * depth)
)


def ask(
    app: Any,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[bytes, bytes]],
    parts: list[bytes],
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request at the ASGI boundary, where no client tidies it up."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.7", 1),
        "server": ("api", 80),
    }
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    content = b"".join(message.get("body", b"") for message in rest)
    return start["status"], dict(start["headers"]), content


def assert_well_behaved(
    status: int, headers: dict[bytes, bytes], content: bytes, method: str = "GET"
) -> None:
    assert status < 500, content
    assert b"Traceback" not in content
    for name, value in headers.items():
        # Mangum reads headers as UTF-8, and HTTP allows no control characters.
        assert (name + value).decode("ascii").isprintable()
    if status >= 400:
        assert headers[b"content-type"] == b"application/problem+json"
        if method == "HEAD" and not content:
            return  # It has the headers of the answer to GET alone: RFC 9110, section 9.3.2.
        document = json.loads(content)
        assert document["status"] == status
        assert len(content) < 30_000


@pytest.fixture
def key(api: Api) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {api.key}".encode())]


@MANY
@given(METHODS, PATHS, QUERIES, HEADERS, BODIES)
def test_any_request_gets_a_proper_answer(
    api: Api,
    key: list[tuple[bytes, bytes]],
    method: str,
    path: str,
    query: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    """Whatever the path, query, headers and body: an answer below 500, errors as problems."""
    answer = ask(api.app, method, path, query, key + headers, [body])
    assert_well_behaved(*answer, method=method)


@MANY
@given(
    st.sampled_from(
        ["/tasks/greet", "/tasks/keep", "/files", "/tasks/nope", "/tasks/t-1/retry", "/schedules"]
    ),
    st.lists(BODIES, min_size=1, max_size=2),
)
def test_any_body_gets_a_proper_answer(
    api: Api, key: list[tuple[bytes, bytes]], path: str, parts: list[bytes]
) -> None:
    """Bodies aimed at the operations that take one, in one piece or two."""
    assert_well_behaved(*ask(api.app, "POST", path, "", key, parts))


@MANY
@given(QUERIES)
def test_any_filter_gets_a_proper_answer(
    api: Api, key: list[tuple[bytes, bytes]], query: str
) -> None:
    """Queries aimed at the listing."""
    assert_well_behaved(*ask(api.app, "GET", "/tasks", query, key, []))


@MANY
@given(st.binary(max_size=60), st.sampled_from(["", "/result", "/retry"]))
def test_any_id_gets_a_proper_answer(
    api: Api, key: list[tuple[bytes, bytes]], task_id: bytes, below: str
) -> None:
    """Ids of arbitrary bytes, in tasks and in files."""
    escaped = quote_from_bytes(task_id, safe="")
    for method in ("GET", "POST", "DELETE"):
        assert_well_behaved(*ask(api.app, method, f"/tasks/{escaped}{below}", "", key, []))
    assert_well_behaved(*ask(api.app, "GET", f"/files/files/{escaped}", "", key, []))
    assert_well_behaved(*ask(api.app, "GET", f"/files/files/0-1/{escaped}", "", key, []))
    assert_well_behaved(*ask(api.app, "GET", f"/problems/{escaped}", "", key, []))
