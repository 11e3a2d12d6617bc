"""Whatever a task raises is its own failure: its worker, and the tasks next to it, are unharmed."""

from __future__ import annotations

import time
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from celery import chain, chord
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from celeriac import states
from celeriac.operations.submission import submit
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from tests.faults.stack import Stack, WorkerProcess
from tests.faults.ways import REJECTED, RETURNED, WAYS
from tests.integration.processes import is_alive, wait_for

FORMS = ("plain", "typed", "chain", "chord")
ENDINGS = st.tuples(st.sampled_from(sorted(WAYS)), st.sampled_from(FORMS))


POOLS = pytest.mark.parametrize("pool", [None, "threads"])


@pytest.fixture
def worker(stack: Stack, pool: str | None) -> WorkerProcess:
    return stack.start_worker(2, pool=pool)


def send(stack: Stack, tasks: ModuleType, form: str, name: str) -> tuple[str, str]:
    """Send a task that ends in this way: its id, and that of what ends after it."""
    plain = tasks.ending_plainly
    match form:
        case "plain":
            sent = plain.delay(name).id
            return sent, sent
        case "typed":
            sent = submit("ending", {"way": name}, app=stack.caller).record.task_id
            return sent, sent
        case "chain":
            last = chain(tasks.add.s(1, 1), plain.si(name), tasks.add.si(1, 2)).delay()
            return last.parent.id, last.id
        case _:
            last = chord([tasks.add.s(1, 1), plain.si(name)], tasks.add.si(1, 2)).delay()
            return last.parent.results[1].id, last.id


def tried_again(form: str, name: str) -> bool:
    """Typed tasks that fail are, by their policy; not if they say that it wouldn't help."""
    once = RETURNED.keys() | REJECTED.keys()
    return form == "typed" and WAYS[name].failure is not None and name not in once


def ended(stack: Stack, task_ids: set[str], seconds: float) -> dict[str, TaskRecord]:
    """The records of those that have ended, once all have or the time is over."""
    records: dict[str, TaskRecord] = {}
    until = time.monotonic() + seconds
    while len(records) < len(task_ids) and time.monotonic() < until:
        found = services().records.get_many(task_ids - set(records))
        records |= {each: record for each, record in found.items() if record.terminal}
        time.sleep(0.1)  # between two looks
    return records


def is_unharmed(worker: WorkerProcess, stack: Stack, children: list[int]) -> bool:
    """The same process, with the same children, runs another task, and holds no message."""
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    wait_for(lambda: not any(stack.depth().values()), "the messages to be deleted")
    return is_alive(worker.pid) and worker.children == children


@POOLS
@pytest.mark.parametrize("form", FORMS)
def test_the_record_says_how_each_task_ended(
    stack: Stack, tasks: ModuleType, worker: WorkerProcess, pool: str | None, form: str
) -> None:
    """By the table of ways; the same processes then run the next task, and no message is held."""
    children = worker.children
    names = [name for name, way in WAYS.items() if pool is None or not way.only_in_processes]
    sent = {name: send(stack, tasks, form, name) for name in names}

    records = ended(stack, {each for pair in sent.values() for each in pair}, 60)

    wrong: dict[str, Any] = {}
    for name, (own, last) in sent.items():
        if own not in records or last not in records:
            wrong[name] = "has not ended"
            continue
        way, record = WAYS[name], records[own]
        if form == "typed" and name in RETURNED:
            way = replace(way, failure="wrong-result", message="ending returned ")
        failure = record.failure
        said = (record.state, failure and failure.type, records[last].state)
        if said != (way.state, way.failure, way.state):
            wrong[name] = said
        elif failure is not None and not failure.message.startswith(way.message):
            wrong[name] = failure.message
        elif record.attempts != (2 if tried_again(form, name) else 1):
            wrong[name] = record.attempts
    assert wrong == {}
    assert is_unharmed(worker, stack, children)


@POOLS
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    drawn=st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.sampled_from(FORMS)), min_size=10)
)
def test_no_way_to_end_harms_the_task_beside_it(
    stack: Stack,
    tasks: ModuleType,
    worker: WorkerProcess,
    pool: str | None,
    drawn: list[tuple[str, str]],
) -> None:
    """In any order and mixture, each innocent task between them runs once, and succeeds."""
    children = worker.children
    innocent: list[str] = []
    others: list[str] = []
    for number, (name, form) in enumerate(drawn):
        if pool is not None and WAYS[name].only_in_processes:
            continue
        others += send(stack, tasks, form, name)
        innocent.append(stack.submit("effect", f"innocent-{number}", seconds=0.05))

    records = stack.wait_for_all([*others, *innocent], 120)

    assert {(records[each].state, records[each].attempts) for each in innocent} == {
        (states.SUCCESS, 1)
    }
    assert is_unharmed(worker, stack, children)


@POOLS
def test_ignore_and_retry_raised_by_a_task_end_it(
    stack: Stack, tasks: ModuleType, worker: WorkerProcess
) -> None:
    """Nothing waits for a message that nobody sends: each ends, holds no lease, tells its chord."""
    ignored = tasks.ignoring.delay()
    by_hand = tasks.ignoring.delay(states.FAILURE)
    done = tasks.ignoring.delay(states.SUCCESS)
    retried = tasks.raising_retry.delay()
    joined = chord([tasks.add.s(1, 1), tasks.ignoring.s()], tasks.total.s()).delay()
    failed = chord([tasks.add.s(1, 1), tasks.ignoring.s(states.FAILURE)], tasks.total.s()).delay()

    wanted = [ignored, by_hand, done, retried, joined, failed]
    records = stack.wait_for_all([each.id for each in wanted], 30)

    assert [records[each.id].state for each in wanted] == [
        states.REVOKED,
        states.FAILURE,
        states.SUCCESS,
        states.FAILURE,
        states.FAILURE,
        states.FAILURE,
    ]
    failure = records[retried.id].failure
    assert failure is not None
    assert failure.type == "retry-not-sent"
    assert all(each.lease_until is None for each in records.values())
