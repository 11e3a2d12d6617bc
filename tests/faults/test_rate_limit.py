"""The limit on a key's requests, over a DynamoDB that performs one call at a time, and fails."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from botocore.exceptions import ConnectionClosedError
from fastapi import FastAPI

from celeriac.clock import millis
from celeriac.http.app import create_app
from celeriac.local.standin import Standin
from celeriac.local.standin.faults import Fault
from celeriac.settings import settings
from celeriac.storage.keys import Scope, generate
from celeriac.storage.requests import WINDOW, Requests
from celeriac.storage.services import services
from tests.faults.stack import Stack
from tests.integration.api.throwaway import CATALOGUE

LIMIT = 20
NOW = 30_000_000 * millis(WINDOW)


def process() -> Requests:
    """What another process of the API has."""
    return Requests(services().dynamodb, settings().table_name, clock=lambda: NOW)


@pytest.mark.parametrize("processes", [1, 4])
def test_requests_at_once_never_pass_the_limit(stack: Stack, processes: int) -> None:
    """However many arrive side by side, in one process or several, exactly the limit passes."""
    caller = uuid.uuid4().hex
    stack.aws.set_latency(timedelta(milliseconds=5))
    all_of_them = [process() for _ in range(processes)]
    with ThreadPoolExecutor(16) as threads:
        waits = list(
            threads.map(
                lambda each: all_of_them[each % processes].admit(caller, LIMIT), range(5 * LIMIT)
            )
        )

    assert waits.count(None) == LIMIT


def test_an_answer_that_is_lost_lets_no_more_through(stack: Stack) -> None:
    """A call that is sent again may count twice: a caller gets less than its limit, never more."""
    caller = uuid.uuid4().hex
    stack.aws.inject(Fault("lose-answer", "dynamodb", "UpdateItem", probability=0.3))
    counted = [is_counted(caller) for _ in range(2 * LIMIT)]

    assert 0 < counted.count(True) <= LIMIT


def is_counted(caller: str) -> bool:
    """Whether the answer says so: a request that loses the answer to every try is told nothing."""
    try:
        return process().admit(caller, LIMIT) is None
    except ConnectionClosedError:
        return False


def limited_app() -> tuple[FastAPI, str]:
    """An API with a limit, and a key."""
    key = generate()
    services().keys.register(key, name="test", tenant="limited", scopes=[Scope.READ])
    app = create_app(settings().model_copy(update={"requests_per_key": LIMIT}), CATALOGUE)
    return app, key


def statuses(app: FastAPI, key: str, count: int) -> list[int]:
    """What so many requests at once are answered with."""

    async def request_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", headers=headers
        ) as client:
            return await asyncio.gather(*(client.get("/catalogue") for _ in range(count)))

    return [answer.status_code for answer in asyncio.run(request_all())]


def test_over_http_exactly_the_limit_is_answered(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty requests at once with one key: twenty are answered, and forty are told to wait."""
    monkeypatch.setattr(services().requests, "_now", lambda: NOW)
    found = statuses(*limited_app(), 3 * LIMIT)

    assert (found.count(200), found.count(429)) == (LIMIT, 2 * LIMIT)


def test_a_counter_that_is_throttled_refuses_nobody(stack: Stack, aws: Standin) -> None:
    """DynamoDB throttles the counts alone: everybody is let through."""
    app, key = limited_app()
    assert statuses(app, key, 1) == [200]  # the key is known from here on
    aws.inject(Fault("throttle", "dynamodb", "UpdateItem"))

    assert statuses(app, key, 2) == [200, 200]
