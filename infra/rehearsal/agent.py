"""ECS's agent, next to moto: it refuses to protect a worker at first, as it does in a deployment.

A refusal is a 200 with a ``failure``: logAndValidateECSResponse in github.com/aws/amazon-ecs-agent,
ecs-agent/tmds/handlers/taskprotection/v1/handlers/handlers.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

_PATH = "/task-protection/v1/state"
#: What a worker's log says of it.
REFUSAL = "DEPLOYMENT_BLOCKED"


class Agent:
    """WSGI middleware that answers as the agent of each worker.

    The agent's address is the server's, followed by the worker's name.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._refused: set[str] = set()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        worker, found, _ = environ["PATH_INFO"].partition(_PATH)
        if not found:
            return self._app(environ, start_response)
        first = worker not in self._refused
        self._refused.add(worker)
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        answer = (
            {"failure": {"Arn": worker, "Reason": REFUSAL}}
            if first
            else {"protection": {"TaskArn": worker, **asked}}
        )
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]
