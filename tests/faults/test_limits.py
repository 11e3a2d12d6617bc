"""Limits hold, whatever dies and fails, and what they refuse runs later."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType

import pytest
from botocore.exceptions import ClientError

from celeriac import states
from celeriac.http.app import create_app
from celeriac.local.standin import Fault, Standin
from celeriac.operations.submission import submit
from celeriac.storage.services import services
from tests.faults.limited import evidence, most_at_once, most_within
from tests.faults.stack import Stack
from tests.integration.api.conftest import Api
from tests.integration.processes import wait_for

#: How far apart two starts may slip on their way from the limit to the task's own code.
SLIP = timedelta(milliseconds=500).total_seconds()


def submit_all(stack: Stack, type_name: str, count: int, **payload: object) -> list[str]:
    return [
        submit(type_name, {"name": str(number), **payload}, app=stack.caller).record.task_id
        for number in range(count)
    ]


def aws_answers(task_id: str) -> bool:
    try:
        return services().records.get(task_id) is not None
    except ClientError:
        return False


@pytest.mark.parametrize("pool", [None, "threads"])
def test_a_freed_slot_is_used_soon(
    stack: Stack,
    tasks: ModuleType,
    pool: str | None,
    record_property: Callable[[str, object], None],
) -> None:
    """200 tasks of 100 ms, five at once: 4 s of work, and no more than five at any time."""
    for _ in range(2):
        stack.start_worker(4, pool=pool, wait=pool is None)
    series = f"soon-{pool}"
    submitted = submit_all(stack, "five-at-once", 200, series=series, seconds=0.1)

    records = stack.wait_for_all(submitted, 90)

    runs = evidence(series)
    took = max(each.ended or 0 for each in runs) - min(each.began for each in runs)
    record_property("figures", f"200 tasks of 100 ms, five at once, took {took:.1f} s")
    assert {each.state for each in records.values()} == {states.SUCCESS}
    assert {each.attempts for each in records.values()} == {1}
    assert len(runs) == 200
    assert most_at_once(runs, {}) <= 5
    assert took < 60


def test_no_more_run_than_may_while_workers_are_killed(
    stack: Stack,
    aws: Standin,
    tasks: ModuleType,
    record_property: Callable[[str, object], None],
) -> None:
    """Workers die by SIGKILL, AWS fails, messages come twice: five at once, and all tasks end."""
    aws.inject(
        Fault("unavailable", probability=0.01),
        Fault("throttle", probability=0.01),
        Fault("lose-answer", probability=0.01),
        Fault("duplicate", probability=0.05),
    )
    submitted = submit_all(stack, "five-at-once", 80, series="killed", seconds=0.5)
    workers = [stack.start_worker(3, wait=False) for _ in range(3)]
    killed: dict[int, float] = {}
    killed_at = time.monotonic()

    def kill_one() -> None:
        nonlocal killed_at
        if time.monotonic() - killed_at < 4 or len(killed) == 8:
            return
        victim = workers[len(killed) % len(workers)]
        victim.kill()
        killed[victim.pid] = time.time()
        workers[(len(killed) - 1) % len(workers)] = stack.start_worker(3, wait=False)
        killed_at = time.monotonic()

    records = stack.wait_for_all(submitted, 240, meanwhile=kill_one)

    runs = evidence("killed")
    most = most_at_once(runs, killed)
    lost = sum(1 for each in runs if each.ended is None)
    record_property("figures", f"{len(killed)} kills, {lost} runs lost, {most} at once at most")
    assert {each.state for each in records.values()} == {states.SUCCESS}
    assert len(killed) >= 4
    assert most <= 5


def test_a_rate_holds_in_every_window(
    stack: Stack, tasks: ModuleType, record_property: Callable[[str, object], None]
) -> None:
    """Ten in each second, whatever waits: 60 tasks of which the workers find all at once."""
    submitted = submit_all(stack, "ten-a-second", 60, series="paced")
    for _ in range(2):
        stack.start_worker(4, wait=False)

    records = stack.wait_for_all(submitted, 90)

    runs = evidence("paced")
    took = max(each.began for each in runs) - min(each.began for each in runs)
    record_property("figures", f"60 tasks at 10/s took {took:.1f} s")
    assert {each.state for each in records.values()} == {states.SUCCESS}
    assert len(runs) == 60
    for window in (1, 2, 5):
        assert most_within(runs, window) <= 1 + 10 * (window + SLIP)


def test_each_key_and_each_tenant_has_a_limit_of_its_own(stack: Stack, tasks: ModuleType) -> None:
    """One of an account at once: a busy account delays itself, and not the others."""
    submitted = [
        task_id
        for account in ("one", "two", "three")
        for task_id in submit_all(
            stack, "one-an-account", 5, series="keyed", account=account, seconds=0.2
        )
    ]
    stack.start_worker(6)

    stack.wait_for_all(submitted, 60)

    runs = evidence("keyed")
    assert len(runs) == 15
    for account in ("one", "two", "three"):
        assert most_at_once([each for each in runs if each.account == account], {}) == 1
    assert most_at_once(runs, {}) > 1


def test_a_limited_task_waits_in_its_queue(stack: Stack, tasks: ModuleType) -> None:
    """It stays PENDING, as a delayed message: the worker runs other tasks meanwhile."""
    stack.start_worker(2)
    first = submit_all(stack, "one-an-account", 1, series="waits", seconds=60)[0]
    stack.wait_for_state(first, states.STARTED)
    waiting = submit_all(stack, "one-an-account", 20, series="waits")
    wait_for(lambda: stack.depth()["delayed"] > 15, "the tasks to wait in the queue")

    other = stack.submit("effect", "other")
    stack.wait_for_state(other, states.SUCCESS)

    found = services().records.get_many(waiting).values()
    assert {(each.state, each.attempts) for each in found} == {(states.PENDING, 1)}


def test_an_outage_of_dynamodb_lets_nothing_over_its_limit(
    stack: Stack, aws: Standin, tasks: ModuleType
) -> None:
    """For some seconds no answer comes: tasks wait, none is lost, and no more run than may."""
    submitted = submit_all(stack, "five-at-once", 30, series="outage", seconds=0.3)
    for _ in range(2):
        stack.start_worker(4)
    wait_for(lambda: len(evidence("outage")) > 2, "the first tasks to run")
    aws.inject(Fault("unavailable", service="dynamodb", lasts=4))

    wait_for(lambda: aws_answers(submitted[0]), "the outage to end")
    records = stack.wait_for_all(submitted, 120)

    assert {each.state for each in records.values()} == {states.SUCCESS}
    runs = [each for each in evidence("outage") if each.ended is not None]
    assert most_at_once(runs, {}) <= 5


def test_limits_hold_for_what_http_submits(stack: Stack, tasks: ModuleType) -> None:
    """A batch over HTTP, run by real workers: no more at once than may, and all end."""
    api = Api.of(create_app(services().settings, tasks.TYPES))
    items = [
        {"payload": {"name": str(number), "series": "http", "seconds": 0.1}} for number in range(20)
    ]
    answers = api.post("/tasks/five-at-once/batch", json={"items": items}).json()["data"]
    submitted = [each["task"]["task_id"] for each in answers]
    stack.start_worker(8)

    stack.wait_for_all(submitted, 60)

    found = [api.get(f"/tasks/{each}").json() for each in submitted]
    assert {(each["status"], each["attempt"]) for each in found} == {("SUCCESS", 1)}
    runs = evidence("http")
    assert len(runs) == 20
    assert most_at_once(runs, {}) <= 5
