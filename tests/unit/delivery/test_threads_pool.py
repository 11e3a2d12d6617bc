from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.thread import TaskPool
from celery.exceptions import Reject

from worker.pools import ChoosePool


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    worker = SimpleNamespace(pool_cls=TaskPool)
    ChoosePool(worker)
    pool: TaskPool = worker.pool_cls(limit=1)
    pool.start()
    yield pool
    pool.stop()


def test_what_is_raised_outside_a_tasks_own_code_reaches_its_request(pool: TaskPool) -> None:
    """An outcome that can't be written has the message come back, as in the prefork pool."""
    told = threading.Event()
    errors: list[Any] = []

    def cannot_write() -> None:
        raise Reject("the record can't be written now", requeue=True)

    def note(info: Any) -> None:
        errors.append(info.exception)
        told.set()

    pool.apply_async(
        cannot_write, (), callback=errors.append, accept_callback=None, error_callback=note
    )

    assert told.wait(5)
    assert len(errors) == 1
    assert getattr(errors[0], "exc", errors[0]).requeue
