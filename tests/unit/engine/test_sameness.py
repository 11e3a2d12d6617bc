"""Submissions that are the same are one task: the first one, or the last."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import _state

from celeriac import clock, states
from celeriac.app.factory import Celeriac, make_app
from celeriac.contract import BaseModel, Catalogue, Debounce, TaskContext, Unique, task
from celeriac.errors import UnavailableError
from celeriac.operations.sameness import SUPERSEDED
from celeriac.operations.submission import submit
from celeriac.records import TaskRecord
from celeriac.settings import Settings
from celeriac.storage import services as storage
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.unit.engine.support import Timer, out_of_reach
from tests.unit.expiring import Passing

_numbers = itertools.count()


class Bed(BaseModel):
    bed: str
    rows: int = 1


@task(queue=DEFAULT, unique_for=Unique(key=("bed",)))
def weed(payload: Bed, context: TaskContext) -> Bed:
    """Weed a bed: one at a time."""
    return payload


@task(queue=DEFAULT, unique_for=timedelta(hours=1))
def water(payload: Bed, context: TaskContext) -> Bed:
    """Water a bed: once an hour."""
    return payload


@task(queue=DEFAULT, debounce=Debounce(timedelta(seconds=30), key=("bed",)))
def plan(payload: Bed, context: TaskContext) -> Bed:
    """Plan a bed, once nobody has changed it for half a minute."""
    return payload


TYPES = Catalogue([weed, water, plan])


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    timer = Timer()
    monkeypatch.setattr(clock, "now", timer)
    return timer


@pytest.fixture
def app(aws: Settings, timer: Timer) -> Iterator[Celeriac]:
    before = _state._get_current_app()
    storage.reset()
    yield make_app(aws, TYPES)
    storage.reset()
    _state._set_current_app(before)


@pytest.fixture
def bed() -> str:
    return f"bed-{next(_numbers)}"


def end(record: TaskRecord, state: str = states.SUCCESS) -> None:
    services().records.claim(record.task_id, 1, "worker/1", clock.now() + 60_000)
    services().records.finish(record.task_id, "worker/1", state)


def messages() -> list[dict[str, Any]]:
    """Take all messages that are visible."""
    url = services().settings.queue_url(DEFAULT)
    found: list[Any] = []
    while True:
        answer = services().sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        if not answer.get("Messages"):
            return found
        found += answer["Messages"]


# -- unique_for


def test_a_second_submission_gives_the_task_that_has_not_ended(app: Celeriac, bed: str) -> None:
    """The fields that aren't in the key may differ; the first payload counts."""
    messages()
    first = submit("weed", {"bed": bed, "rows": 1}, app=app)
    second = submit("weed", {"bed": bed, "rows": 2}, app=app)

    assert (first.replayed, first.unique) == (False, False)
    assert (second.replayed, second.unique) == (True, True)
    assert second.record.task_id == first.record.task_id
    assert len(messages()) == 1


@pytest.mark.parametrize("state", sorted(states.TERMINAL))
def test_the_next_one_is_accepted_once_it_has_ended(app: Celeriac, bed: str, state: str) -> None:
    """However it has ended."""
    first = submit("weed", {"bed": bed}, app=app)
    end(first.record, state)
    second = submit("weed", {"bed": bed}, app=app)

    assert second.replayed is False
    assert second.record.task_id != first.record.task_id


def test_in_a_period_there_is_one_even_if_it_has_ended(
    app: Celeriac, timer: Timer, bed: str
) -> None:
    """When the period is over, there may be another, whatever the first does."""
    first = submit("water", {"bed": bed}, app=app)
    end(first.record)
    timer.advance(timedelta(minutes=59))
    again = submit("water", {"bed": bed}, app=app)
    timer.advance(timedelta(minutes=1))
    later = submit("water", {"bed": bed}, app=app)

    assert again.record.task_id == first.record.task_id
    assert again.unique
    assert later.record.task_id != first.record.task_id


def test_one_that_waits_for_months_stands_all_the_time(
    app: Celeriac, monkeypatch: pytest.MonkeyPatch, bed: str
) -> None:
    """The repair keeps its record, and the name that leads to it lasts."""
    monkeypatch.undo()
    passing = Passing(monkeypatch)
    first = submit("weed", {"bed": bed}, app=app)
    for _ in range(20):
        passing.advance(timedelta(days=5))
        kept = (clock.now() + clock.millis(app.settings.record_ttl)) // 1000
        services().records.keep(first.record.task_id, kept)
        again = submit("weed", {"bed": bed}, app=app)
        assert (again.replayed, again.record.task_id) == (True, first.record.task_id)


@pytest.mark.parametrize(("hours", "same"), [(0, True), (7 * 24 - 1, True), (7 * 24, False)])
def test_a_name_without_a_record_is_taken_over_once_a_record_would_have_expired(
    app: Celeriac, timer: Timer, bed: str, hours: int, same: bool
) -> None:
    """A young name is that of a caller that died. An old one is that of a task long ended.

    Another submission never runs under the id of a task that has run.
    """
    first = submit("weed", {"bed": bed}, app=app)
    end(first.record)
    services().records.forget(first.record.task_id)
    timer.advance(timedelta(hours=hours))

    second = submit("weed", {"bed": bed}, app=app)
    third = submit("weed", {"bed": bed}, app=app)

    assert second.replayed is False
    assert (second.record.task_id == first.record.task_id) is same
    assert (third.replayed, third.record.task_id) == (True, second.record.task_id)


def test_another_payload_or_tenant_is_another_task(app: Celeriac, bed: str) -> None:
    """Without a key the whole payload is compared, and tenants never meet."""
    one = submit("water", {"bed": bed, "rows": 1}, app=app)
    other = submit("water", {"bed": bed, "rows": 2}, app=app)
    tenant = submit("water", {"bed": bed, "rows": 1}, tenant="neighbour", app=app)

    assert len({each.record.task_id for each in (one, other, tenant)}) == 3


def test_a_submission_that_failed_does_not_block_the_next(app: Celeriac, bed: str) -> None:
    """SQS was out of reach: nothing was accepted, and the next submission is."""
    with out_of_reach("sqs"), pytest.raises(UnavailableError):
        submit("weed", {"bed": bed}, app=app)
    accepted = submit("weed", {"bed": bed}, app=app)

    assert accepted.replayed is False
    assert services().records.get(accepted.record.task_id) is not None


def test_a_message_that_was_never_sent_is_sent_by_a_later_submission(
    app: Celeriac, timer: Timer, bed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller died between the record and the message. One message is sent, and not one each."""
    messages()
    with monkeypatch.context() as died:
        died.setattr(app, "publish_new", lambda *_: None)
        submit("weed", {"bed": bed}, app=app)
    assert messages() == []
    timer.advance(timedelta(minutes=2))
    for _ in range(3):
        submit("weed", {"bed": bed}, app=app)

    assert len(messages()) == 1


def test_an_idempotency_key_holds_for_the_task_that_stands_for_it(app: Celeriac, bed: str) -> None:
    """The key's own task was never made: repeating the request gives the same answer."""
    first = submit("weed", {"bed": bed}, app=app)
    keyed = [submit("weed", {"bed": bed}, idempotency_key=f"key-{bed}", app=app) for _ in range(2)]

    assert {each.record.task_id for each in keyed} == {first.record.task_id}
    assert all(each.unique for each in keyed)


# -- debounce


def test_the_last_of_a_series_runs_after_the_delay(app: Celeriac, timer: Timer, bed: str) -> None:
    """Each one before it ends as REVOKED, and says which task took its place."""
    series = []
    for rows in (1, 2, 3):
        series.append(submit("plan", {"bed": bed, "rows": rows}, app=app).record)
        timer.advance(timedelta(seconds=10))

    found = services().records.get_many(each.task_id for each in series)
    first, second, last = (found[each.task_id] for each in series)
    assert (first.state, second.state, last.state) == ("REVOKED", "REVOKED", "PENDING")
    assert first.failure is not None
    assert first.failure.type == SUPERSEDED
    assert second.task_id in first.failure.message
    assert last.due_at == series[2].created_at + 30_000


def test_a_steady_stream_starts_one_after_the_longest_wait(
    app: Celeriac, timer: Timer, bed: str
) -> None:
    """A submission each 10 s, for 15 minutes: one task each 5 minutes, ten delays."""
    began = timer()
    records = []
    for rows in range(90):
        records.append(submit("plan", {"bed": bed, "rows": rows}, app=app).record)
        timer.advance(timedelta(seconds=10))

    found = services().records.get_many(each.task_id for each in records)
    kept = [each for each in found.values() if each.state == states.PENDING]
    due = sorted((each.due_at or 0) - began for each in kept)
    assert due == [300_000, 600_000, 900_000]


def test_a_task_that_has_begun_is_not_superseded(app: Celeriac, timer: Timer, bed: str) -> None:
    """The next submission is a series of its own, and both run."""
    first = submit("plan", {"bed": bed}, app=app).record
    timer.advance(timedelta(seconds=30))
    services().records.claim(first.task_id, 1, "worker/1", clock.now() + 60_000)
    second = submit("plan", {"bed": bed}, app=app).record

    found = services().records.get_many([first.task_id, second.task_id])
    assert found[first.task_id].state == states.STARTED
    assert found[second.task_id].due_at == timer() + 30_000


def test_other_keys_and_tenants_are_other_series(app: Celeriac, bed: str) -> None:
    """None of them supersedes another."""
    records = [
        submit("plan", {"bed": bed}, app=app).record,
        submit("plan", {"bed": f"{bed}-2"}, app=app).record,
        submit("plan", {"bed": bed}, tenant="neighbour", app=app).record,
    ]

    found = services().records.get_many(each.task_id for each in records)
    assert {each.state for each in found.values()} == {states.PENDING}


def test_a_submission_that_fails_supersedes_nothing(app: Celeriac, bed: str) -> None:
    """SQS is out of reach: the task before it still runs."""
    first = submit("plan", {"bed": bed}, app=app).record
    with out_of_reach("sqs"), pytest.raises(UnavailableError):
        submit("plan", {"bed": bed}, app=app)

    found = services().records.get(first.task_id)
    assert found is not None
    assert found.state == states.PENDING
