"""``celeriac dev`` for a small project: start, reload, keep, end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from celeriac.local import environment
from tests.integration.processes import PATIENCE_SECONDS, is_alive, wait_for

ROOT = Path(__file__).parents[2]

# Each worker leaves a file named after its process.
TASK = """
import os, pathlib, sys, time
from celeriac import BaseModel, TaskContext, task

if "celeriac.worker" in sys.orig_argv:
    pathlib.Path(f"worker.{os.getpid()}").write_text(os.environ["CELERIAC_QUEUE_URL_PREFIX"])


class Greet(BaseModel):
    name: str
    seconds: float = 0


class Greeting(BaseModel):
    text: str


@task()
def greet(payload: Greet, context: TaskContext) -> Greeting:
    '''Greet by name.'''
    time.sleep(payload.seconds)
    return Greeting(text="Hello, " + payload.name)
"""
REMADE = TASK.replace("Hello", "Goodbye").replace("time.sleep(payload.seconds)", "")
BROKEN = TASK.replace("class Greet(BaseModel):", "class Greet(BaseModel:")
# It takes 3 seconds where nothing else runs. A task that was waited for would take 600.
RELOAD_SECONDS = 120


class Stack:
    """``celeriac dev`` in a folder of its own."""

    def __init__(self, directory: Path, library: Path) -> None:
        self.directory = directory
        self.library = library
        self.started: list[subprocess.Popen[bytes]] = []
        self.task_file = directory / "tasks" / "greet.py"
        self.task_file.parent.mkdir()
        self.task_file.write_text(TASK)
        self.ports = {"API_PORT": str(free_port()), "AWS_PORT": str(free_port())}
        self.api = f"http://127.0.0.1:{self.ports['API_PORT']}"

    def run(self, *arguments: str, output: str = "output", **more: str) -> subprocess.Popen[bytes]:
        variables = {
            "PYTHONPATH": str(self.library),
            "AWS_PROFILE": "real",
            "CELERIAC_CONCURRENCY": "1",
        }
        with (self.directory / output).open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", *arguments],
                cwd=self.directory,
                env={**os.environ, **self.ports, **variables, **more},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        process = self.run("dev", *options)
        wait_for(
            lambda: "Ctrl-C ends everything.\n" in self.output or process.poll() is not None,
            "the welcome",
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

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key_file.read_text().strip()}"}
        url = f"{self.api}{path}"
        answer = httpx.request(
            method, url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS, **more
        )
        assert answer.is_success, answer.text
        return answer.json()

    def submit(self, **payload: Any) -> str:
        task_id: str = self.ask("POST", "/tasks/greet", json=payload)["task_id"]
        return task_id

    def task(self, task_id: str) -> Any:
        return self.ask("GET", f"/tasks/{task_id}")

    def result(self, task_id: str) -> Any:
        wait_for(lambda: self.answers(task_id, "SUCCESS"), "the task to end")
        return self.task(task_id)["result"]

    def answers(self, task_id: str, status: str) -> bool:
        """Whether the task has this status; False while the API restarts."""
        try:
            return bool(self.task(task_id)["status"] == status)
        except httpx.TransportError:
            return False


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
    project, library = tmp_path / "project", tmp_path / "library"
    project.mkdir()
    library.mkdir()
    # The library alone: this repository's own tasks would hide the project's.
    (library / "celeriac").symlink_to(ROOT / "celeriac")
    one = Stack(project, library)
    yield one
    for process in one.started:
        process.kill()
        process.wait()
    (one.directory / ".local" / "aws").unlink(missing_ok=True)
    wait_for(lambda: one.workers() == [], "the workers to end with their supervisor")
    wait_for(
        lambda: not any(is_listening(port) for port in one.ports.values()), "the ports to be free"
    )


def test_a_run_shows_how_to_use_it_and_leaves_nothing(stack: Stack) -> None:
    """One command gives provisioned AWS, an API, a worker, a key; SIGTERM ends them all."""
    process = stack.start()

    key = stack.key_file.read_text().strip()
    assert stat.S_IMODE(stack.key_file.stat().st_mode) == 0o600
    assert f"curl -sS {stack.api}/tasks/greet \\\n  -H 'Authorization: Bearer {key}'" in (
        stack.output
    )
    [payload] = re.findall(r"-d '(\{.*\})'$", stack.output, re.MULTILINE)
    assert stack.result(stack.submit(**json.loads(payload)))["text"].startswith("Hello, ")
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
    assert sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])

    process.terminate()

    assert process.wait(PATIENCE_SECONDS) == 0
    assert stack.workers() == []
    assert not any(is_listening(port) for port in stack.ports.values())
    assert not stack.environment_file.exists()
    assert "\x1b" not in stack.output, "colours in a file"


def test_the_key_of_an_earlier_run_stays(stack: Stack) -> None:
    """A script that reads the key file keeps working after a restart."""
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


def test_a_changed_file_restarts_all_but_aws(stack: Stack) -> None:
    """New code runs within seconds. Records stay, and the new worker takes over a running task."""
    stack.start()
    ended = stack.submit(name="before")
    assert stack.result(ended) == {"text": "Hello, before"}
    [worker] = stack.workers()
    running = stack.submit(name="during", seconds=600)
    wait_for(lambda: stack.answers(running, "STARTED"), "the task to run")

    stack.task_file.write_text(REMADE)
    changed_at = time.monotonic()

    wait_for(lambda: "tasks/greet.py has changed" in stack.output, "the change to be seen")
    wait_for(lambda: stack.workers() not in ([], [worker]), "another worker")
    wait_for(lambda: stack.answers(ended, "SUCCESS"), "the API to answer")
    took = time.monotonic() - changed_at
    assert stack.result(running) == {"text": "Goodbye, during"}
    assert stack.task(ended)["result"] == {"text": "Hello, before"}
    assert took < RELOAD_SECONDS


def test_a_mistake_leaves_the_rest_running(stack: Stack) -> None:
    """A faulty change is one line; the last good code runs until the file is corrected."""
    stack.start()
    workers = stack.workers()

    stack.task_file.write_text(BROKEN)

    wait_for(lambda: "celeriac | tasks/greet.py:" in stack.output, "the message")
    assert "Traceback" not in stack.output
    assert stack.result(stack.submit(name="old")) == {"text": "Hello, old"}
    assert stack.workers() == workers

    stack.task_file.write_text(REMADE)

    wait_for(lambda: "tasks/greet.py has changed" in stack.output, "the restart")
    wait_for(lambda: stack.workers() not in ([], workers), "another worker")
    wait_for(lambda: is_listening(stack.ports["API_PORT"]), "the API")
    assert stack.result(stack.submit(name="new")) == {"text": "Goodbye, new"}


def test_closed_output_ends_the_run(stack: Stack) -> None:
    """``celeriac dev | head -1`` ends once nobody reads on, and leaves nothing behind."""
    command = [sys.executable, "-m", "celeriac", "dev"]
    process = subprocess.Popen(
        ["bash", "-c", '"$@" | head -1', "bash", *command],
        cwd=stack.directory,
        env={**os.environ, **stack.ports, "PYTHONPATH": str(stack.library)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    stack.started.append(process)

    output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert output.count(b"\n") == 1
    assert not stack.environment_file.exists()
    for port in stack.ports.values():
        assert not is_listening(port)


@pytest.mark.parametrize(
    ("files", "variables", "says"),
    [
        ({"tasks/greet.py": BROKEN}, {}, r"tasks/greet\.py:\d+: .+\n"),
        ({"tasks/greet.py": "import nothing_of_this_name"}, {}, r"tasks/greet\.py:1: .+\n"),
        ({"tasks/greet.py": "raise SystemExit(3)"}, {}, r"tasks/greet\.py:1: .+\n"),
        (
            {"tasks/greet.py": "import os; os._exit(3)"},
            {},
            r"tasks/greet\.py:1: importing this file ended the process .+\n",
        ),
        ({"tasks/greet.py": ""}, {}, r"tasks declares no task type\. .+\n"),
        ({"tasks/greet.py": None}, {}, r".*tasks.*\n"),
        ({}, {"CELERIAC_TASKS": "shop.tasks"}, r".*shop.*\n"),
        ({}, {"CELERIAC_API": "shop.api:app"}, r".*there is no module 'shop\.api'.*\n"),
        ({}, {"CELERIAC_APP": "shop"}, r"CELERIAC_APP='shop' names no app.*\n"),
        (
            {"api/app.py": "app = 1 / 0"},
            {},
            r"api/app\.py:1: .+ZeroDivisionError: .+\n",
        ),
        ({"pyproject.toml": "[tool.celeriac]\ntask = []"}, {}, r".*no option 'task'.*\n"),
        ({}, {"CELERIAC_RECORD_TTL": "long"}, r"CELERIAC_RECORD_TTL: .+\n"),
    ],
)
def test_a_project_that_cannot_run_is_one_clear_line(
    stack: Stack, files: dict[str, str | None], variables: dict[str, str], says: str
) -> None:
    """It says where and why, before AWS is started, with exit code 2 and no traceback."""
    for path, text in files.items():
        file = stack.directory / path
        file.parent.mkdir(exist_ok=True)
        if text is None:
            file.unlink()
            file.parent.rmdir()
        else:
            file.write_text(text)

    code = stack.run("dev", **variables).wait(PATIENCE_SECONDS)

    assert re.fullmatch(says, stack.output)
    assert code == 2


def test_an_api_of_the_projects_own_is_served(stack: Stack) -> None:
    """The welcome's paths are those under which the app has mounted Celeriac."""
    api = stack.directory / "api"
    api.mkdir()
    (api / "app.py").write_text(
        "from fastapi import FastAPI\n"
        "from celeriac.http.app import create_app\n"
        "app = FastAPI()\n"
        "app.mount('/background', create_app())\n"
    )
    stack.start()

    assert f"curl -sS {stack.api}/background/tasks/greet" in stack.output
    assert f"'{stack.api}/background/tasks/TASK_ID?wait=20'" in stack.output


def test_an_api_that_cannot_start_ends_the_run(stack: Stack) -> None:
    """One line says that the API ended, and no process is left."""
    api = stack.directory / "api"
    api.mkdir()
    (api / "app.py").write_text(
        "import os\n\nasync def app(scope, receive, send):\n    os._exit(7)\n"
    )
    process = stack.run("dev")
    assert process.wait(PATIENCE_SECONDS) == 1
    assert stack.output.endswith("api ended (exit code 7), so everything ends.\n")
    assert stack.workers() == []
    assert not is_listening(stack.ports["AWS_PORT"])


def test_a_second_run_in_one_folder_is_one_clear_line(stack: Stack) -> None:
    """It names the process that runs here, changes nothing of it, and exits with code 2."""
    process = stack.start()

    for arguments in (["dev"], ["dev", "--stop"]):
        assert stack.run(*arguments, output="second").wait(PATIENCE_SECONDS) == 2
        assert (stack.directory / "second").read_text() == (
            f"`celeriac dev` is running in this folder already, as process {process.pid}. "
            "End it first, with Ctrl-C.\n"
        )

    assert stack.result(stack.submit(name="first")) == {"text": "Hello, first"}


def test_kept_records_outlive_a_run(stack: Stack) -> None:
    """With ``--keep`` AWS goes on, the next run finds its records, and ``--stop`` ends it."""
    process = stack.start("--keep")
    task_id = stack.submit(name="kept")
    assert stack.result(task_id) == {"text": "Hello, kept"}
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 0
    assert "celeriac dev --stop" in stack.output
    assert stack.workers() == []
    assert is_listening(stack.ports["AWS_PORT"])
    assert not is_listening(stack.ports["API_PORT"])

    process = stack.start()
    assert stack.task(task_id)["result"] == {"text": "Hello, kept"}
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 0

    assert stack.run("dev", "--stop").wait(PATIENCE_SECONDS) == 0
    assert stack.output == "AWS has ended.\n"
    wait_for(lambda: not is_listening(stack.ports["AWS_PORT"]), "AWS to end")
    assert stack.run("dev", "--stop").wait(PATIENCE_SECONDS) == 0
    assert stack.output == "No AWS was kept in this folder.\n"


def test_one_more_worker_joins_a_running_stack(stack: Stack) -> None:
    """``celeriac worker`` becomes a worker with the running stack's settings."""
    stack.start()
    extra = stack.run("worker", "--concurrency", "2", output="extra")
    wait_for(lambda: extra.pid in stack.workers(), "the second worker")
    assert (stack.directory / f"worker.{extra.pid}").read_text() == (
        f"http://127.0.0.1:{stack.ports['AWS_PORT']}/123456789012/celeriac-"
    )
    extra.send_signal(signal.SIGTERM)
    extra.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_worker_without_a_stack_is_one_clear_line(stack: Stack, left_behind: bool) -> None:
    """With no stack running, killed ones included, the message names the command to start one."""
    if left_behind:
        stack.environment_file.parent.mkdir()
        stack.environment_file.write_text(
            f"export AWS_ENDPOINT_URL=http://127.0.0.1:{stack.ports['AWS_PORT']}\n"
        )
    assert stack.run("worker").wait(PATIENCE_SECONDS) == 2
    assert stack.output.startswith("Nothing runs here that a worker could join.")
    assert stack.output.count("\n") == 1


@pytest.mark.parametrize("variable", ["API_PORT", "AWS_PORT"])
def test_a_busy_port_is_one_clear_line(stack: Stack, variable: str) -> None:
    """Before anything starts, the message names the port and how to choose another."""
    option = "--" + variable.lower().replace("_", "-")
    with socket.create_server(("127.0.0.1", int(stack.ports[variable]))):
        assert stack.run("dev").wait(PATIENCE_SECONDS) == 2
    assert stack.output == (
        f"Port {stack.ports[variable]} is in use by another program. "
        f"Choose another with {option} or {variable}.\n"
    )
    assert not stack.key_file.exists()
