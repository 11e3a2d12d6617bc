"""Tasks in each of their states, and the writes of a lease's holder: the tests' raw material."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from celeriac import states
from celeriac.records import (
    Claimed,
    Failure,
    RecordStore,
    TaskRecord,
)
from tests.unit.engine.support import START, World, new_record

A, B = "worker-a/1", "worker-b/1"
FAILURE = Failure(type="LeafMissing", message="no leaf")
SECOND = timedelta(seconds=1)


def pending(world: World, **fields: object) -> TaskRecord:
    record = new_record(**fields)
    world.records.create(record)
    return record


def started(world: World, owner: str = A, **fields: object) -> TaskRecord:
    return claimed(world, pending(world, **fields).task_id, 1, owner)


def claimed(world: World, task_id: str, attempt: int, owner: str) -> TaskRecord:
    answer = world.records.claim(task_id, attempt, owner, world.timer.now + 60_000)
    assert isinstance(answer, Claimed), answer
    return answer.record


def waiting_for_retry(world: World) -> TaskRecord:
    record = started(world)
    return world.records.retry(record.task_id, A, world.timer.now + 5000, FAILURE)


def reporting(world: World) -> TaskRecord:
    record = started(world)
    return world.records.report(record.task_id, A, states.PROGRESS)


def succeeded(world: World) -> TaskRecord:
    return world.records.finish(started(world).task_id, A, states.SUCCESS, result="=1")


def failed(world: World) -> TaskRecord:
    return world.records.finish(started(world).task_id, A, states.FAILURE, failure=FAILURE)


def revoked(world: World) -> TaskRecord:
    outcome = world.records.cancel(pending(world).task_id)
    assert outcome is not None
    return outcome[1]


WAITING = [pending, waiting_for_retry]
RUNNING = [started, reporting]
TERMINAL = [succeeded, failed, revoked]
Stage = Callable[[World], TaskRecord]


def stages(*which: Stage) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", which, ids=lambda stage: stage.__name__)


def renew(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.renew(task_id, owner, START + 90_000)


def report(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.report(task_id, owner, states.PROGRESS)


def retry(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.retry(task_id, owner, START, FAILURE)


def release(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.release(task_id, owner)


def hand_on(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.hand_on(task_id, owner)


def succeed(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.finish(task_id, owner, states.SUCCESS, result="=1")


def fail(records: RecordStore, task_id: str, owner: str) -> TaskRecord:
    return records.finish(task_id, owner, states.FAILURE, result="=2", failure=FAILURE)


HOLDERS_WRITES = [renew, report, retry, release, hand_on, succeed, fail]
Write = Callable[[RecordStore, str, str], TaskRecord]


def writes(*which: Write) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("write", which, ids=lambda write: write.__name__)
