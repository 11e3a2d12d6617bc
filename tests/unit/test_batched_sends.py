"""What a canvas sends goes to SQS ten messages to a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError
from celery import group

from celeriac.app.factory import CeleriacApp, make_app
from celeriac.contract import Catalogue, catalogue
from celeriac.errors import UnavailableError
from celeriac.settings import Settings
from celeriac.storage.services import services


@pytest.fixture
def app(aws: Settings) -> Iterator[CeleriacApp]:
    app = make_app(aws, Catalogue([], catalogue().queues))

    @app.task(name="double", shared=False)
    def double(number: int) -> int:
        return 2 * number

    yield app
    app.close()


@pytest.fixture
def calls(app: CeleriacApp, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The calls of SQS, by operation."""
    counted: Counter[str] = Counter()
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def count(self: Any, operation: str, parameters: Any) -> Any:
        if self.meta.service_model.service_name == "sqs":
            counted[operation] += 1
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", count)
    return counted


def test_a_group_goes_out_in_batches(app: CeleriacApp, calls: Counter[str]) -> None:
    """25 members make three calls, and each member has its record."""
    result = group(app.tasks["double"].s(n) for n in range(25)).apply_async()

    assert calls == {"SendMessageBatch": 3}
    ids = [member.id for member in result.results]
    assert set(services().records.get_many(ids)) == set(ids)


def test_as_many_threads_publish_at_once_as_an_api_process_has(
    app: CeleriacApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None waits for another's connection: all forty are inside SQS's call together."""
    threads = 40
    # Each thread makes a client of SQS before it gets there: seconds of computing, all together.
    together = Barrier(threads, timeout=120)
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def meet(self: Any, operation: str, parameters: Any) -> Any:
        if operation == "SendMessage":
            together.wait()
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", meet)

    with ThreadPoolExecutor(threads) as pool:
        sent = list(pool.map(app.tasks["double"].delay, range(threads)))

    assert len({each.id for each in sent}) == threads


def test_a_single_task_goes_out_by_itself(app: CeleriacApp, calls: Counter[str]) -> None:
    """One message is one SendMessage, and nothing else is asked of SQS."""
    app.tasks["double"].delay(1)

    assert calls == {"SendMessage": 1}


def test_an_error_inside_a_batch_is_the_callers_whatever_sqs_does(
    app: CeleriacApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's own error isn't hidden by that of the sending it has interrupted."""

    def refuse(*_: Any, **__: Any) -> Any:
        return {"Failed": [{"Id": "0", "SenderFault": True, "Code": "No"}]}

    def interrupted() -> None:
        with app.collecting():
            app.tasks["double"].delay(1)
            monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
            monkeypatch.setattr(services().records, "discard", lambda _: False)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()


def test_a_group_that_cannot_be_sent_leaves_nothing(
    app: CeleriacApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SQS down the caller is told, and no record of the group is left."""
    tasks = [app.tasks["double"].s(n) for n in range(12)]
    frozen = group(tasks)
    ids = [member.id for member in frozen.freeze().results]
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuse(self: Any, operation: str, parameters: Any) -> Any:
        if self.meta.service_model.service_name == "sqs":
            raise EndpointConnectionError(endpoint_url="https://sqs.us-east-1.amazonaws.com")
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)

    with pytest.raises(UnavailableError):
        frozen.apply_async()

    assert services().records.get_many(ids) == {}
