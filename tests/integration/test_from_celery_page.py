"""docs/from-celery-and-redis.md: the tutorial's project runs as the page shows it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.architecture.pages import ROOT, code_blocks
from tests.integration.processes import wait_for
from tests.integration.test_readme import free_port

PAGE = ROOT / "docs/from-celery-and-redis.md"

#: What `celeriac dev` does for AWS: it runs until its input ends.
SERVE = """\
import json, sys
from celeriac.local.aws import AwsServer
from celeriac.local.environment import aws_variables, enter, settings_at
from celeriac.local.provision import provision

with AwsServer() as aws:
    variables = aws_variables(aws.endpoint)
    enter(variables)
    settings = settings_at(aws.endpoint)
    from app.celery_app import celery_app
    provision(settings, celery_app.catalogue)
    print(json.dumps({**variables, **settings.to_environment()}), flush=True)
    sys.stdin.read()
"""


class Project:
    """A folder with the page's files, and AWS, the API and a worker for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.started: list[subprocess.Popen[Any]] = []
        for block in code_blocks("python", PAGE):
            if block.path:
                path = folder / block.path
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text)
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "CELERIAC_", "CELERY_"))
        }
        # The library alone: this repository's own `tasks` are no part of the project.
        (folder / "library").mkdir()
        (folder / "library/celeriac").symlink_to(ROOT / "celeriac")
        self.variables |= {
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join(map(str, (folder, folder / "library"))),
        }

    def start(self, command: list[str], name: str, stdout: int | None = None) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.PIPE,
                stdout=stdout or log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)

    def start_all(self) -> None:
        """AWS, the worker by the page's own command, and the API under uvicorn."""
        self.start([sys.executable, "-c", SERVE], "aws", stdout=subprocess.PIPE)
        answer = self.started[0].stdout
        assert answer is not None
        line = answer.readline()
        assert line, self.logs()
        self.variables |= json.loads(line)
        self.start([*celery(), *shown("worker")], "worker")
        self.start(
            [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(self.port)], "api"
        )
        wait_for(self.ready, "the API and the worker to start")

    def ready(self) -> bool:
        assert all(each.poll() is None for each in self.started), self.logs()
        if " ready." not in (self.folder / "worker.log").read_text():
            return False
        try:
            return self.ask("GET", "/health").is_success
        except httpx.TransportError:
            return False

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, trust_env=False, timeout=120, **options)

    def run(self, code: str) -> list[str]:
        """The lines that code prints in the project's folder."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self.variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def close(self) -> None:
        for process in reversed(self.started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def celery() -> list[str]:
    return [sys.executable, "-m", "celery"]


def shown(command: str) -> list[str]:
    """The arguments of the page's ``celery`` command of this name."""
    for block in code_blocks("sh", PAGE):
        words = shlex.split(block.text)
        if words[0] == "celery" and command in words:
            return words[1:]
    raise AssertionError(f"the page shows no celery {command}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    try:
        project.start_all()
        yield project
    finally:
        project.close()


def test_the_projects_own_endpoints_follow_a_task(project: Project) -> None:
    """Submitted, in progress with current and total, and then its result."""
    seen = []

    def ended() -> bool:
        seen.append(project.ask("GET", f"/status/{task_id}").json())
        return bool(seen[-1]["status"] == "SUCCESS")

    items = [f"item {number}" for number in range(8)]
    task_id = project.ask("POST", "/process?seconds=0.5", json=items).json()["task_id"]
    wait_for(ended, "the task to end")

    progress = [each["progress"] for each in seen if each["status"] == "PROGRESS"]
    assert progress
    assert all(each["total"] == 8 for each in progress)
    assert seen[-1]["result"] == {"processed": 8}


def test_a_running_task_is_revoked(project: Project) -> None:
    """``revoke(terminate=True)`` ends it within seconds, as the page says."""
    accepted = project.ask("POST", "/process?seconds=5", json=["a"] * 20).json()
    task_id = accepted["task_id"]

    def state() -> str:
        return str(project.ask("GET", f"/status/{task_id}").json()["status"])

    wait_for(lambda: state() in {"STARTED", "PROGRESS"}, "the task to begin")
    project.ask("DELETE", f"/status/{task_id}")

    wait_for(lambda: state() == "REVOKED", "the task to be revoked")


def test_canvas_and_delays_work_as_on_redis(project: Project) -> None:
    """The page's block prints what Celery on Redis prints."""
    (canvas,) = (block.text for block in code_blocks("python", PAGE) if "chord" in block.text)

    assert project.run(canvas) == ["6", "[0, 2, 4]", "12", "Welcome, ada@example.com"]


def test_tasks_go_to_the_queues_of_their_routes(project: Project) -> None:
    """``task_routes`` is honoured, and each task has a record that says its queue."""
    lines = project.run(
        "from app.tasks import add, process, send_welcome\n"
        "from celeriac import find\n"
        "for task in (add.s(1, 2), process.s([]), send_welcome.s('ada')):\n"
        "    print(find(task.delay().id, 'default').queue)"
    )

    assert lines == ["default", "files", "email"]


def test_an_entry_of_the_beat_schedule_runs(project: Project) -> None:
    """By its id, as its schedule fires it."""
    [block] = [each for each in code_blocks("python", PAGE) if "run_now" in each.text]

    lines = project.run(
        f"from app.celery_app import celery_app\n{block.text}\n"
        "print(celery_app.AsyncResult(submitted.record.task_id).get(timeout=120))"
    )

    assert lines == ["clean"]


def test_the_settings_on_the_page_do_what_it_says(project: Project) -> None:
    """Those of Redis are ignored with a log line; the honoured ones keep the user's value."""
    lines = project.run(
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "import sys; sys.stderr = sys.stdout\n"
        "logging.getLogger().handlers[0].setStream(sys.stdout)\n"
        "from app.celery_app import celery_app\n"
        "celery_app.conf.update(broker_url='redis://redis:6379/0', result_backend='redis://',\n"
        "    task_acks_late=False, worker_prefetch_multiplier=4, result_expires=3600)\n"
        "print(celery_app.conf.task_time_limit, celery_app.conf.timezone)"
    )

    ignored = {line.split()[2] for line in lines if " is ignored: " in line}
    assert ignored == {
        "broker_url",
        "result_backend",
        "result_expires",
        "task_acks_late",
        "worker_prefetch_multiplier",
    }
    assert lines[-1] == "300 Europe/Paris"
