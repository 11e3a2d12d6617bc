"""Someone with an API key: asks the function, and takes no answer but the expected one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus

import httpx

from infra.rehearsal.deployment import RehearsalError
from infra.rehearsal.function import Function, Response

_TASK_SECONDS = 120
_ENDS = ("SUCCESS", "FAILURE", "REVOKED")


class Caller:
    """A caller of the API that runs in ``function``."""

    def __init__(self, function: Function, key: str) -> None:
        self._function = function
        self._key = key

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        expect: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        """Send a request.

        Raises:
            RehearsalError: the answer has another status.
        """
        answer = self._function.request(
            method, path, key=self._key, query=query, body=body, headers=headers
        )
        if answer.status != expect:
            raise RehearsalError(
                f"{method} {path}?{query} answered {answer.status}, not {expect}: {answer.body}"
            )
        return answer

    def submit(
        self, name: str, payload: object, *, idempotency_key: str | None = None, query: str = ""
    ) -> str:
        """Submit a task; its id."""
        answer = self.ask(
            "POST",
            f"/tasks/{name}",
            query=query,
            body=payload,
            headers={"idempotency-key": idempotency_key} if idempotency_key else None,
            expect=HTTPStatus.ACCEPTED,
        )
        return str(answer.json()["task_id"])

    def upload(self, filename: str, content_type: str, content: bytes) -> str:
        """Upload a file through the form that the API signs; its key."""
        ticket = self.ask(
            "POST",
            "/files",
            body={"filename": filename, "content_type": content_type, "size": len(content)},
            expect=HTTPStatus.CREATED,
        ).json()
        httpx.post(
            ticket["upload"]["url"],
            data=ticket["upload"]["fields"],
            files={"file": (filename, content, content_type)},
        ).raise_for_status()
        return str(ticket["file_key"])

    def end(self, task_id: str) -> str:
        """Wait until a task has ended; its last state, whatever it is after two minutes."""
        deadline = time.monotonic() + _TASK_SECONDS
        while True:
            state = str(self.ask("GET", f"/tasks/{task_id}", query="wait=20").json()["status"])
            if state in _ENDS or time.monotonic() > deadline:
                return state
