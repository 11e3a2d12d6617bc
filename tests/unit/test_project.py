"""Where a project keeps its parts is read from a file or from variables, and checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.project import Project, ProjectError, read

ROOT = Path(__file__).parents[2]


def write(directory: Path, text: str) -> None:
    (directory / "pyproject.toml").write_text(text)


def test_a_project_has_defaults(tmp_path: Path) -> None:
    """A folder that says nothing is laid out like a new project."""
    expected = Project(tasks=("tasks",), app="worker.app:app", api="api.app:app")

    assert read(tmp_path, {}) == expected
    write(tmp_path, "[tool.other]\ntasks = 3\n")
    assert read(tmp_path, {}) == expected


def test_the_file_says_where_parts_are(tmp_path: Path) -> None:
    """Each option of ``[tool.celeriac]`` holds by itself, and its origin is known."""
    write(tmp_path, '[tool.celeriac]\ntasks = ["shop.tasks", "shop.more"]\napp = "shop.worker:app"')

    found = read(tmp_path, {})

    assert found == Project(tasks=("shop.tasks", "shop.more"), app="shop.worker:app")
    assert found.origins == {
        "tasks": "pyproject.toml, [tool.celeriac]",
        "app": "pyproject.toml, [tool.celeriac]",
    }


def test_a_variable_wins(tmp_path: Path) -> None:
    """A container has variables and no file; both together are the variable's."""
    write(tmp_path, '[tool.celeriac]\ntasks = ["shop.tasks"]\napi = "shop.web:app"')

    found = read(
        tmp_path,
        {"CELERIAC_TASKS": "one, two.three", "CELERIAC_API": "a:b", "CELERIAC_TABLE_NAME": "t"},
    )

    assert found == Project(tasks=("one", "two.three"), api="a:b")
    assert found.origins == {"tasks": "CELERIAC_TASKS", "api": "CELERIAC_API"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = 'shop'", "tasks = 'shop' is not a list of module names. Write tasks = [\"shop."),
        ("tasks = []", "tasks = [] is not a list of module names"),
        ("tasks = [3]", "tasks = [3] is not a list of module names"),
        ("tasks = ['shop/tasks.py']", "is not a list of module names"),
        ("app = 'shop.worker'", "app = 'shop.worker' names no app. Write app = \"package.module:"),
        ("app = 3", "app = 3 names no app"),
        ("api = 'a:b:c'", "api = 'a:b:c' names no app"),
        ("api = ':app'", "api = ':app' names no app"),
        ("task = ['shop']", "there is no option 'task'. The options are tasks, app and api."),
    ],
)
def test_a_wrong_option_of_the_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """The error names the file, the table, the option, and what to write."""
    write(tmp_path, f"[tool.celeriac]\n{text}\n")

    with pytest.raises(ProjectError) as refused:
        read(tmp_path, {})

    assert str(refused.value).startswith("pyproject.toml, [tool.celeriac]: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CELERIAC_TASKS", "", "CELERIAC_TASKS='' names no task package. Set it to module names "),
        ("CELERIAC_TASKS", " , ", "CELERIAC_TASKS=',' names no task package"),
        ("CELERIAC_TASKS", "tasks/", "CELERIAC_TASKS='tasks/' names no task package"),
        ("CELERIAC_TASKS", "a b", "CELERIAC_TASKS='a b' names no task package"),
        (
            "CELERIAC_APP",
            "",
            "CELERIAC_APP='' names no app. Set it to package.module:app, or unset",
        ),
        ("CELERIAC_API", "shop", "CELERIAC_API='shop' names no app"),
    ],
)
def test_a_wrong_variable_is_refused(
    variable: str, value: str, message: str, tmp_path: Path
) -> None:
    """The error names the variable, not the file that it wins over."""
    with pytest.raises(ProjectError) as refused:
        read(tmp_path, {variable: value})

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[tool.celeriac", "pyproject.toml can't be read: "),
        (b"\xff", "pyproject.toml can't be read: "),
        (b"[tool]\nceleriac = 3", "pyproject.toml: [tool.celeriac] is not a table."),
        (b"tool = 3", "pyproject.toml: [tool.celeriac] is not a table."),
    ],
)
def test_a_broken_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """It is told by its name, in one line."""
    (tmp_path / "pyproject.toml").write_bytes(content)

    with pytest.raises(ProjectError) as refused:
        read(tmp_path, {})

    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_projects_modules_can_be_imported_by_any_command(tmp_path: Path) -> None:
    """A command starts with its own folder on ``sys.path``: the project's is added, once."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("")
    (tmp_path / "tasks" / "sow.py").write_text("")
    code = f"""
import json, sys
sys.path[:] = [path for path in sys.path if path not in ("", {str(tmp_path)!r})]
sys.path.insert(0, {str(ROOT)!r})
from celeriac import catalogue
from celeriac.project import project
catalogue(); project.cache_clear(); project()
import tasks.sow
print(json.dumps([tasks.sow.__file__, sys.path.count({str(tmp_path)!r})]))
"""

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert json.loads(done.stdout) == [str(tmp_path / "tasks" / "sow.py"), 1]


def test_a_plain_celery_project_has_no_task_package(tmp_path: Path) -> None:
    """It names its app. A ``tasks`` package, in the folder or in ``src``, counts all the same."""
    write(tmp_path, '[tool.celeriac]\napp = "shop.app:app"')
    assert read(tmp_path, {}).tasks == ()

    (tmp_path / "src" / "tasks").mkdir(parents=True)
    assert read(tmp_path, {}).tasks == ("tasks",)
    assert read(tmp_path, {"CELERIAC_TASKS": "shop.more"}).tasks == ("shop.more",)


def test_the_queues_of_a_plain_projects_app_are_made(tmp_path: Path) -> None:
    """``celeriac dev`` needs no task type, and provisions what ``Celeriac(queues=...)`` names."""
    write(tmp_path, '[tool.celeriac]\napp = "shop:app"')
    (tmp_path / "shop.py").write_text(
        "from celeriac import Celeriac, Queue\n"
        "app = Celeriac('shop', queues=[Queue('video')])\n"
        "@app.task\n"
        "def add(x, y):\n"
        "    return x + y\n"
    )
    code = (
        "import boto3\n"
        "from moto import mock_aws\n"
        "from celeriac.local import inspection\n"
        "with mock_aws():\n"
        "    inspection.main('report.json', '--provision')\n"
        "    print(*boto3.client('sqs').list_queues()['QueueUrls'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(ROOT),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert "celeriac-video " in done.stdout, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["tasks"] is True
    assert report["faults"] == []
