"""The records in memory, which tests stand on, answer as those on DynamoDB do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac import states
from celeriac.records import (
    DynamoRecords,
    Failure,
    Filter,
    Progress,
    RecordStore,
    list_tasks,
)
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.testing import MemoryRecords
from tests.unit.engine.support import START, Timer, new_record

SHARDS = 2
OWNERS = st.sampled_from(["a", "b"])
FAILURE = Failure(type="LeafMissing", message="no leaf")
PROGRESS = Progress(current=1, total=2, message="digging")

Call = Callable[[RecordStore, str, int], object]


def creation(tags: tuple[str, ...]) -> Call:
    return lambda store, task_id, _: store.create(
        new_record(task_id=task_id, tenant=task_id, tags=tags)
    )


calls: st.SearchStrategy[tuple[str, Call]] = st.one_of(
    st.builds(lambda tags: (f"create {tags}", creation(tags)), st.sampled_from([(), ("x",)])),
    st.just(("get", lambda store, task_id, _: store.get(task_id))),
    st.just(("get_many", lambda store, task_id, _: store.get_many([task_id, "unknown"]))),
    st.just(("discard", lambda store, task_id, _: store.discard(task_id))),
    st.just(("resend", lambda store, task_id, _: store.resend(task_id))),
    st.just(
        (
            "replace",
            lambda store, task_id, _: store.resend(task_id, type="sow", queue="files", input="=3"),
        )
    ),
    st.just(("cancel", lambda store, task_id, _: store.cancel(task_id))),
    st.just(("mail events", lambda store, task_id, _: store.note_mail_events(task_id))),
    st.builds(
        lambda further, ended: (
            f"keep {further} {ended}",
            lambda store, task_id, now: store.keep(
                task_id, now // 1000 + 3600 + further, ended=ended
            ),
        ),
        st.sampled_from([-1, 0, 1]),
        st.booleans(),
    ),
    st.builds(
        lambda attempt, owner: (
            f"claim {attempt} {owner}",
            lambda store, task_id, now: store.claim(task_id, attempt, owner, now + 1000),
        ),
        st.integers(1, 3),
        OWNERS,
    ),
    st.builds(
        lambda owner: (
            f"hand_on {owner}",
            lambda store, task_id, _: store.hand_on(task_id, owner),
        ),
        OWNERS,
    ),
    st.builds(
        lambda age: (
            f"await_canvas {age}",
            lambda store, task_id, _: (
                store.await_canvas(replace(found, version=found.version - age))
                if (found := store.get(task_id))
                else None
            ),
        ),
        st.sampled_from([0, 0, 1]),
    ),
    st.builds(
        lambda owner: (
            f"renew {owner}",
            lambda store, task_id, now: store.renew(task_id, owner, now + 1000),
        ),
        OWNERS,
    ),
    st.builds(
        lambda owner, state, progress, meta: (
            f"report {owner} {state}",
            lambda store, task_id, _: store.report(
                task_id, owner, state, progress=progress, meta=meta
            ),
        ),
        OWNERS,
        st.sampled_from([states.PROGRESS, "DIGGING", states.PENDING]),
        st.sampled_from([None, PROGRESS]),
        st.sampled_from([None, "1"]),
    ),
    st.builds(
        lambda owner, reference: (
            f"retry {owner}",
            lambda store, task_id, now: store.retry(
                task_id, owner, now + 500, FAILURE, input=reference
            ),
        ),
        OWNERS,
        st.sampled_from([None, "=2"]),
    ),
    st.builds(
        lambda owner, crash: (
            f"release {owner} {crash}",
            lambda store, task_id, _: store.release(task_id, owner, crash=crash),
        ),
        OWNERS,
        st.sampled_from([None, "exit code 3"]),
    ),
    st.builds(
        lambda owner, state: (
            f"finish {owner} {state}",
            lambda store, task_id, _: store.finish(
                task_id,
                owner,
                state,
                result="=1",
                failure=FAILURE if state == states.FAILURE else None,
            ),
        ),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(sorted(states.TERMINAL)),
    ),
)
steps = st.tuples(calls, st.sampled_from([0, 0, 1, 999, 1001]))
_numbers = itertools.count()


def answer(store: RecordStore, call: Call, task_id: str, now: int) -> Any:
    """What a call answers, or how it refuses; with what the indexes then say."""
    try:
        said: object = call(store, task_id, now)
    except Exception as error:  # noqa: BLE001 - refusals have to agree, too
        said = (type(error), vars(error))
    pages = [
        list_tasks(store, task_id, Filter(status=status), limit=10)
        for status in (None, states.FAILURE)
    ]
    unfinished = [each for each in store.unfinished() if each.task_id == task_id]
    return said, pages, unfinished


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sequence=st.lists(steps, min_size=5, max_size=25))
def test_memory_and_dynamodb_agree(
    aws: Settings, sequence: list[tuple[tuple[str, Call], int]]
) -> None:
    """Any sequence of calls gives the same answers, refusals and listings on both."""
    timer = Timer(START)
    memory = MemoryRecords(shards=SHARDS, clock=timer)
    dynamo = DynamoRecords(services().dynamodb, aws.table_name, shards=SHARDS, clock=timer)
    task_id = f"agree-{next(_numbers)}"
    create = ("create", creation(()))
    for (name, call), pause in [(create, 0), *sequence]:
        timer.advance(timedelta(milliseconds=pause))
        in_memory = answer(memory, call, task_id, timer.now)
        on_dynamo = answer(dynamo, call, task_id, timer.now)
        assert in_memory == on_dynamo, name
