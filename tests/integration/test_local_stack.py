"""``python -m local``, with stand-ins for the API and the worker, which have tests of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local import environment
from tests.integration.processes import is_alive, wait_for

ROOT = Path(__file__).parents[2]

API = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ready"})
"""

WORKER = """
import os, pathlib, time
pathlib.Path(f"worker.{os.getpid()}").write_text(os.environ["CELERIAC_QUEUE_URL_PREFIX"])
time.sleep(600)
"""


class Stack:
    """``python -m local`` in a directory where ``api`` and ``worker`` are the stand-ins."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[bytes]] = []
        for path, text in {"api/app.py": API, "worker/__main__.py": WORKER}.items():
            file = directory / path
            file.parent.mkdir()
            (file.parent / "__init__.py").touch()
            file.write_text(text)
        self.ports = {"API_PORT": str(free_port()), "AWS_PORT": str(free_port())}

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / "output").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local", *arguments],
                cwd=self.directory,
                env={**os.environ, **self.ports, "PYTHONPATH": str(ROOT), "AWS_PROFILE": "real"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def start(self) -> subprocess.Popen[bytes]:
        process = self.run()
        wait_for(
            lambda: "Celeriac is ready." in self.output or process.poll() is not None, "readiness"
        )
        assert process.poll() is None, self.output
        wait_for(lambda: self.workers() != [], "the worker to run")
        return process

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text()

    @property
    def key_file(self) -> Path:
        return self.directory / ".local" / "api-key"

    @property
    def environment_file(self) -> Path:
        return self.directory / ".local" / "env"

    def workers(self) -> list[int]:
        found = (int(path.suffix[1:]) for path in self.directory.glob("worker.*"))
        return [pid for pid in found if is_alive(pid)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack to start; it ends with the test."""
    one = Stack(tmp_path)
    yield one
    for process in one.started:
        process.kill()
        process.wait()
    wait_for(lambda: one.workers() == [], "the workers to end with their supervisor")


def test_a_run_shows_how_to_use_it_and_leaves_nothing(stack: Stack) -> None:
    """One command gives provisioned AWS, an API, a worker, a key; SIGTERM ends them all."""
    process = stack.start()

    key = stack.key_file.read_text().strip()
    assert stat.S_IMODE(stack.key_file.stat().st_mode) == 0o600
    api_url = f"http://127.0.0.1:{stack.ports['API_PORT']}"
    assert f"curl -sS {api_url}/tasks/long-running \\\n  -H 'Authorization: Bearer {key}'" in (
        stack.output
    )
    assert f"http://127.0.0.1:{stack.ports['AWS_PORT']}/moto-api/data.json" in stack.output
    variables = environment.read(stack.environment_file)
    queue_url = variables["CELERIAC_QUEUE_URL_PREFIX"] + "default"
    sqs = boto3.client(
        "sqs",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    assert sqs.send_message(QueueUrl=queue_url, MessageBody="provisioned")

    process.terminate()

    assert process.wait(30) == 0
    assert stack.workers() == []
    assert not any(is_listening(port) for port in stack.ports.values())
    assert not stack.environment_file.exists()
    assert "\x1b" not in stack.output, "colours in a file"


def test_the_key_of_an_earlier_run_stays(stack: Stack) -> None:
    """A script that reads the key file goes on working after a restart."""
    stack.key_file.parent.mkdir()
    stack.key_file.write_text("cel_kept\n")
    stack.start()
    assert "Bearer cel_kept" in stack.output
    assert stat.S_IMODE(stack.key_file.stat().st_mode) == 0o600


def test_a_killed_run_leaves_nothing(stack: Stack) -> None:
    """SIGKILL to the supervisor ends AWS, the API and the worker too."""
    process = stack.start()
    process.kill()
    wait_for(lambda: stack.workers() == [], "the worker to end")
    wait_for(
        lambda: not any(is_listening(port) for port in stack.ports.values()), "the ports to be free"
    )


def test_one_more_worker_joins_a_running_stack(stack: Stack) -> None:
    """``worker`` becomes a worker with the running stack's settings."""
    stack.start()
    extra = stack.run("worker")
    wait_for(lambda: extra.pid in stack.workers(), "the second worker")
    assert (stack.directory / f"worker.{extra.pid}").read_text() == (
        f"http://127.0.0.1:{stack.ports['AWS_PORT']}/123456789012/celeriac-"
    )
    extra.send_signal(signal.SIGTERM)
    extra.wait(30)


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_worker_without_a_stack_is_one_clear_line(stack: Stack, left_behind: bool) -> None:
    """With no stack running, killed ones included, the user is told what to start."""
    if left_behind:
        stack.environment_file.parent.mkdir()
        stack.environment_file.write_text(
            f"export AWS_ENDPOINT_URL=http://127.0.0.1:{stack.ports['AWS_PORT']}\n"
        )
    assert stack.run("worker").wait(30) == 1
    assert stack.output == "No stack is running here. Start one first: make run\n"


@pytest.mark.parametrize("variable", ["API_PORT", "AWS_PORT"])
def test_a_busy_port_is_one_clear_line(stack: Stack, variable: str) -> None:
    """Before anything starts, the user learns which port is taken and how to choose another."""
    with socket.create_server(("127.0.0.1", int(stack.ports[variable]))):
        assert stack.run().wait(30) == 1
    assert re.fullmatch(
        rf"Port {stack.ports[variable]} is in use by another program\. "
        rf"Choose another: {variable}=\S+ make run\n",
        stack.output,
    )
    assert not stack.key_file.exists()


def test_an_api_that_cannot_start_ends_the_run(stack: Stack) -> None:
    """A broken API shows its own error, then one line, and no process is left."""
    (stack.directory / "api" / "app.py").write_text("raise RuntimeError('broken on purpose')")
    process = stack.run()
    assert process.wait(60) == 1
    assert "     api | RuntimeError: broken on purpose" in stack.output.splitlines()
    assert stack.output.endswith("api ended (exit code 1), so everything ends.\n")
    assert stack.workers() == []
    assert not is_listening(stack.ports["AWS_PORT"])
