"""AWS by moto's server, and real worker processes on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from celeriac import states
from celeriac.app.factory import CeleriacApp, make_app
from celeriac.local import environment
from celeriac.local.aws import AwsServer
from celeriac.local.provision import provision
from celeriac.records import TaskRecord
from celeriac.settings import settings
from celeriac.storage import services
from tests.integration.operations.throwaway import CATALOGUE
from tests.integration.processes import wait_for

ROOT = Path(__file__).parents[3]


class WorkerProcess:
    """A worker, and what it logs."""

    def __init__(self, log: Path, unknown: tuple[str, ...]) -> None:
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.operations.throwaway", *unknown],
                cwd=ROOT,
                env={**os.environ, "CELERIAC_HEALTH_FILE": str(log.with_suffix(".health"))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> int:
        """Tell it to end, and wait until it has."""
        self.process.terminate()
        return self.process.wait(120)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    """One server for the tests of a module; each finds it empty."""
    with AwsServer() as server:
        yield server


@pytest.fixture
def aws(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """AWS with everything that a deployment has; this process and its children use it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "CELERIAC_"))]:
        monkeypatch.delenv(name)
    for name, value in environment.variables(server.endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CELERIAC_VISIBILITY", "PT5S")
    services.reset()
    httpx.post(f"{server.endpoint}/moto-api/reset", trust_env=False)
    provision(settings(), CATALOGUE)
    yield server
    services.reset()


@pytest.fixture
def app(aws: AwsServer) -> CeleriacApp:
    """The app as a caller that submits has it."""
    return make_app(settings(), CATALOGUE)


@pytest.fixture
def start_worker(aws: AwsServer, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers; they end with the test."""
    started: list[WorkerProcess] = []

    def start(*, unknown: tuple[str, ...] = ()) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path / f"worker-{len(started)}.log", unknown))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def record_of(task_id: str) -> TaskRecord:
    """The record of a task that there is."""
    record = services.services().records.get(task_id)
    assert record is not None
    return record


def wait_for_end(task_id: str) -> TaskRecord:
    """A task's record, once it has ended."""
    wait_for(lambda: record_of(task_id).state in states.TERMINAL, f"{task_id} to end")
    return record_of(task_id)
