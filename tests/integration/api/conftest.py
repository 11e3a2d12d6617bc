"""The API over AWS in this process: DynamoDB, SQS and S3 as moto answers for them."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from kombu import pools

from celeriac import clock, states
from celeriac.http.app import create_app
from celeriac.http.routes import health
from celeriac.records import Claimed, Failure, Progress, TaskRecord
from celeriac.settings import Settings
from celeriac.storage import services
from celeriac.storage.keys import Scope, generate
from tests.integration.api.throwaway import CATALOGUE

ALL = Scope.ADMIN


class Api:
    """A synchronous client of an app, with a key. Every call may be made from any thread."""

    def __init__(self, app: FastAPI, tenant: str, key: str | None) -> None:
        self.app = app
        self.tenant = tenant
        self.key = key

    @classmethod
    def of(cls, app: FastAPI, tenant: str | None = None, scopes: Iterable[Scope] = (ALL,)) -> Api:
        """A client with a new key, of a new tenant unless one is given."""
        tenant = tenant or f"tenant-{uuid.uuid4().hex[:12]}"
        key = generate()
        services.services().keys.register(key, name="test", tenant=tenant, scopes=scopes)
        return cls(app, tenant, key)

    def on(self, app: FastAPI) -> Api:
        """The same caller of another app."""
        return Api(app, self.tenant, self.key)

    def without_key(self) -> Api:
        return Api(self.app, self.tenant, None)

    def __call__(self, method: str, url: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, url, options))

    async def _request(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://api", headers=headers
        ) as client:
            return await client.request(method, url, **options)

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self("POST", url, **options)

    def delete(self, url: str, **options: Any) -> httpx.Response:
        return self("DELETE", url, **options)

    def submit(self, name: str = "Ada", **options: Any) -> str:
        """The id of a new task."""
        answer = self.post("/tasks/greet", json={"name": name}, **options)
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["task_id"]
        return task_id


class Worker:
    """What a worker writes, written by hand."""

    def claim(self, task_id: str) -> TaskRecord:
        record = services.services().records.get(task_id)
        assert record is not None
        until = clock.now() + 60_000
        claimed = services.services().records.claim(task_id, record.attempt, "me", until)
        assert isinstance(claimed, Claimed)
        return claimed.record

    def report(self, task_id: str, current: int, total: int, message: str) -> None:
        progress = Progress(current=current, total=total, message=message)
        services.services().records.report(task_id, "me", states.PROGRESS, progress=progress)

    def succeed(self, task_id: str, result: Any) -> None:
        self.claim(task_id)
        self.finish(task_id, result)

    def finish(self, task_id: str, result: Any) -> None:
        record = services.services().records.get(task_id)
        assert record is not None
        reference = services.services().values.put(
            record.tenant, task_id, "result", json.dumps({"result": result}), record.expires_at
        )
        services.services().records.finish(task_id, "me", states.SUCCESS, result=reference)

    def fail(self, task_id: str, type: str, message: str) -> None:
        self.claim(task_id)
        failure = Failure(type=type, message=message)
        services.services().records.finish(task_id, "me", states.FAILURE, failure=failure)


def forget_clients() -> None:
    """Leave this process without a connection to AWS, as a new one is."""
    services.reset()
    # Celery's producers are kept by kombu, for all apps of the process.
    pools.reset()
    health.forget()


@pytest.fixture(scope="module")
def app(aws: Settings) -> Iterator[FastAPI]:
    """The API over two throw-away task types."""
    health.forget()
    yield create_app(catalogue=CATALOGUE)
    health.forget()


@pytest.fixture
def api(app: FastAPI) -> Api:
    """A caller who may do everything, as a tenant that has nothing yet."""
    return Api.of(app)


@pytest.fixture
def worker(aws: Settings) -> Worker:
    return Worker()


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def loop() -> Iterator[None]:
    """An event loop of the main thread, where a Lambda runs Mangum."""
    own = asyncio.new_event_loop()
    asyncio.set_event_loop(own)
    yield
    own.run_until_complete(own.shutdown_default_executor())
    own.close()
    asyncio.set_event_loop(None)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """A body whose length nobody has announced."""
    for part in parts:
        yield part


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem of an answer, which must be this one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document
