"""Urgent tasks overtake others, and what is paused begins no task, whatever dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from celeriac import states
from celeriac.contract import DEFAULT
from celeriac.local.standin.faults import Fault
from celeriac.operations import pausing
from celeriac.operations.submit_many import Item, submit_many
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.transport.polls import SHARE
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

#: The promise of a pause.
OBEYED_WITHIN = 10.0


@pytest.fixture(autouse=True)
def resumed(stack: Stack) -> Iterator[None]:
    """Leave nothing paused."""
    yield
    stack.aws.heal()
    for pause in pausing.paused().pauses:
        services().pauses.resume(pause.kind, pause.name)


def submit_all(stack: Stack, count: int, seconds: float, **options: str) -> list[str]:
    """Submit tasks of one type; their ids."""
    items = [
        Item(payload={"name": "x", "seconds": seconds}, **options)  # type: ignore[arg-type]
        for _ in range(count)
    ]
    answers = submit_many("effect", items, app=stack.caller)
    return [each.record.task_id for each in answers]  # type: ignore[union-attr]


def begun(records: dict[str, TaskRecord]) -> list[TaskRecord]:
    """Those that have begun, in the order in which they did."""
    started = [each for each in records.values() if each.started_at]
    return sorted(started, key=lambda each: each.started_at or 0)


def none_begins(task_ids: list[str], seconds: float) -> None:
    """For so long, no task of these begins."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        assert begun(services().records.get_many(task_ids)) == []
        time.sleep(0.2)


def test_an_urgent_task_overtakes_a_thousand(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    """With eight processes, it begins within the duration of one task."""
    seconds = 2.0
    normal = submit_all(stack, 1000, seconds)
    stack.start_worker(8)
    wait_for(lambda: stack.depth()["in_flight"] >= 8, "the worker to be busy", 30)
    time.sleep(seconds)

    waits = []
    for _ in range(3):
        task_id = stack.submit("effect", seconds=seconds, priority="high")
        record = stack.wait_for_state(task_id, states.SUCCESS, seconds=60)
        waits.append(((record.started_at or 0) - record.created_at) / 1000)

    record_property("waits", waits)
    ended = [each for each in services().records.get_many(normal).values() if each.terminal]
    longest = max((each.finished_at or 0) - (each.started_at or 0) for each in ended) / 1000
    record_property("longest", longest)
    assert max(waits) < longest + 1, waits
    print("WAITS", waits)
    assert stack.depth()["visible"] > 900


def test_normal_tasks_have_their_share_of_a_flood(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    """While urgent ones wait, about one of five that begin is a normal one."""
    normal = submit_all(stack, 60, 0.2)
    urgent = submit_all(stack, 240, 0.2, priority="high")
    stack.start_worker(4)

    ended = stack.wait_for_all(urgent, 120)

    order = begun({**ended, **services().records.get_many(normal)})
    last_urgent = max(each.started_at or 0 for each in ended.values())
    among = [each for each in order if (each.started_at or 0) < last_urgent]
    share = sum(each.priority is None for each in among) / len(among)
    record_property("share", share)
    assert 0.5 / SHARE < share < 2 / SHARE


def test_a_paused_queue_begins_nothing(stack: Stack) -> None:
    """Within ten seconds; running tasks go on; it resumes within ten."""
    worker = stack.start_worker(2)
    running = stack.submit("effect", seconds=14)
    stack.wait_for_state(running, states.STARTED)
    first = pausing.pause(DEFAULT, by="me", reason="the disk is full")
    assert pausing.pause(DEFAULT, by="you") == first
    time.sleep(OBEYED_WITHIN)

    task_ids = submit_all(stack, 10, 0)
    none_begins(task_ids, 3)
    assert worker.signs()["room"] is False
    assert stack.wait_for_state(running, states.SUCCESS).attempts == 1

    pausing.resume(DEFAULT)
    ended = stack.wait_for_all(task_ids, OBEYED_WITHIN + 5)
    assert {each.attempts for each in ended.values()} == {1}


def test_held_messages_of_a_paused_queue_return(stack: Stack) -> None:
    """What a worker holds and hasn't begun runs elsewhere, or after the pause."""
    stack.start_worker(1)
    stack.submit("effect", seconds=8)
    waiting = submit_all(stack, 3, 0)
    pausing.pause(DEFAULT)

    wait_for(lambda: stack.depth()["visible"] == 3, "the messages to return", 12)
    none_begins(waiting, 3)


def test_a_pause_outlives_its_workers(stack: Stack) -> None:
    """A worker that starts obeys from its first poll on."""
    worker = stack.start_worker(2)
    pausing.pause(DEFAULT)
    time.sleep(OBEYED_WITHIN)
    task_ids = submit_all(stack, 4, 0)
    worker.kill()
    stack.start_worker(2)

    none_begins(task_ids, 5)

    pausing.resume(DEFAULT)
    stack.wait_for_all(task_ids, OBEYED_WITHIN + 5)


def test_the_last_known_pauses_hold_while_dynamodb_fails(stack: Stack) -> None:
    """A worker that can't read them begins nothing of what was paused."""
    stack.start_worker(2)
    pausing.pause(DEFAULT)
    time.sleep(OBEYED_WITHIN)
    task_ids = submit_all(stack, 4, 0)
    stack.aws.inject(Fault(kind="unavailable", service="dynamodb", operation="Query"))

    time.sleep(OBEYED_WITHIN)

    none_begins(task_ids, 1)


def test_another_type_of_its_queue_runs_on(stack: Stack) -> None:
    """A paused type's tasks wait in SQS, and use up no attempt."""
    stack.start_worker(2)
    slow = stack.caller.catalogue["effect"]
    pausing.pause(slow)
    time.sleep(OBEYED_WITHIN)

    waiting = submit_all(stack, 3, 0)
    other = stack.submit("saving")

    stack.wait_for_state(other, states.SUCCESS)
    wait_for(lambda: stack.depth()["delayed"] == 3, "the tasks to be delayed", 15)
    none_begins(waiting, 1)
    records = services().records.get_many(waiting)
    assert {each.state for each in records.values()} == {states.PENDING}

    pausing.resume(slow)
    ended = stack.wait_for_all(waiting, 75)
    assert {each.attempts for each in ended.values()} == {1}
