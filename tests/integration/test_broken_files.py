"""A worker that is sent broken files says what is wrong with each, and works on."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from celeriac import states
from celeriac.app import factory
from celeriac.contract import catalogue
from celeriac.local import environment
from celeriac.local.aws import AwsServer
from celeriac.local.provision import provision
from celeriac.operations.submission import submit
from celeriac.records import TaskRecord
from celeriac.settings import settings
from celeriac.storage import services
from tests.integration.processes import wait_for

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "unit" / "files" / "fixtures"

TENANT = "acme"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the files queue, on an AWS of its own, with one process."""
    log = tmp_path_factory.mktemp("worker") / "log"
    with pytest.MonkeyPatch.context() as variables, AwsServer() as server:
        for name in [name for name in os.environ if name.startswith(("AWS_", "CELERIAC_"))]:
            variables.delenv(name)
        for name, value in environment.variables(server.endpoint).items():
            variables.setenv(name, value)
        variables.setenv("CELERIAC_HEALTH_FILE", str(log.with_suffix(".health")))
        services.reset()
        factory.forget()
        provision(settings(), catalogue())
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celeriac.worker"],
                cwd=ROOT,
                env={**os.environ, "CELERIAC_QUEUES": "files", "CELERIAC_CONCURRENCY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        yield process
        process.terminate()
        process.wait(120)
        services.reset()
        factory.forget()


def processed(name: str, content: bytes, operations: dict[str, Any]) -> TaskRecord:
    """The record of a task that has processed these bytes, uploaded under this name."""
    key = f"files/{len(content):x}-{abs(hash(content)):x}/{name}"
    services.services().artifacts.put(TENANT, key, content, content_type="application/octet-stream")
    payload = {"file_key": key, "operations": operations}
    task_id = submit("process-file", payload, tenant=TENANT).record.task_id

    def found() -> TaskRecord | None:
        return services.services().records.get(task_id)

    wait_for(lambda: (record := found()) is not None and record.terminal, f"{name} to be judged")
    record = found()
    assert record is not None
    return record


def bomb() -> bytes:
    """A zip archive that unpacks to some thousand times its size."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(200 * 2**20))
    return content.getvalue()


BROKEN = {
    "cut.jpg": ((FIXTURES / "turned.jpg").read_bytes()[:-200], "truncated-file"),
    "renamed.jpg": ((FIXTURES / "people.pdf").read_bytes(), "type-mismatch"),
    "locked.pdf": ((FIXTURES / "locked.pdf").read_bytes(), "encrypted-file"),
    "bomb.zip": (bomb(), "zip-bomb"),
    "empty.csv": (b"", "empty-file"),
    "noise.bin": (bytes(range(128, 256)) * 40, "unknown-encoding"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_failure_with_a_stable_type(
    worker: subprocess.Popen[bytes], name: str
) -> None:
    """The task fails at once, its error says what to do, and the worker lives on."""
    content, fault = BROKEN[name]

    record = processed(name, content, {"validate": True})

    assert record.state == states.FAILURE
    assert record.failure is not None
    assert record.failure.type == fault
    assert record.failure.message
    assert record.attempt == 1
    assert worker.poll() is None


def test_after_them_a_good_file_is_processed(worker: subprocess.Popen[bytes]) -> None:
    """The same worker, which was never restarted, makes a thumbnail."""
    content = (FIXTURES / "quadrants.png").read_bytes()

    record = processed("good.png", content, {"validate": True, "thumbnail": {}})

    assert record.state == states.SUCCESS
    assert record.lost == 0
    assert worker.poll() is None
