"""Who called what: every request to the server, as IAM would name it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")


@dataclass(frozen=True)
class Call:
    """One request. ``key`` is the caller's access key id, ``subject`` what the call names."""

    key: str
    service: str
    action: str
    subject: str


def call(environ: dict[str, Any], body: bytes) -> Call | None:
    """The call that a request is; None for one that nobody signed."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    signed = environ.get("HTTP_AUTHORIZATION") or "Credential=" + "".join(
        query.get("X-Amz-Credential", [])
    )
    scope = _SCOPE.search(signed)
    if not scope:
        return None
    service, key = scope["service"], scope["key"]
    path, method = unquote(environ["PATH_INFO"]), environ["REQUEST_METHOD"]
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        parameters = json.loads(body or b"{}")
        return Call(key, service, target.rpartition(".")[2], _named(parameters))
    if b"Action=" in body:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        return Call(key, service, form["Action"], _named(form))
    if service == "s3":
        return Call(key, service, _s3_action(method, path, query), path.lstrip("/"))
    return Call(key, service, method, path)


def _named(parameters: dict[str, Any]) -> str:
    """What a call's parameters say it is about."""
    for name in ("QueueUrl", "SourceArn", "TableName", "logGroupName", "service", "RequestItems"):
        if name in parameters:
            value = parameters[name]
            return next(iter(value)) if isinstance(value, dict) else str(value)
    if "TransactItems" in parameters:
        return str(next(iter(parameters["TransactItems"][0].values()))["TableName"])
    return ""


def _s3_action(method: str, path: str, query: dict[str, list[str]]) -> str:
    is_object = "/" in path.strip("/")
    match method, is_object:
        case "GET", False:
            return "ListBucket"
        case (("GET" | "HEAD"), True):
            return "GetObject"
        case "HEAD", False:
            return "ListBucket"
        case "PUT", True:
            return "PutObject"
        case "DELETE", True:
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
        case "POST", True:
            return "PutObject"
        case "POST", False:
            return "DeleteObject"
        case _:
            return f"{method} {path}"


class Recorder:
    """WSGI middleware that writes each call to a file, one line of JSON each."""

    def __init__(self, app: Callable[..., Iterable[bytes]], file: Path) -> None:
        self._app = app
        self._file = file.open("a", buffering=1)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        if length:
            environ["wsgi.input"] = BytesIO(body)
        recorded = (
            call(environ, body) if length or not environ.get("HTTP_TRANSFER_ENCODING") else None
        )
        if recorded:
            self._file.write(json.dumps(asdict(recorded)) + "\n")
        return self._app(environ, start_response)
