"""The first door: nothing but the wheel, ``celeriac new shop``, and the project's own commands."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.doors.conftest import ROOT, UV, MakeEnvironment
from tests.integration.processes import wait_for

START_SECONDS = 240
MAKE_SECONDS = 300

ROOMS = ("api", "worker", "tasks")


@dataclass
class NewProject:
    """A project that ``celeriac new`` has written, with an environment of its own."""

    folder: Path
    variables: dict[str, str]

    def make(self, target: str) -> str:
        done = subprocess.run(
            ["make", target],
            cwd=self.folder,
            env=self.variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=MAKE_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, command: str) -> Any:
        done = subprocess.run(
            ["sh", "-c", command], check=True, capture_output=True, text=True, timeout=60
        )
        return json.loads(done.stdout)


def new_project(
    folder: Path, celeriac: Path, wheel: Path, uv: Path, *options: str
) -> tuple[NewProject, str]:
    """The project, and what the command printed. Its versions are those of ``locks/all.txt``."""
    done = subprocess.run(
        [celeriac, "new", "shop", *options], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    variables = {
        name: value
        for name, value in os.environ.items()
        # Nor is the project's make a part of the one that runs these tests.
        if not name.startswith(("AWS_", "CELERIAC_", "MAKE"))
        and name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    variables |= {
        # The release that is tested is not on PyPI yet.
        "UV_FIND_LINKS": str(wheel.parent),
        "UV_CONSTRAINT": str(ROOT / "locks" / "all.txt"),
        "PATH": f"{uv}:{os.environ['PATH']}",
        "API_PORT": str(free_port()),
        "AWS_PORT": str(free_port()),
    }
    return NewProject(folder / "shop", variables), done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("options", [(), ("--with", "files,reports,mail")])
def test_a_new_project_runs_and_its_tests_pass(
    tmp_path: Path, environment: MakeEnvironment, wheel: Path, options: tuple[str, ...]
) -> None:
    """``make test``, ``make check``, ``make run``; the printed curl ends in SUCCESS; Ctrl-C."""
    uv = tmp_path / "bin"
    uv.mkdir()
    (uv / "uv").symlink_to(Path(UV[0]).with_name("uv"))
    project, said = new_project(tmp_path, environment().with_name("celeriac"), wheel, uv, *options)
    assert "cd shop" in said

    assert "3 passed" in project.make("test")
    assert "No mistakes found." in project.make("check")

    output = tmp_path / "output"
    with output.open("w") as file:
        running = subprocess.Popen(
            ["make", "run"],
            cwd=project.folder,
            env=project.variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(
            lambda: "Ctrl-C ends everything.\n" in output.read_text() or running.poll() is not None,
            "the welcome",
            START_SECONDS,
        )
        text = output.read_text()
        submit, follow = re.findall(r"^curl .+(?:\n  .+)*", text, re.MULTILINE)
        task = project.shell(submit)
        give_up_at = time.monotonic() + START_SECONDS
        while task["status"] != "SUCCESS":
            assert time.monotonic() < give_up_at, task
            task = project.shell(follow.replace("TASK_ID", task["task_id"]))
    finally:
        # As a terminal sends Ctrl-C: to make, and to what it runs.
        os.killpg(running.pid, signal.SIGINT)
        running.wait(START_SECONDS)
    # make ends by the signal itself, once its command has ended.
    assert running.returncode in (0, -signal.SIGINT)
    assert output.read_text().endswith("Everything has ended.\n")


def test_every_package_of_the_project_can_be_imported(
    tmp_path: Path, environment: MakeEnvironment, wheel: Path
) -> None:
    """No file that was copied needs one that was not, in any choice of task types."""
    python = environment("api", "worker", "files", "reports", "mail", "local", "cdk")
    for choice in ("", "files", "reports", "mail"):
        folder = tmp_path / (choice or "plain")
        folder.mkdir()
        options = ("--with", choice) if choice else ()
        subprocess.run(
            [python.with_name("celeriac"), "new", "shop", *options], cwd=folder, check=True
        )
        code = (
            "import importlib, pkgutil, sys\n"
            f"rooms = {ROOMS if choice else (*ROOMS, 'infra')}\n"
            "for name in rooms:\n"
            "    package = importlib.import_module(name)\n"
            "    for each in pkgutil.walk_packages(package.__path__, name + '.'):\n"
            "        importlib.import_module(each.name)\n"
            "assert all('/shop/' in m.__file__ for n, m in sys.modules.items()"
            " if n.split('.')[0] in rooms and m.__file__)\n"
        )
        done = subprocess.run(
            [python, "-c", code],
            cwd=folder / "shop",
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (choice, done.stderr)
        # Its deployments have names of their own in AWS, and their alarms a page to point at.
        assert 'PROJECT = "shop"' in (folder / "shop/infra/cdk/environments.py").read_text()
        assert "](" not in (folder / "shop/docs/runbook.md").read_text().replace("](#", "")


def test_a_missing_extra_is_one_line(tmp_path: Path, environment: MakeEnvironment) -> None:
    """``celeriac dev`` of a bare install says what to install."""
    done = subprocess.run(
        [environment().with_name("celeriac"), "dev"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'celeriac[local,api,worker]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


REFUSED = [
    ("celery", "Python has a module of that name"),
    ("tasks", "Python has a module of that name"),
    ("test", "Python has a module of that name"),
    ("Shop", "can't be called 'Shop'"),
    ("a b", "can't be called 'a b'"),
    ("-", "can't be called '-'"),
    ("full", "The folder 'full' is not empty."),
    ("file", "There is a file 'file' already."),
    (".", "can't be called"),
]


@pytest.mark.parametrize(("name", "why"), REFUSED)
def test_a_project_that_cannot_be_made_is_one_line(
    tmp_path: Path, environment: MakeEnvironment, name: str, why: str
) -> None:
    """Exit code 2, one line that says why, and the folder as it was."""
    folder = tmp_path / "Work"
    (folder / "full").mkdir(parents=True)
    (folder / "full" / "kept").write_text("kept")
    (folder / "file").write_text("kept")
    before = sorted(folder.rglob("*"))

    done = subprocess.run(
        [environment().with_name("celeriac"), "new", name],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_an_empty_folder_can_become_a_project(tmp_path: Path, environment: MakeEnvironment) -> None:
    """``celeriac new .`` takes the folder's name; a fresh Git repository counts as empty."""
    folder = tmp_path / "shop"
    (folder / ".git").mkdir(parents=True)

    subprocess.run([environment().with_name("celeriac"), "new", "."], cwd=folder, check=True)

    assert 'name = "shop"' in (folder / "pyproject.toml").read_text()
    assert not list(folder.glob(".celeriac-new-*"))


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, environment: MakeEnvironment) -> None:
    """If the files can't be written, the folder is as it was, and the exit code is 1."""
    limited = f"ulimit -f 1; exec {environment().with_name('celeriac')} new shop"
    done = subprocess.run(
        ["sh", "-c", limited], cwd=tmp_path, check=False, capture_output=True, text=True
    )

    assert done.returncode == 1, done.stderr
    assert "The project can't be written" in done.stderr
    assert list(tmp_path.iterdir()) == []
