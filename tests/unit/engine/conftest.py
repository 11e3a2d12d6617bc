from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import _state

from celeriac import clock
from celeriac.app.factory import Celeriac, make_app
from celeriac.records import DynamoRecords, RecordStore
from celeriac.settings import Settings
from celeriac.storage import services
from celeriac.testing import MemoryRecords
from tests.unit.engine.interleaving import TYPES
from tests.unit.engine.support import Timer, World


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose answer was lost is sent again without a pause."""
    hasty = SimpleNamespace(sleep=lambda _seconds: None)
    monkeypatch.setattr("botocore.endpoint.time", hasty)
    monkeypatch.setattr("celeriac.records.updates.time", hasty)


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


@pytest.fixture
def staged_timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    """The clock of the whole engine."""
    timer = Timer()
    monkeypatch.setattr(clock, "now", timer)
    return timer


@pytest.fixture
def staged_app(aws: Settings, staged_timer: Timer) -> Iterator[Celeriac]:
    """An app whose messages go to a queue of the test: see ``interleaving``."""
    before = _state._get_current_app()
    app = make_app(aws, TYPES)
    app.conf.broker_transport = "memory"
    app.conf.broker_transport_options = {}
    services.reset()
    yield app
    services.reset()
    _state._set_current_app(before)
