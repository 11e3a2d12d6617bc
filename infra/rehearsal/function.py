"""The API as Lambda runs it: AWS's own runtime client, against a Runtime API of ours.

docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
_ANSWER_SECONDS = 60


class FunctionError(RuntimeError):
    """The function raised, or ended. The message is what it said."""


@dataclass(frozen=True)
class Response:
    """What API Gateway would send on."""

    status: int
    headers: Mapping[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class Function:
    """A function in ``awslambdaric``, called with events of an HTTP API (payload format 2.0)."""

    def __init__(self, *, handler: str, environment: Mapping[str, str], log: Path) -> None:
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: dict[str, queue.Queue[tuple[bool, bytes]]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._routes())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._log = log.open("w")
        self._process = subprocess.Popen(  # noqa: S603  AWS's own runtime client
            [sys.executable, "-m", "awslambdaric", handler],
            cwd=ROOT,
            env={
                **environment,
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": "celeriac",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_LAMBDA_LOG_GROUP_NAME": "log",
                "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: object = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send an HTTP request the way API Gateway does.

        Raises:
            FunctionError: the function raised, or gave no answer in a minute.
        """
        sent = {"host": "rehearsal", "content-type": "application/json", **(headers or {})}
        if key:
            sent["authorization"] = f"Bearer {key}"
        answer = self.invoke(
            {
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": path,
                "rawQueryString": query,
                "headers": sent,
                "requestContext": {
                    "accountId": "123456789012",
                    "apiId": "rehearsal",
                    "domainName": "rehearsal",
                    "http": {
                        "method": method,
                        "path": path,
                        "protocol": "HTTP/1.1",
                        "sourceIp": "127.0.0.1",
                        "userAgent": "rehearsal",
                    },
                    "requestId": str(uuid.uuid4()),
                    "routeKey": "$default",
                    "stage": "$default",
                    "timeEpoch": int(time.time() * 1000),
                },
                "body": None if body is None else json.dumps(body),
                "isBase64Encoded": False,
            }
        )
        text = answer.get("body") or ""
        if answer.get("isBase64Encoded"):
            text = base64.b64decode(text).decode()
        return Response(answer["statusCode"], answer.get("headers", {}), text)

    def invoke(self, event: object) -> Any:
        """Hand the function an event and wait for its answer."""
        id = str(uuid.uuid4())
        self._answers[id] = queue.Queue()
        self._events.put((id, json.dumps(event).encode()))
        try:
            succeeded, answer = self._answers[id].get(timeout=_ANSWER_SECONDS)
        except queue.Empty:
            raise FunctionError(
                f"The function gave no answer within {_ANSWER_SECONDS} s: see {self._log.name}."
            ) from None
        if not succeeded:
            raise FunctionError(answer.decode())
        return json.loads(answer)

    def _routes(self) -> type[BaseHTTPRequestHandler]:
        events, answers = self._events, self._answers

        class Routes(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                id, event = events.get()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", id)
                deadline = int((time.time() + _ANSWER_SECONDS) * 1000)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:us-east-1:123456789012:function:celeriac",
                )
                self._finish(event)

            def do_POST(self) -> None:
                # …/invocation/{id}/response, …/invocation/{id}/error, or …/init/error
                body = self.rfile.read(int(self.headers["Content-Length"]))
                id, outcome = self.path.split("/")[-2:]
                waiting = [answers[id]] if id in answers else list(answers.values())
                for each in waiting:
                    each.put((outcome == "response", body))
                self.send_response(202)
                self._finish(b"{}")

            def _finish(self, body: bytes) -> None:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Routes
