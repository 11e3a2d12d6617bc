"""Who asks after the workers gets an answer, although nothing can be asked of them on SQS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from celeriac import states
from celeriac.app.factory import CeleriacApp
from celeriac.storage.services import services
from tests.integration.operations.conftest import (
    ROOT,
    StartWorker,
    WorkerProcess,
    record_of,
    wait_for_end,
)
from tests.integration.processes import wait_for


def run(*arguments: str) -> str:
    """What a command prints."""
    return printed("celeriac", *arguments)


def ask(*arguments: str) -> Any:
    """What a command answers to a program."""
    return json.loads(run(*arguments, "--json"))


def celery(*arguments: str) -> str:
    """What a command of Celery's own prints."""
    return printed("celery", "-A", "worker.app", *arguments)


def printed(*module_and_arguments: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", *module_and_arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


def heard_of(worker: WorkerProcess) -> bool:
    return any(each.pid == worker.process.pid for each in services().workers.list())


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """A running ``stay`` ends when this exists."""
    return tmp_path / "door"


def test_a_worker_says_what_it_is_and_is_at(
    app: CeleriacApp, start_worker: StartWorker, door: Path
) -> None:
    """Its tasks, queues, processes, counters and task types are known; after its end, nothing."""
    failing = app.send_task("fail", ({"path": "", "line": "as asked"},))
    staying = app.send_task("stay", ({"path": str(door)},))
    worker = start_worker()
    wait_for(
        lambda: any(each.active and each.failed for each in services().workers.list()),
        "a heartbeat with the running and the failed task",
        60,
    )

    [listed] = ask("workers", "list")
    assert listed["pid"] == worker.process.pid
    assert listed["queues"] == ["default"]
    assert listed["concurrency"] == 2
    assert not listed["stopping"]
    [running] = ask("workers", "active")
    assert (running["task_id"], running["type"]) == (staying.id, "stay")
    assert running["worker"] == listed["id"]
    [stats] = ask("workers", "stats")
    assert (stats["processed"], stats["failed"]) == (2, 1)
    assert ask("workers", "reserved") == []
    assert ask("workers", "registered") == {
        name: [listed["id"]] for name in ("fail", "note", "stay")
    }

    for command in ("list", "active", "stats", "registered"):
        assert len(run("workers", command).splitlines()) > 1, command
    assert staying.id in run("workers", "active")
    assert staying.id in celery("inspect", "active")
    assert "1 node online" in celery("inspect", "ping")

    door.touch()
    assert wait_for_end(staying.id).state == states.SUCCESS
    assert record_of(failing.id).state == states.FAILURE
    assert worker.stop() == 0
    assert ask("workers", "list") == []
    assert "No worker was seen" in run("workers", "list")


def test_a_worker_that_hands_its_tasks_back_takes_leave_too(
    app: CeleriacApp,
    start_worker: StartWorker,
    door: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One whose tasks outlive the drain window isn't listed after it has gone."""
    monkeypatch.setenv("CELERIAC_DRAIN_WINDOW", "PT1S")
    staying = app.send_task("stay", ({"path": str(door)},))
    worker = start_worker()
    wait_for(lambda: heard_of(worker), "a heartbeat")
    wait_for(lambda: record_of(staying.id).running, "the task to run")

    assert worker.stop() == 0

    assert services().workers.list() == []


def test_tasks_can_be_listed_shown_and_cancelled(app: CeleriacApp) -> None:
    """An operator without an API key sees a tenant's tasks and can end one."""
    sent = app.send_task("note", ({"path": ""},))

    [listed] = ask("tasks", "list", "--status", "pending")
    assert listed["task_id"] == sent.id
    assert sent.id in run("tasks", "list")
    assert ask("tasks", "show", sent.id)["status"] == states.PENDING
    assert states.PENDING in run("tasks", "show", sent.id)

    assert "REVOKED" in run("tasks", "cancel", sent.id)
    assert record_of(sent.id).state == states.REVOKED
