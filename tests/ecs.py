"""ECS as a task sees it: the agent, which protects the task when it is asked to, and its service.

A refusal is a 200 with a ``failure``, as in AWS's own agent: logAndValidateECSResponse in
github.com/aws/amazon-ecs-agent, ecs-agent/tmds/handlers/taskprotection/v1/handlers/handlers.go.
docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Ecs:
    """Answers as it is told, and keeps what its agent was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, object]] = []
        #: How many workers of each service run, and are wanted.
        self.running, self.desired = 1, 1
        #: Why it refuses.
        self.refusal: str | None = None
        self.fails = False
        #: What it answers with 200 instead.
        self.body: Any = None

    def _describe(self, request: dict[str, Any]) -> dict[str, Any]:
        counts = {"runningCount": self.running, "desiredCount": self.desired}
        return {"services": [{"serviceName": name, **counts} for name in request["services"]]}

    def _answer(self, request: dict[str, object]) -> tuple[int, Any]:
        self.asked.append(request)
        if self.body is not None:
            return 200, self.body
        if self.fails:
            return 500, {"error": {"Code": "ServerException"}}
        if self.refusal is not None:
            return 200, {"failure": {"Arn": "task", "Detail": None, "Reason": self.refusal}}
        return 200, {"protection": {"TaskArn": "task", **request}}

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[Ecs]:
        """One on a port of its own."""

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                assert self.path == "/task-protection/v1/state"
                self._send(*ecs._answer(self._request()))

            def do_POST(self) -> None:
                assert self.headers["X-Amz-Target"].endswith(".DescribeServices")
                self._send(200, ecs._describe(self._request()))

            def _request(self) -> Any:
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def _send(self, status: int, found: Any) -> None:
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            ecs = cls(f"http://127.0.0.1:{server.server_port}")
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield ecs
            server.shutdown()
            thread.join()
