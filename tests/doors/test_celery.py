"""An existing Celery project: ``Celeriac("shop")`` in place of ``Celery("shop")``, and no more.

A folder with plain Celery tasks, and an environment with nothing but the wheel.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.doors.conftest import MakeEnvironment
from tests.integration.processes import wait_for

VISIBILITY_SECONDS = 5

APP = """\
from celeriac import Celeriac, Queue

app = Celeriac(
    "shop", broker="redis://localhost", include=["shop.prices"], queues=[Queue("video")]
)
app.conf.update(result_backend="redis://localhost/1", task_acks_late=False)
app.conf.task_routes = {"shop.prices.*": {"queue": "video", "routing_key": "video.hd"}}
app.autodiscover_tasks(["shop"])
"""

TASKS = """\
import os, time
from pathlib import Path

from celery import shared_task

from shop.app import app


def note(name, line):
    with (Path(os.environ["NOTES"]) / name).open("a") as notes:
        notes.write(f"{line}\\n")


@app.task(bind=True)
def watched(self, name, seconds):
    note(name, f"{os.getppid()}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)
    note(f"{name}.done", self.request.id)
    return name


@shared_task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)
"""

PRICES = """\
from celery import shared_task


@shared_task
def price(cents):
    return f"{cents / 100:.2f}"
"""

CALLER = """\
import json
from shop.tasks import *
from shop.prices import *
{}
print(json.dumps(answer))
"""

SERVE = """\
import sys
from celeriac.local.aws import AwsServer
from celeriac.local.environment import aws_variables, enter, settings_at
from celeriac.local.provision import provision

with AwsServer() as aws:
    variables = aws_variables(aws.endpoint)
    enter(variables)
    settings = settings_at(aws.endpoint)
    from shop.app import app
    provision(settings, app.catalogue)
    import json
    print(json.dumps(variables | settings.to_environment()), flush=True)
    sys.stdin.read()
"""


class Shop:
    """The project's folder, its environment, and an AWS that has what it needs."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.python = python
        self.notes = folder / "notes"
        self.workers: list[subprocess.Popen[bytes]] = []
        for name, text in (("app", APP), ("tasks", TASKS), ("prices", PRICES)):
            path = folder / "shop" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (folder / "shop" / "__init__.py").touch()
        self.notes.mkdir()
        self._variables: Mapping[str, str] = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "CELERIAC_", "CELERY_", "PYTHON", "VIRTUAL_ENV"))
        } | {
            "NOTES": str(self.notes),
            "CELERIAC_VISIBILITY": f"PT{VISIBILITY_SECONDS}S",
            "NO_PROXY": "127.0.0.1",
        }
        self._aws = subprocess.Popen(
            [python, "-c", SERVE],
            cwd=folder,
            env=self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._aws.stdout is not None
        line = self._aws.stdout.readline()
        assert line, "AWS didn't start"
        self._variables = {**self._variables, **json.loads(line)}

    def start_worker(self, *options: str, name: str = "worker") -> subprocess.Popen[bytes]:
        """``celery -A shop.app worker``, once it is ready."""
        health = self.folder / f"{name}.json"
        health.unlink(missing_ok=True)
        log = (self.folder / f"{name}.log").open("wb")
        worker = subprocess.Popen(
            [
                *(self.python.with_name("celery"), "-A", "shop.app", "worker"),
                *("--loglevel", "INFO", "--concurrency", "2", *options),
            ],
            cwd=self.folder,
            env={**self._variables, "CELERIAC_HEALTH_FILE": str(health)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self.workers.append(worker)

        def ready() -> bool:
            assert worker.poll() is None, self.log(name)
            return health.exists()

        wait_for(ready, "the worker to start")
        return worker

    def log(self, name: str = "worker") -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def run(self, code: str) -> Any:
        """What ``answer`` is after these lines, which a caller of the shop might write."""
        done = subprocess.run(
            [self.python, "-c", CALLER.format(code)],
            cwd=self.folder,
            env=self._variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def lines(self, name: str) -> list[str]:
        """What tasks of this name have noted."""
        path = self.notes / name
        return path.read_text().splitlines() if path.exists() else []

    def end_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.workers.clear()

    def close(self) -> None:
        self.end_workers()
        self._aws.communicate(timeout=120)


@pytest.fixture(scope="module")
def folder_with_aws(
    environment: MakeEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("project"), environment("worker", "local"))
    yield shop
    shop.close()


@pytest.fixture
def shop(folder_with_aws: Shop) -> Iterator[Shop]:
    yield folder_with_aws
    folder_with_aws.end_workers()


def test_a_task_of_a_worker_that_was_killed_is_taken_over(shop: Shop) -> None:
    """SIGKILL in the midst of a task: a second worker runs it to its end."""
    first = shop.start_worker(name="first")
    task_id = shop.run("answer = watched.delay('taken-over', 4).id")
    wait_for(lambda: len(shop.lines("taken-over")) == 1, "the first worker to begin")
    first.kill()
    first.wait()

    second = shop.start_worker(name="second")
    wait_for(lambda: shop.lines("taken-over.done") == [task_id], "the second to end it")

    assert shop.lines("taken-over") == [str(first.pid), str(second.pid)]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_of_three_times_the_visibility_runs_once(shop: Shop, pool: str) -> None:
    """Its message and its lease are renewed, so that no other worker receives it."""
    shop.start_worker("--pool", pool, name="one")
    shop.start_worker("--pool", pool, name="other")
    name = f"long-{pool}"

    answer = shop.run(
        f"answer = watched.delay({name!r}, {3 * VISIBILITY_SECONDS}).get(timeout=120)"
    )

    assert answer == name
    assert len(shop.lines(name)) == 1


def test_a_canvas_runs_as_in_celery(shop: Shop) -> None:
    """A chord of a group, and a chain over two queues."""
    shop.start_worker()

    assert shop.run(
        "from celery import chain, chord\n"
        "answer = [chord((add.s(n, n) for n in range(5)), total.s()).delay().get(timeout=120),\n"
        "          chain(add.s(100, 99), price.s()).delay().get(timeout=120)]"
    ) == [20, "1.99"]


def test_a_worker_that_is_told_to_stop_ends_its_task_first(shop: Shop) -> None:
    """SIGTERM: the running task ends, and the worker after it, with exit code 0."""
    worker = shop.start_worker()
    task_id = shop.run("answer = watched.delay('warm', 3).id")
    wait_for(lambda: len(shop.lines("warm")) == 1, "the task to begin")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(120) == 0
    assert shop.lines("warm.done") == [task_id]
    assert shop.run(f"answer = app.AsyncResult({task_id!r}).state") == "SUCCESS"


def test_settings_of_another_broker_are_named_and_ignored(shop: Shop) -> None:
    """One log line for each says why it has no effect."""
    shop.start_worker()

    for setting in ("broker_url", "result_backend", "task_acks_late"):
        assert shop.log().count(f"Celery's setting {setting} is ignored") == 1


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        (("--pool", "solo"), "Use --pool prefork or --pool threads"),
        (("--queues", "audio"), "Declare it with Queue('audio')"),
        (("--beat",), "the entries of beat_schedule are schedules"),
        (("--autoscale", "4,1"), "Use --concurrency"),
    ],
)
def test_an_option_that_cannot_hold_is_refused(
    shop: Shop, options: tuple[str, ...], fix: str
) -> None:
    """One sentence names the fix, and the exit code is 2."""
    with pytest.raises(AssertionError, match=re.escape(fix)) as refused:
        shop.start_worker(*options)

    assert "Traceback" not in str(refused.value)
    assert shop.workers[-1].wait() == 2
