from __future__ import annotations

from types import SimpleNamespace

import pytest

from celeriac import services
from celeriac.records import DynamoRecords, MemoryRecords, RecordStore
from tests.unit.engine.support import Timer, World


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore tries again without its pause."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))


@pytest.fixture(params=["memory", "dynamodb"])
def world(request: pytest.FixtureRequest, at_once: None) -> World:
    timer = Timer()
    if request.param == "memory":
        return World(MemoryRecords(clock=timer), timer)
    settings = request.getfixturevalue("aws")
    client = services.services().dynamodb
    return World(DynamoRecords(client, settings.table_name, clock=timer), timer, client)


@pytest.fixture
def records(world: World) -> RecordStore:
    return world.records


@pytest.fixture
def timer(world: World) -> Timer:
    return world.timer
