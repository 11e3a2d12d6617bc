"""The code that a deployment ships, taken from projects of every shape."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.cdk import Sources, SourcesError, worker_image
from celeriac.cdk.sources import LIBRARY_HANDLER
from celeriac.cdk.worker_image import stage
from tests.infra.conftest import ROOT


def write(project: Path, **files: str) -> None:
    """Files by their path, with ``__`` for a slash and ``_py`` for an extension."""
    for name, text in files.items():
        path = project / name.replace("__", "/").replace("_toml", ".toml").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def shipped(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def test_the_context_of_this_projects_image_has_everything_that_its_dockerfile_copies(
    tmp_path: Path,
) -> None:
    """The Dockerfile, the requirements, and a directory of packages."""
    context = tmp_path / "context"

    stage(Sources.of(ROOT), context)

    assert shipped(context) == {"Dockerfile", "requirements.txt", "app"}
    assert shipped(context / "app") == {"celeriac", "tasks", "worker"}
    assert (context / "app" / "celeriac" / "worker" / "__main__.py").is_file()
    assert not {"cdk", "cli", "local", "testing"} & shipped(context / "app" / "celeriac")
    copied = [
        line.split()[1]
        for line in (context / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
    ]
    assert all((context / each).exists() for each in copied), copied


def test_staging_twice_gives_the_same_files(tmp_path: Path, project: Path) -> None:
    """A context replaces the one before it, so that an unchanged project makes no new image."""
    context = tmp_path / "context"
    stage(Sources.of(project), context)
    before = {path: path.read_bytes() for path in context.rglob("*") if path.is_file()}
    (context / "app" / "left-over.py").write_text("")

    stage(Sources.of(project), context)

    after = {path: path.read_bytes() for path in context.rglob("*") if path.is_file()}
    assert after == before


def test_the_library_is_copied_and_never_installed_from_a_lock(project: Path) -> None:
    """Celeriac's own requirement is left out with its hashes; every other one stays."""
    sources = Sources.of(project)

    assert sources.requirements("api") == (
        "boto3==1.44.5 \\\n    --hash=sha256:aa\nceleriac-plugin==1.0\n"
    )
    assert sources.requirements("worker") == "boto3==1.44.5\n"


def test_a_project_of_one_task_file_gets_a_plain_api_and_a_plain_worker(
    project: Path, tmp_path: Path
) -> None:
    """Without rooms for them, the library's handler and a Celery app of two lines are shipped."""
    sources = Sources.of(project)
    function, workers = tmp_path / "function", tmp_path / "workers"
    function.mkdir()
    workers.mkdir()

    sources.copy_for_function(function)
    sources.copy_for_workers(workers)

    assert shipped(function) == {"celeriac", "tasks"}
    assert sources.handler == LIBRARY_HANDLER
    assert sources.function_variables == sources.worker_variables == {}
    assert "celery_app()" in (workers / "worker" / "app.py").read_text()


@pytest.mark.parametrize(
    ("kind", "module"), [("function", "celeriac.http.handler"), ("workers", "worker.app")]
)
def test_what_is_shipped_can_be_imported(
    project: Path, tmp_path: Path, kind: str, module: str
) -> None:
    """The parts of the library that are left out are those that no import asks for."""
    sources = Sources.of(project)
    {"function": sources.copy_for_function, "workers": sources.copy_for_workers}[kind](tmp_path)
    code = f"import {module}, celeriac, celeriac.app.factory; print(celeriac.__file__)"
    if kind == "workers":
        code = f"import celeriac.worker.__main__, celeriac.worker.health; {code}"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_a_projects_own_handler_is_called(project: Path) -> None:
    """``api/handler.py`` wins over the library's."""
    write(project, api__app_py="", api__handler_py="")

    assert Sources.of(project).handler == "api.handler.handler"
    assert Sources.of(project).function_variables == {}


def test_an_api_without_a_handler_is_served_by_the_librarys(project: Path) -> None:
    """The variable names the app that the library's handler serves."""
    write(project, api__app_py="")

    assert Sources.of(project).handler == LIBRARY_HANDLER
    assert Sources.of(project).function_variables == {"CELERIAC_API": "api.app:app"}


def test_parts_with_other_names_reach_the_function_and_the_workers(
    project: Path, tmp_path: Path
) -> None:
    """Neither has the ``pyproject.toml`` that names them, so variables do."""
    shutil.rmtree(project / "tasks")
    write(
        project,
        pyproject_toml='[tool.celeriac]\ntasks = ["shop.tasks", "mails"]\n'
        'app = "shop.celery:app"\napi = "web:app"\n',
        src__shop__tasks__greet_py="",
        mails_py="",
        web_py="",
        src__common__money_py="",
    )
    sources = Sources.of(project, ["common"])
    sources.copy_for_function(tmp_path / "function")
    sources.copy_for_workers(tmp_path / "workers")

    assert sources.function_variables == {
        "CELERIAC_TASKS": "shop.tasks,mails",
        "CELERIAC_API": "web:app",
    }
    assert sources.worker_variables == {
        "CELERIAC_TASKS": "shop.tasks,mails",
        "CELERIAC_APP": "shop.celery:app",
    }
    rooms = {"celeriac", "shop", "mails.py", "common"}
    assert shipped(tmp_path / "function") == rooms | {"web.py"}
    assert shipped(tmp_path / "workers") == rooms


def test_local_files_stay_on_this_machine(project: Path, tmp_path: Path) -> None:
    """A ``.env`` that lies in a package isn't shipped, nor is anything compiled."""
    write(project, tasks__greet_py="")
    (project / "tasks" / ".env").write_text("PASSWORD=secret")

    Sources.of(project).copy_for_workers(tmp_path / "workers")

    assert shipped(tmp_path / "workers" / "tasks") == {"__init__.py", "greet.py"}


def test_a_missing_lock_is_named_with_the_command_that_writes_it(
    project: Path, tmp_path: Path
) -> None:
    """One sentence says which file, and how to get it."""
    (project / "locks" / "worker.txt").unlink()

    with pytest.raises(SourcesError, match=r"locks/worker\.txt is missing\. Run `make lock`, or:"):
        stage(Sources.of(project), tmp_path / "context")


def test_a_package_that_is_nowhere_is_named(project: Path, tmp_path: Path) -> None:
    """The sentence names the package and the table that names it."""
    sources = Sources.of(project, ["common"])

    with pytest.raises(SourcesError, match=r"no package 'common' in .*\[tool\.celeriac\]"):
        sources.copy_for_function(tmp_path / "function")


def test_the_command_line_stages_the_project_in_the_current_directory(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It answers 0, or 2 with one line."""
    monkeypatch.chdir(project)

    assert worker_image.main([str(tmp_path / "context")]) == 0
    assert (tmp_path / "context" / "Dockerfile").is_file()
    (project / "locks" / "worker.txt").unlink()
    assert worker_image.main([str(tmp_path / "context")]) == 2
    assert worker_image.main([]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
