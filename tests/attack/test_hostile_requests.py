"""Requests that an enemy sends: each is answered below 500, soon, and harms no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import process_time
from typing import Any
from uuid import uuid4

import pytest

from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.integration.api.conftest import Api
from tests.integration.api.test_fuzz import ask

MEBIBYTE = 2**20


def deep(depth: int) -> bytes:
    return b'{"data":' * depth + b"1" + b"}" * depth


BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "a NUL": b"\0",
    "half a pair": b'"\\ud800"',
    "half a name": b'{"\\udfff": 1}',
    "NaN": b'{"total_steps": NaN}',
    "an endless number": b'{"total_steps": 1e999999}',
    "a number of digits": b'{"total_steps": ' + b"9" * MEBIBYTE + b"}",
    "a name twice": b'{"total_steps": 1, "total_steps": 2}',
    "a thousand deep": deep(1_000),
    "a million brackets": b"[" * MEBIBYTE,
    "a million lists": b"[" + b"[]," * MEBIBYTE + b"[]]",
    "a million names": json.dumps({str(n): n for n in range(MEBIBYTE // 8)}).encode(),
    "a long name": json.dumps({"a" * MEBIBYTE: 1}).encode(),
    "a long text": json.dumps({"total_steps": "a" * MEBIBYTE}).encode(),
    "a million zeros": json.dumps({"items": [0] * MEBIBYTE, "data": {}}).encode(),
    "kombu's members": b'{"__type__": "x", "__value__": 1}',
    "kombu's datetime": b'{"total_steps": {"__type__": "datetime", "__value__": "x"}}',
    "a prototype": b'{"__proto__": {}, "constructor": {}, "__class__": 1, "model_config": 1}',
    "UTF-16": '{"total_steps": 1}'.encode("utf-16"),
    "a mark": b"\xef\xbb\xbf{}",
}
PATHS = [
    *("/tasks/long-running", "/tasks/send-email", "/tasks/process-file", "/tasks/generate-report"),
    *("/tasks/cleanup", "/tasks/long-running/batch", "/tasks/nope", "/tasks/t-1/retry", "/files"),
]


def well_behaved(answer: tuple[int, Mapping[bytes, bytes], bytes]) -> int:
    status, headers, content = answer
    assert status < 500, content[:500]
    assert len(content) < 100_000
    if status >= 400:
        assert headers[b"content-type"] == b"application/problem+json"
    return status


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_a_hostile_body_is_refused_soon(api: Api, path: str, body: bytes) -> None:
    """No body costs the processor more than some seconds, and none is an error of ours."""
    key = [(b"authorization", f"Bearer {api.key}".encode())]
    start = process_time()
    well_behaved(ask(api.app, "POST", path, "", key, [body]))
    assert process_time() - start < 10


@pytest.mark.parametrize(
    "query",
    [
        "cursor=" + "A" * 8_000,
        "cursor=eyJ",
        "cursor=" + "%00" * 100,
        "created_after=9999-12-31T23:59:59Z",
        "created_after=0001-01-01T00:00:00%2B23:59",
        "created_after=0000-00-00",
        "created_after=2025-01-01T00:00:00%2B99:99",
        "limit=1e9",
        "limit=" + "9" * 5_000,
        "type=" + "a" * 5_000,
        "tag=%F0%9F%98%80",
        "tag=" + "a" * 5_000,
        "status=pending",
        "&".join(f"tag={n}" for n in range(2_000)),
        "&" * 8_000,
        "%",
        "a[b][c]=1",
    ],
)
def test_a_hostile_query_is_answered(api: Api, query: str) -> None:
    """Cursors, moments and numbers that nobody was given."""
    key = [(b"authorization", f"Bearer {api.key}".encode())]
    well_behaved(ask(api.app, "GET", "/tasks", query, key, []))


@pytest.mark.parametrize(
    "path",
    [
        "//", "///tasks", "//evil.example/tasks", "/tasks//", "/tasks/..%2f..%2fetc", "/tasks/%00",
        "/tasks/" + "a" * 8_000, "/files/files/../../etc/passwd", "/files//", "/files/values/x",
        "/files/tasks/..%2f..", "/queues/..", "/queues/" + "a" * 5_000, "/problems/%0d%0aX-Y:1",
        "/docs/files/..%2f..%2fapp.py", "/docs/files/%2e%2e", "/docs//files/start.js", "/;/x",
        "/%ff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_hostile_path_is_answered(api: Api, method: str, path: str) -> None:
    """No path leads out of the API, and none is an error of ours."""
    key = [(b"authorization", f"Bearer {api.key}".encode())]
    status = well_behaved(ask(api.app, method, path, "", key, [b"{}"]))
    assert status >= 400


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer " + b"a" * 8_000),
        (b"authorization", b"Bearer \xff\xfe"),
        (b"authorization", b"Basic YTpi"),
        (b"authorization", b"Bearer"),
        (b"idempotency-key", b"\xf0\x9f\x98\x80"),
        (b"idempotency-key", b"a" * 5_000),
        (b"prefer", b"wait=" + b"9" * 5_000),
        (b"prefer", b"," * 8_000),
        (b"if-none-match", b'W/"' + b'","' * 2_000),
        (b"content-type", b"application/json; charset=utf-16"),
        (b"content-type", b"/" * 5_000),
        (b"content-length", b"-1"),
        (b"content-encoding", b"gzip"),
        (b"expect", b"200-maybe"),
        (b"x-forwarded-host", b"evil.example"),
        (b"host", b"evil.example\r\nX: y"),
    ],
    ids=lambda header: f"{header[0].decode()} {header[1][:20]!r}",
)
def test_a_hostile_header_is_answered(api: Api, header: tuple[bytes, bytes]) -> None:
    """Headers that no client sends, on a request with a body and on one without."""
    key = [(b"authorization", f"Bearer {api.key}".encode())]
    headers = [header] if header[0] == b"authorization" else [*key, header]
    well_behaved(ask(api.app, "POST", "/tasks/long-running", "", headers, [b"{}"]))
    well_behaved(ask(api.app, "GET", "/tasks/t-1", "", headers, []))


MESSAGES: Mapping[str, Any] = {
    "no JSON": "{",
    "no object": [],
    "deep": "[" * 100_000,
    "no headers": {"body": "[[], {}, {}]"},
    "a deep body": {"headers": {"id": "a", "task": "b"}, "body": "[" * 100_000},
    "kombu's members": {
        "headers": {"id": "a", "task": "long-running"},
        "body": '[[{"__type__": "x", "__value__": 1}], {}, {}]',
    },
    "an endless id": {"headers": {"id": "a" * 3_000, "task": "b"}, "body": "[[], {}, {}]"},
    "an empty id": {"headers": {"id": "", "task": "b"}, "body": "[[], {}, {}]"},
    "half an id": {"headers": {"id": "\ud800", "task": "b"}, "body": "[[], {}, {}]"},
    "half a type": {"headers": {"id": "a", "task": "\ud800"}, "body": "[[], {}, {}]"},
    "a header of ours": {"headers": {"id": "a", "task": "b", "celeriac": 5}, "body": "[[],{},{}]"},
    "half a tenant": {
        "headers": {"id": "a", "task": "b", "celeriac": {"tenant": "\ud800"}},
        "body": "[[],{},{}]",
    },
    "a version": {
        "headers": {"id": "a", "task": "b", "celeriac": {"v": [[]]}},
        "body": "[[],{},{}]",
    },
    "no payload": {"headers": {"id": "a", "task": "long-running"}, "body": "[[], {}, {}]"},
    "much": {"headers": {"id": "a", "task": "b"}, "body": json.dumps([[0] * 50_000, {}, {}])},
}


@pytest.mark.parametrize("body", MESSAGES.values(), ids=list(MESSAGES))
def test_a_bad_dead_letter_hides_no_other(api: Api, body: Any) -> None:
    """The page of a queue shows a good dead letter next to any bad one, and redrives it."""
    url = services().settings.dead_letter_url(DEFAULT)
    good = json.dumps(
        {
            "headers": {"id": f"good-{uuid4()}", "task": "long-running", "lang": "py"},
            "body": json.dumps([[{"total_steps": 1}], {}, {}]),
        }
    )
    for text in (body if isinstance(body, str) else json.dumps(body), good):
        services().sqs.send_message(QueueUrl=url, MessageBody=text)
    page = api.get(f"/queues/{DEFAULT.name}")
    assert page.status_code == 200, page.text
    assert len(page.json()["dead_letter_sample"]) == 2
    redriven = api.post(f"/queues/{DEFAULT.name}/redrive")
    assert redriven.status_code == 200, redriven.text
    assert json.loads(good)["headers"]["id"] in redriven.json()["new_tasks"]
    purged = api.post(f"/queues/{DEFAULT.name}/purge?dead_letters=true")
    assert purged.status_code == 200, purged.text
