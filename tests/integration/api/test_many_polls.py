"""Hundreds of long polls at once leave others their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import count
from threading import Event
from time import monotonic

import httpx
import pytest

from celeriac.records import DynamoRecords, TaskRecord
from tests.integration.api.conftest import Api, Worker

POLLS = 300


async def polls(client: httpx.AsyncClient, task_ids: list[str], wait: int) -> list[httpx.Response]:
    ids = [task_ids[number % len(task_ids)] for number in range(POLLS)]
    return await asyncio.gather(*(client.get(f"/tasks/{each}?wait={wait}") for each in ids))


def client_of(api: Api) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(api.app),
        base_url="http://api",
        headers={"Authorization": f"Bearer {api.key}"},
        timeout=120,
    )


def test_waiting_polls_share_their_reads(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 polls of three seconds read in some dozen requests, each task once in each."""
    task_ids = [api.submit() for _ in range(30)]
    reads: list[int] = []
    get_many = DynamoRecords.get_many

    def counted(self: DynamoRecords, wanted: Iterable[str]) -> dict[str, TaskRecord]:
        wanted = list(wanted)
        reads.append(len(wanted))
        return get_many(self, wanted)

    monkeypatch.setattr(DynamoRecords, "get_many", counted)

    async def go() -> list[httpx.Response]:
        async with client_of(api) as client:
            return await polls(client, task_ids, 3)

    answers = asyncio.run(go())
    assert {each.status_code for each in answers} == {200}
    assert len(reads) <= 3 / 0.25 + 1
    assert max(reads) <= len(task_ids)


def test_waiting_polls_hold_no_thread(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While DynamoDB keeps 300 polls waiting, another request has all the threads it needs."""
    task_ids = [api.submit() for _ in range(3)]
    blocked, released, all_wait = Event(), Event(), Event()
    get = DynamoRecords.get
    looks = count(1)

    def counted(self: DynamoRecords, task_id: str) -> TaskRecord | None:
        found = get(self, task_id)
        if next(looks) == POLLS:
            all_wait.set()
        return found

    def stuck(self: DynamoRecords, wanted: Iterable[str]) -> dict[str, TaskRecord]:
        blocked.set()
        assert released.wait(120)
        return {each: found for each in wanted if (found := get(self, each)) is not None}

    monkeypatch.setattr(DynamoRecords, "get", counted)
    monkeypatch.setattr(DynamoRecords, "get_many", stuck)

    async def go() -> tuple[int, float, list[httpx.Response]]:
        async with client_of(api) as client:
            waiting = asyncio.create_task(polls(client, task_ids, 1))
            assert await asyncio.to_thread(blocked.wait, 30)
            assert await asyncio.to_thread(all_wait.wait, 30)
            start = monotonic()
            other = await client.get(f"/tasks/{task_ids[0]}")
            took = monotonic() - start
            released.set()
            return other.status_code, took, await waiting

    status, took, answers = asyncio.run(go())
    assert (status, took < 5) == (200, True)
    assert {each.status_code for each in answers} == {200}


def test_a_change_reaches_all_who_wait(api: Api, worker: Worker) -> None:
    """All polls of a task end when it does, long before their time."""
    task_id = api.submit()

    async def go() -> list[httpx.Response]:
        async with client_of(api) as client:
            waiting = asyncio.create_task(polls(client, [task_id], 20))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(worker.succeed, task_id, {"text": "Hello"})
            return await asyncio.wait_for(waiting, 15)

    assert {each.json()["status"] for each in asyncio.run(go())} <= {"STARTED", "SUCCESS"}
