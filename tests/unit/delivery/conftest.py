from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from celery.worker import state

from celeriac.app.factory import Celeriac, make_app
from celeriac.contract import Catalogue, catalogue
from celeriac.settings import Settings
from celeriac.worker.tally import tally
from tests.unit.delivery.main_process import Main, Room
from tests.unit.delivery.single_worker import SingleWorker


@pytest.fixture(autouse=True)
def no_requests_of_other_tests() -> Iterator[None]:
    """Celery keeps in globals what a worker holds and runs; a fresh worker has nothing."""
    state.reset_state()
    yield
    state.reset_state()


@pytest.fixture
def app(aws: Settings) -> Iterator[Celeriac]:
    app = make_app(aws, Catalogue([], catalogue().queues))

    @app.task(name="double", shared=False)
    def double(number: int) -> int:
        return 2 * number

    @app.task(name="add", shared=False)
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task(name="total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="fail", shared=False)
    def fail(*_: object) -> None:
        raise ValueError("as it was told to")

    # What the worker logs of a task that fails is no warning of the tests'.
    logging.getLogger("celery").setLevel(logging.CRITICAL)
    yield app
    app.close()


@pytest.fixture
def worker(app: Celeriac) -> Iterator[SingleWorker]:
    worker = SingleWorker(app)
    yield worker
    worker.empty()


@pytest.fixture
def main(app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Main]:
    # It has learned from other tests how long tasks take.
    monkeypatch.setattr(tally, "average", None)
    main = Main(app, worker, Room(num_processes=2))
    yield main
    main.claims.writers.finish()
