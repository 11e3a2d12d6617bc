"""A task that has not ended is kept, however much longer than ``record_ttl`` it waits or runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from celeriac import clock, states
from celeriac.contract import catalogue
from celeriac.operations import pausing
from celeriac.operations.keeping import WORN
from celeriac.operations.maintenance import Repaired, repair
from celeriac.operations.submission import submit
from celeriac.records import Failure, TaskRecord
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.storage.values import INLINE_LIMIT, ITEM_LIMIT, AwsValues, ValueMissingError
from tasks.queues import DEFAULT
from tests.unit.expiring import Passing

GRACE = timedelta(minutes=15)
DAY = timedelta(days=1)
#: The time between two repairs: an hour, were it not for the time that tests take.
BETWEEN = 2 * DAY
#: As many repairs as there are in twice ``record_ttl``.
LONG = 7
OWNER = "a worker"
FAILURE = Failure(type="E", message="m")


@pytest.fixture(autouse=True)
def nothing_left(aws: Settings) -> Iterator[None]:
    """A repair finds the tasks that other tests leave. Their messages alone are nothing to it."""
    yield
    own = services()
    for page in own.dynamodb.get_paginator("scan").paginate(TableName=aws.table_name):
        for item in page["Items"]:
            key = {name: item[name] for name in ("pk", "sk")}
            own.dynamodb.delete_item(TableName=aws.table_name, Key=key)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    return Passing(monkeypatch)


def a_task(size: int = 1000, **options: Any) -> TaskRecord:
    """A task whose input takes about so many bytes."""
    payload = {"total_steps": 1, "items": ["x" * size], "step_seconds": 0}
    return submit("long-running", payload, **options).record


def record_of(task: TaskRecord) -> TaskRecord:
    found = services().records.get(task.task_id)
    assert found is not None
    return found


def claim(task: TaskRecord) -> TaskRecord:
    until = clock.now() + clock.millis(100 * DAY)
    services().records.claim(task.task_id, 1, OWNER, until)
    return record_of(task)


# The ways in which a task waits or runs for long.


def in_a_backlog() -> TaskRecord:
    a_task()
    return a_task()


def in_a_paused_queue() -> TaskRecord:
    pausing.pause(DEFAULT)
    return a_task()


def of_a_paused_type() -> TaskRecord:
    pausing.pause(catalogue()["long-running"])
    return a_task()


def between_attempts() -> TaskRecord:
    task = claim(a_task())
    return services().records.retry(task.task_id, OWNER, clock.now(), FAILURE)


def running() -> TaskRecord:
    return claim(a_task())


def told_to_stop() -> TaskRecord:
    task = running()
    services().records.cancel(task.task_id)
    return record_of(task)


def released() -> TaskRecord:
    return services().records.release(running().task_id, OWNER)


def awaiting_its_canvas() -> TaskRecord:
    handed_on = services().records.hand_on(running().task_id, OWNER)
    services().records.await_canvas(handed_on)
    return record_of(handed_on)


WAYS = [
    in_a_backlog,
    in_a_paused_queue,
    of_a_paused_type,
    between_attempts,
    running,
    told_to_stop,
    released,
    awaiting_its_canvas,
]


def repairs(passing: Passing, count: int) -> list[Repaired]:
    done = []
    for _ in range(count):
        passing.advance(BETWEEN)
        done.append(repair(GRACE))
    return done


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whatever_a_task_waits_for_its_record_and_input_stay(
    passing: Passing, way: Callable[[], TaskRecord]
) -> None:
    """For twice as long as they would have lasted. Callers see the same task."""
    task = way()
    text = services().values.get(task.tenant, task.task_id, task.input)

    done = repairs(passing, LONG)

    now_is = record_of(task)
    assert (now_is.state, now_is.input, now_is.attempt) == (task.state, task.input, task.attempt)
    assert services().values.get(task.tenant, task.task_id, now_is.input) == text
    assert all(task.task_id in each.kept for each in done)
    assert not any(each.unsendable for each in done)


@pytest.mark.parametrize("size", [0, INLINE_LIMIT, ITEM_LIMIT + 1])
def test_an_input_of_any_size_stays_under_its_reference(passing: Passing, size: int) -> None:
    """In the record, next to it, or in S3. The message in SQS carries the reference."""
    task = a_task(size)

    repairs(passing, LONG)

    assert record_of(task).input == task.input
    assert "x" * size in services().values.get(task.tenant, task.task_id, task.input)


@pytest.mark.parametrize("size", [1000, ITEM_LIMIT + 1])
def test_without_repairs_both_are_gone(passing: Passing, size: int) -> None:
    """So it is the repair that keeps them."""
    task = a_task(size)

    passing.advance(9 * DAY)

    assert services().records.get(task.task_id) is None
    with pytest.raises(ValueMissingError):
        services().values.get(task.tenant, task.task_id, task.input)


def test_repairs_may_fail_for_days(passing: Passing) -> None:
    """Four fifths of the time are left when a task is kept for longer."""
    task = a_task()
    for _ in range(4):
        passing.advance(5 * DAY)
        repair(GRACE)

    assert record_of(task).state == states.PENDING


@pytest.mark.parametrize("end", sorted(states.TERMINAL))
def test_a_task_that_has_ended_is_kept_no_longer(passing: Passing, end: str) -> None:
    """Its record and result last as if it had been submitted at most a fifth earlier."""
    task = a_task()
    repairs(passing, LONG)
    claim(task)
    result = services().values.put(task.tenant, task.task_id, "result", "y" * 1000, 2**40)
    services().records.finish(task.task_id, OWNER, end, result=result)

    repairs(passing, 3)
    assert record_of(task).state == end
    repairs(passing, 1)
    assert services().records.get(task.task_id) is None


def test_a_task_that_is_due_later_needs_no_write_before(passing: Passing) -> None:
    """Its record was made to last until then, and for ``record_ttl`` more."""
    task = a_task(delay=6 * BETWEEN)

    before, after = repairs(passing, 6), repairs(passing, 2)

    assert [each.kept for each in before] == [[]] * 6
    assert [each.kept for each in after] == [[task.task_id]] * 2


@pytest.mark.parametrize(
    ("age", "kept"), [(0, 0), (WORN - 0.01, 0), (WORN + 0.01, 1), (0.5, 1), (0.99, 1)]
)
@pytest.mark.parametrize("grace", [timedelta(0), GRACE, 3 * DAY])
def test_a_task_is_kept_once_a_fifth_of_its_time_has_gone(
    passing: Passing, age: float, kept: int, grace: timedelta
) -> None:
    """Whatever the grace is. A second repair at the same time finds nothing to do."""
    a_task()
    passing.advance(services().settings.record_ttl * age)

    first, second = repair(grace), repair(grace)

    assert (len(first.kept), len(second.kept)) == (kept, 0)


@pytest.mark.parametrize(
    ("way", "kept"), [(in_a_backlog, 0), (between_attempts, 0), (running, 1), (released, 1)]
)
def test_a_task_whose_input_is_gone(
    passing: Passing, caplog: pytest.LogCaptureFixture, way: Callable[[], TaskRecord], kept: int
) -> None:
    """One that waits can't run, and its record expires. One that runs can still end."""
    task = way()
    key = {"pk": {"S": f"task#{task.task_id}"}, "sk": {"S": task.input.removeprefix("item:")}}
    services().dynamodb.delete_item(TableName=services().settings.table_name, Key=key)
    passing.advance(3 * DAY)

    repaired = repair(GRACE)

    assert [task.task_id in each for each in (repaired.kept, repaired.unsendable)] == [
        bool(kept),
        # A running one that nobody holds can't be sent again either.
        way is not running,
    ]
    assert (record_of(task).expires_at > task.expires_at) is bool(kept)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (EndpointConnectionError(endpoint_url="https://s3"), logging.WARNING),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "x"), logging.ERROR),
    ],
    ids=["out of reach", "forbidden"],
)
def test_one_that_cant_be_kept_now_keeps_no_other_from_it(
    passing: Passing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: int,
) -> None:
    """The log says which; the next repair tries again."""
    tasks = [a_task() for _ in range(3)]
    passing.advance(2 * DAY)
    renew = AwsValues.renew

    def failing(own: AwsValues, tenant: str, task_id: str, *rest: Any) -> None:
        if task_id == tasks[1].task_id:
            raise error
        renew(own, tenant, task_id, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(AwsValues, "renew", failing)
        first = repair(GRACE)
    second = repair(GRACE)

    assert sorted(first.kept) == sorted([tasks[0].task_id, tasks[2].task_id])
    assert second.kept == [tasks[1].task_id]
    [said] = [each for each in caplog.records if "isn't kept" in each.getMessage()]
    assert tasks[1].task_id in said.getMessage()
    assert said.levelno == level


def test_a_worker_that_dies_between_input_and_record_is_made_up_for(
    passing: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The input comes first, so no record outlives it."""
    task = a_task()
    passing.advance(2 * DAY)

    class KilledError(BaseException):
        """Where a worker dies."""

    def die(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as dying:
        dying.setattr(services().records, "keep", die)
        with pytest.raises(KilledError):
            repair(GRACE)
    assert record_of(task).expires_at == task.expires_at

    repairs(passing, LONG)
    assert services().values.get(task.tenant, task.task_id, record_of(task).input)
