"""A caller of a deployment's HTTP API, whatever carries the requests."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import httpx


class Answer(Protocol):
    """An HTTP answer. The names of headers are in small letters."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> str: ...
    def json(self) -> Any: ...


class Api(Protocol):
    """The HTTP API."""

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: object = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer: ...


class Caller:
    """Sends requests with an API key, and expects a status. ``fault`` is raised for another."""

    def __init__(self, api: Api, key: str, fault: type[Exception]) -> None:
        self.api = api
        self.key = key
        self._fault = fault

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        expect: HTTPStatus = HTTPStatus.OK,
    ) -> Answer:
        """Send a request with the caller's key, or with another."""
        answer = self.api.request(
            method,
            path,
            key=self.key if key is None else key,
            query=query,
            body=body,
            headers=headers,
        )
        if answer.status != expect:
            raise self._fault(
                f"{method} {path} answered {answer.status}, not {expect.value}: {answer.body[:300]}"
            )
        return answer

    def submit(
        self, type: str, payload: object, *, query: str = "", idempotency_key: str | None = None
    ) -> str:
        """Submit a task; its id."""
        answer = self.ask(
            "POST",
            f"/tasks/{type}",
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
        answer = httpx.post(
            ticket["upload"]["url"],
            data=ticket["upload"]["fields"],
            files={"file": (filename, content, content_type)},
        )
        if not answer.is_success:
            raise self._fault(f"S3 answered the upload {answer.status_code}: {answer.text[:300]}")
        return str(ticket["file_key"])
