"""Tasks outlive their workers, and the faults of AWS."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import ModuleType

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from celeriac import states
from celeriac.errors import UnavailableError
from celeriac.local.standin import Fault, Standin
from celeriac.marshalling import marshal, unmarshal
from celeriac.storage.services import services
from tests.faults.stack import LOSE_CONNECTION, Stack, effect_key
from tests.integration.processes import wait_for

#: ``make test-soak`` asks for more.
TASKS = int(os.environ.get("SOAK_TASKS", "2000"))
WORKERS = 4
#: Executions between two kills. A machine that starts workers slowly would, with kills by the
#: clock, lose each one before it has done anything.
KILL_EVERY = 60


def test_nothing_is_lost_or_done_twice_while_workers_die_and_aws_fails(
    stack: Stack,
    aws: Standin,
    tasks: ModuleType,
    record_property: Callable[[str, object], None],
) -> None:
    """All tasks reach SUCCESS, each effect committed once, whatever dies and fails meanwhile."""
    aws.inject(
        Fault("unavailable", probability=0.015),
        Fault("throttle", probability=0.015),
        Fault("drop", probability=0.01),
        Fault("lose-answer", probability=0.01),
        Fault("duplicate", probability=0.05),
        Fault("reorder", probability=0.5),
    )
    began_at = time.monotonic()
    workers = [stack.start_worker(2, wait=False) for _ in range(WORKERS)]
    kills = 0

    def kill_one() -> None:
        nonlocal kills
        executed = 0
        # AWS's faults strike this read as well: then the next one tells.
        with suppress(BotoCoreError, ClientError):
            executed = tasks.counted("survival")
        if executed < (kills + 1) * KILL_EVERY:
            return
        workers[kills % WORKERS].kill()
        workers[kills % WORKERS] = stack.start_worker(2, wait=False)
        kills += 1

    submitted = []
    for number in range(TASKS):
        submitted.append(submit_until_accepted(stack, number))
        kill_one()
    records = stack.wait_for_all(submitted, seconds=180 + TASKS / 10, meanwhile=kill_one)
    took = time.monotonic() - began_at
    aws.heal()
    stats = aws.stats()
    record_property(
        "figures",
        f"{TASKS} tasks in {took:.0f} s, {kills} workers killed, "
        f"{sum(stats['calls'].values())} calls, {stats['faults']} of them failed, "
        f"{stats['duplicates']} deliveries doubled, {tasks.counted('survival')} executions",
    )
    assert Counter(each.state for each in records.values()) == {states.SUCCESS: TASKS}
    assert kills >= 3
    assert stats["faults"] > 0
    assert stats["duplicates"] > 0
    assert with_effect(submitted) == set(submitted)


def submit_until_accepted(stack: Stack, number: int) -> str:
    """Submit as a careful caller does: again with the same key when AWS was not there."""
    while True:
        try:
            return stack.submit(
                "effect", "survival", seconds=0.01, idempotency_key=f"survival-{number}"
            )
        except UnavailableError:
            continue


def with_effect(task_ids: list[str]) -> set[str]:
    """Those of these tasks whose effect was committed."""
    dynamodb, table = services().dynamodb, services().settings.table_name
    found: set[str] = set()
    for start in range(0, len(task_ids), 100):
        keys = [marshal(effect_key(task_id)) for task_id in task_ids[start : start + 100]]
        items = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})["Responses"][table]
        found |= {unmarshal(item)["pk"].removeprefix("effect#") for item in items}
    return found


RECEIVE_FAULTS = {
    "503": Fault("unavailable", service="sqs", operation="ReceiveMessage"),
    "400": Fault("throttle", service="sqs", operation="ReceiveMessage"),
    "403": Fault("expired", service="sqs", operation="ReceiveMessage"),
    "dropped connections": Fault("drop", service="sqs", operation="ReceiveMessage"),
    "everything down": Fault("unavailable"),
    "expired credentials everywhere": Fault("expired"),
    "black hole": Fault("hold", service="sqs", operation="ReceiveMessage"),
}
FAULT_SECONDS = 4
RECOVERY_SECONDS = 10


def test_throughput_returns_within_ten_seconds_of_each_receive_faults_end(
    stack: Stack, aws: Standin, tasks: ModuleType, subtests: pytest.Subtests
) -> None:
    """A worker that was at work goes on with it soon after a fault, and is not restarted."""
    worker = stack.start_worker(2)
    for name, fault in RECEIVE_FAULTS.items():
        with subtests.test(name):
            stack.wait_for_all([stack.submit("effect") for _ in range(5)], seconds=15)
            aws.inject(fault)
            carry_on(stack)
            aws.heal()
            expect_throughput(stack)
    with subtests.test("restart"):
        aws.outage(timedelta(seconds=FAULT_SECONDS))
        time.sleep(FAULT_SECONDS + 0.5)  # the time of the outage, which nothing announces
        expect_throughput(stack)
    assert worker.process.poll() is None


def test_a_worker_goes_on_after_its_event_loop_has_lost_a_connection(
    stack: Stack, tasks: ModuleType
) -> None:
    """Celery reconnects in the same process: running tasks and polling go on."""
    worker = stack.start_worker(2)
    for round in ("first", "second"):
        running = [stack.submit("effect", f"{round}-running", seconds=3) for _ in range(2)]
        wait_for(lambda: tasks.counted(f"{round}-running") == 2, "both tasks to run")  # noqa: B023
        waiting = [stack.submit("effect", f"{round}-waiting") for _ in range(4)]
        os.kill(worker.pid, LOSE_CONNECTION)
        stack.wait_for_all([*running, *waiting], seconds=RECOVERY_SECONDS + 5)
        assert tasks.counted(f"{round}-running") == 2
        assert tasks.counted(f"{round}-waiting") == 4
    assert worker.process.poll() is None


def carry_on(stack: Stack) -> None:
    """Submit tasks while the fault lasts, so that the worker is not merely idle."""
    ends_at = time.monotonic() + FAULT_SECONDS
    while time.monotonic() < ends_at:
        with suppress(UnavailableError):
            stack.submit("effect")
        time.sleep(0.25)


def expect_throughput(stack: Stack) -> None:
    stack.wait_for_all([stack.submit("effect") for _ in range(10)], seconds=RECOVERY_SECONDS)
