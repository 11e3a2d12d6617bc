"""The command ``celeriac``: help, version, wrong use, and the check of task files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH that holds the library alone."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "celeriac").symlink_to(ROOT / "celeriac")
    return folder


def celeriac(
    folder: Path, library: Path, *arguments: str, **variables: str
) -> tuple[int, str, str]:
    """Run the command in a folder: exit code, standard output, standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(library), **variables},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_says_its_version(tmp_path: Path, library: Path) -> None:
    """One line: the name and the version."""
    code, said, _ = celeriac(tmp_path, library, "--version")

    assert code == 0
    assert said.startswith("celeriac 0.")


def test_an_unknown_command_names_the_nearest(tmp_path: Path, library: Path) -> None:
    """Exit code 2, and a hint."""
    code, said, error = celeriac(tmp_path, library, "chek")

    assert (code, said) == (2, "")
    assert "Did you mean 'check'?" in error


def test_a_missing_region_is_named(tmp_path: Path, library: Path) -> None:
    """A missing setting is no outage: exit code 2, the variable, and where it comes from."""
    variables = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}
    code, said, error = celeriac(tmp_path, library, "keys", "list", **variables)

    assert (code, said) == (2, "")
    assert "Set AWS_DEFAULT_REGION." in error
    assert "try again" not in error.lower()
    assert error.count("\n") == 1


def test_every_mistake_of_the_task_files_is_shown(tmp_path: Path, library: Path) -> None:
    """A line each on standard error, by file and line, and exit code 2."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "first.py").write_text("from celeriac import task\nx = 1 / 0\n")
    (tasks / "second.py").write_text("from celeriac import task\nimport nothing_of_this_name\n")

    code, said, error = celeriac(tmp_path, library, "check")

    assert (code, said) == (2, "")
    first, second = error.splitlines()
    assert first.startswith("tasks/first.py:2: ")
    assert second.startswith("tasks/second.py:2: ")


def test_task_files_without_mistakes_are_confirmed(tmp_path: Path, library: Path) -> None:
    """Exit code 0, and a line that says so."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "greet.py").write_text(
        "from celeriac import BaseModel, TaskContext, task\n\n\n"
        "class Greet(BaseModel):\n    name: str\n\n\n"
        "@task()\n"
        "def greet(payload: Greet, context: TaskContext) -> Greet:\n"
        "    '''Greet.'''\n    return payload\n"
    )

    assert celeriac(tmp_path, library, "check") == (0, "No mistakes found.\n", "")
