"""ECS's agent in a task, which protects the task from scale-in when it is asked to.

docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EcsAgent:
    """Answers as it is told, and keeps what it was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, object]] = []
        #: Why it refuses.
        self.refusal: str | None = None
        self.fails = False

    def _answer(self, request: dict[str, object]) -> tuple[int, dict[str, Any]]:
        self.asked.append(request)
        if self.fails:
            return 500, {"error": {"Code": "ServerException"}}
        if self.refusal is not None:
            return 409, {"failure": {"Arn": "task", "Reason": self.refusal}}
        return 200, {"protection": {"TaskArn": "task", **request}}

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[EcsAgent]:
        """One on a port of its own."""

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                assert self.path == "/task-protection/v1/state"
                content = self.rfile.read(int(self.headers["Content-Length"]))
                status, found = agent._answer(json.loads(content))
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            agent = cls(f"http://127.0.0.1:{server.server_port}")
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield agent
            server.shutdown()
            thread.join()
