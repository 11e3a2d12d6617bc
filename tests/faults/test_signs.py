"""What a worker costs idle, what it tells ECS and the health check, and which pools it takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType

import pytest

from celeriac import states
from celeriac.local.standin import Fault, Standin
from celeriac.local.standin.faults import Kind
from celeriac.operations.cancelling import cancel
from celeriac.storage import heartbeats
from celeriac.storage.services import services
from celeriac.transport.channel import LONGEST_PAUSE
from celeriac.transport.requests import ANSWER_TIMEOUT, CONNECT_TIMEOUT
from celeriac.worker import health, prefetch
from celeriac.worker.pausing import READ_INTERVAL
from celeriac.worker.protection import LIFETIME
from tests.ecs import Ecs
from tests.faults.stack import Stack, WorkerProcess
from tests.integration.processes import wait_for


def test_an_idle_worker_polls_at_most_three_times_a_minute_per_lane(
    stack: Stack, aws: Standin, tasks: ModuleType
) -> None:
    """And calls nothing else, but for its own heartbeat and a look at the pauses."""
    queues = 2
    lanes = 2 * queues
    # A key of its own: no worker that is deployed has two queues, and no role allows them.
    stack.start_worker(1, CELERIAC_QUEUES="default,email", AWS_ACCESS_KEY_ID="AKIATWOQUEUES0000000")
    window = timedelta(seconds=41)
    began_at = time.monotonic()
    # It takes a look at each lane, and one more at the urgent ones. Then it waits at all of them.
    wait_for(lambda: aws.calls()["sqs.ReceiveMessage"] == 2 * lanes + queues, "the first polls")
    aws.reset_stats()
    time.sleep(window.total_seconds() - (time.monotonic() - began_at))
    calls = aws.calls()
    # Within 41 s from its first poll, one that polls thrice a minute begins two more.
    assert calls.pop("sqs.ReceiveMessage") <= 2 * lanes
    assert calls.pop("dynamodb.PutItem", 0) <= window / heartbeats.INTERVAL + 1
    assert calls.pop("dynamodb.Query") <= window / READ_INTERVAL + 1
    assert not calls, f"an idle worker made other calls: {calls}"


@pytest.fixture
def ecs() -> Iterator[Ecs]:
    with Ecs.listening() as ecs:
        yield ecs


def test_a_busy_worker_holds_scale_in_protection_and_an_idle_one_lets_go(
    stack: Stack, tasks: ModuleType, ecs: Ecs
) -> None:
    """Asked for when a task runs, given up some time after the last has ended."""
    stack.start_worker(1, ECS_AGENT_URI=ecs.url)
    assert ecs.asked == []
    stack.wait_for_state(stack.submit("effect", seconds=2), states.SUCCESS)
    minutes = LIFETIME // timedelta(minutes=1)
    assert ecs.asked == [{"ProtectionEnabled": True, "ExpiresInMinutes": minutes}]
    wait_for(lambda: len(ecs.asked) == 2, "the worker to let go", 45)
    assert ecs.asked[1] == {"ProtectionEnabled": False}


def test_a_worker_that_ecs_wants_to_stop_takes_nothing_more(
    stack: Stack, tasks: ModuleType, ecs: Ecs
) -> None:
    """It ends what it runs and leaves the rest to others, in good health."""
    ecs.refusal, ecs.desired = "DEPLOYMENT_BLOCKED", 0
    first = stack.start_worker(
        1,
        ECS_AGENT_URI=ecs.url,
        AWS_ENDPOINT_URL_ECS=ecs.url,
        CELERIAC_CLUSTER_NAME="workers",
    )
    runs, waits = stack.submit("effect", seconds=6), stack.submit("effect")
    wait_for(lambda: bool(ecs.asked), "the worker to ask")
    stack.wait_for_state(runs, states.SUCCESS)
    time.sleep(2 * prefetch.PATIENCE.total_seconds())
    assert stack.record(waits).state == states.PENDING
    assert stack.depth() == {"visible": 1, "in_flight": 0, "delayed": 0}
    assert not first.signs()["room"]
    assert probe(first) == 0
    stack.start_worker(1)
    stack.wait_for_state(waits, states.SUCCESS)


def probe(worker: WorkerProcess) -> int:
    """The exit code of the container's health check."""
    command = [sys.executable, "-m", "celeriac.worker.health"]
    environment = {**os.environ, "CELERIAC_HEALTH_FILE": str(worker.health_file)}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_the_health_check_passes_for_a_worker_that_polls_and_fails_for_a_frozen_one(
    stack: Stack, tasks: ModuleType
) -> None:
    """A pid that lives is no sign of health; what it last did is."""
    worker = stack.start_worker(1)
    assert probe(worker) == 0
    os.kill(worker.pid, signal.SIGSTOP)
    signs = worker.signs()
    assert health.fault(signs, time.monotonic()) is None
    later = time.monotonic() + health.LONGEST_SILENCE.total_seconds() + 1
    assert health.fault(signs, later) is not None
    worker.health_file.unlink()
    assert probe(worker) == 1
    os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.parametrize("fault", ["unavailable", "throttle", "drop", "expired"])
def test_an_outage_of_sqs_makes_no_worker_unhealthy(
    stack: Stack, aws: Standin, tasks: ModuleType, fault: Kind
) -> None:
    """It tries again and again, which is all a worker can do; a new one couldn't do more."""
    worker = stack.start_worker(1)
    aws.inject(Fault(fault, operation="ReceiveMessage"))
    # Wakes the poll that waits, and so begins the outage for this worker.
    task_id = stack.submit("effect")
    longest = LONGEST_PAUSE.total_seconds()
    wait_for(lambda: "polling default again" in worker.log, "a poll to fail", 25)
    until = time.monotonic() + 2 * longest
    while time.monotonic() < until:
        assert worker.signs()["polled_ago"] < longest + 2
        time.sleep(0.5)  # between two looks
    assert probe(worker) == 0
    aws.heal()
    stack.wait_for_state(task_id, states.SUCCESS)


def test_a_poll_that_is_never_answered_ends_before_a_worker_counts_as_unhealthy() -> None:
    """The longest poll, its time-out and the longest pause are shorter than the patience."""
    longest = timedelta(seconds=20) + CONNECT_TIMEOUT + ANSWER_TIMEOUT + LONGEST_PAUSE
    assert 2 * longest < health.LONGEST_WITHOUT_POLL


def test_a_worker_that_polls_no_more_though_it_has_room_is_unhealthy() -> None:
    """Whatever has stopped its event loop, ECS starts another in its place."""
    signs = {"written_at": 1000.0, "polled_ago": 0.0, "running": 0, "room": True}
    later = 1001.0 + health.LONGEST_WITHOUT_POLL.total_seconds()
    frozen = signs | {"written_at": 1000.0 + 90, "polled_ago": 91.0}
    assert health.fault(signs, 1001.0) is None
    assert health.fault(frozen, later) == "no poll was tried for 92 s"
    assert health.fault(frozen | {"room": False}, later) is None


def test_the_solo_pool_is_refused_with_a_reason(stack: Stack, tasks: ModuleType) -> None:
    """It would run tasks on the event loop that has to renew and receive."""
    worker = stack.start_worker(1, pool="solo", wait=False)
    assert worker.wait() != 0
    assert "The pool 'solo' runs tasks on the thread" in worker.log


def test_the_threads_pool_runs_tasks_and_keeps_its_leases(stack: Stack, tasks: ModuleType) -> None:
    """Tasks of several visibilities run once in threads too."""
    stack.start_worker(4, pool="threads")
    stack.start_worker(4, pool="threads")
    ids = [stack.submit("effect", "threads", seconds=12) for _ in range(4)]
    stack.wait_for_all(ids, seconds=30)
    assert tasks.counted("threads") == 4


def test_a_task_in_a_thread_can_be_cancelled_while_it_runs(stack: Stack, tasks: ModuleType) -> None:
    """It is told by an exception, as in a process; its thread takes the next task."""
    stack.start_worker(1, pool="threads")
    task_id = stack.submit("saving", "threads-cancelled", seconds=60)
    wait_for(lambda: tasks.counted("threads-cancelled") == 1, "the task to run")
    cancel(task_id, "default")
    stack.wait_for_state(task_id, states.REVOKED, seconds=10)
    assert not list(services().artifacts.list("default", f"tasks/{task_id}/"))
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    wait_for(lambda: not any(stack.depth().values()), "the messages to be acknowledged")


def test_a_time_limit_strikes_in_a_thread_too(stack: Stack, tasks: ModuleType) -> None:
    """The attempt has failed, as its type's policy has it; its thread takes the next task."""
    stack.start_worker(1, pool="threads")
    task_id = stack.submit("dawdling", "threads-dawdling", seconds=60)
    record = stack.wait_for_state(task_id, states.FAILURE, seconds=10)
    assert record.failure is not None
    assert record.failure.type == "TimeLimitExceeded"
    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    assert tasks.counted("threads-dawdling") == 1
