"""Where task types are looked for, and which modules are imported to find them."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from celeriac.contract import Catalogue, catalogue
from celeriac.project import Project, ProjectError, project

TASK = """
from celeriac import BaseModel, TaskContext, task

class Empty(BaseModel):
    pass

@task
def {name}(payload: Empty, context: TaskContext) -> Empty:
    return payload
"""

FORBIDDEN = "raise RuntimeError('this helper is imported')"

Save = Callable[[Mapping[str, str]], None]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Save]:
    """Saves files in the current directory, whose modules are forgotten after the test."""

    def save(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    loaded = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield save
    for name in set(sys.modules) - loaded:
        if name.partition(".")[0] in {"garden", "shed", "orchard"}:
            del sys.modules[name]


def names(*tasks: str) -> list[str]:
    return list(Catalogue.of_project(Project(tasks=tasks)))


def test_a_module_in_a_sub_package_counts(save: Save) -> None:
    """However deep it lies, with ``__init__.py`` or without."""
    save(
        {
            "garden/__init__.py": "",
            "garden/dig.py": TASK.format(name="dig"),
            "garden/beds/__init__.py": "",
            "garden/beds/sow.py": TASK.format(name="sow"),
            "garden/beds/deep/__init__.py": "",
            "garden/beds/deep/water.py": TASK.format(name="water"),
            "garden/trees/prune.py": TASK.format(name="prune"),
        }
    )

    assert names("garden") == ["dig", "prune", "sow", "water"]


def test_a_helper_in_a_sub_package_is_not_imported(save: Save) -> None:
    """The API's cold start doesn't pay for what helpers import: they declare nothing."""
    save(
        {
            "garden/__init__.py": "",
            "garden/dig.py": TASK.format(name="dig"),
            "garden/tools/__init__.py": "",
            "garden/tools/spade.py": f"# a helper of the task in dig.py\n{FORBIDDEN}",
            "garden/plain/rake.py": FORBIDDEN,
        }
    )

    assert names("garden") == ["dig"]


@pytest.mark.parametrize(
    "declaration",
    [
        "@task",
        "@task()",
        "@celeriac.task(queue=BEDS)",
        "    @task(",
        "@shared_task",
        "@celery.shared_task(bind=True)",
        "@app.task",
        "@shop.worker.app.task(name='a')",
        "BEDS = Queue('beds')",
        "BEDS = celeriac.Queue(\n    'beds')",
        "from celeriac import task as job",
    ],
)
def test_what_declares_something_is_imported(declaration: str, save: Save) -> None:
    """Task types, plain Celery tasks and queues are told by their source."""
    # In a string, so that fragments are valid Python.
    save({"garden/beds/sow.py": f"{FORBIDDEN}\n'''\n{declaration}\n'''\n"})

    with pytest.raises(RuntimeError, match="is imported"):
        names("garden")


@pytest.mark.parametrize(
    "text", ["tasks = 3", "# see @task", "@tasks", "@multitask", "task(1)", "QueueLike(1)"]
)
def test_what_only_looks_like_it_is_not_imported(text: str, save: Save) -> None:
    """Words that contain others are no declaration."""
    save({"garden/beds/sow.py": f"{FORBIDDEN}\n{text}\n"})

    assert names("garden") == []


def test_plain_celery_tasks_of_a_sub_package_are_registered(save: Save) -> None:
    """``@shared_task`` in any module of a task package is known to the app."""
    from celery import Celery

    save(
        {
            "garden/beds/weed.py": (
                "from celery import shared_task\n\n@shared_task\ndef weed():\n    pass\n"
            )
        }
    )

    names("garden")

    with Celery("garden", set_as_current=False) as app:
        app.finalize()
        assert "garden.beds.weed.weed" in app.tasks


def test_several_packages_and_modules_make_one_catalogue(save: Save) -> None:
    """A project names packages, sub-packages and single modules; overlaps count once."""
    save(
        {
            "garden/__init__.py": "",
            "garden/tasks/dig.py": TASK.format(name="dig"),
            "garden/web.py": FORBIDDEN,
            "shed.py": TASK.format(name="tidy"),
            "orchard/__init__.py": TASK.format(name="pick"),
        }
    )

    assert names("garden.tasks", "shed", "orchard", "garden.tasks.dig") == ["dig", "pick", "tidy"]


def test_a_zip_file_holds_packages_too(tmp_path: Path, save: Save) -> None:
    """Sources are read through the loader, wherever it keeps them."""
    with zipfile.ZipFile(tmp_path / "garden.zip", "w") as archive:
        archive.writestr("garden/__init__.py", "")
        archive.writestr("garden/beds/__init__.py", "")
        archive.writestr("garden/beds/sow.py", TASK.format(name="sow"))
        archive.writestr("garden/beds/spade.py", FORBIDDEN)
    sys.path.insert(0, str(tmp_path / "garden.zip"))

    assert names("garden") == ["sow"]


def test_a_command_of_the_package_is_not_run(save: Save) -> None:
    """``__main__.py`` is for ``python -m``."""
    save({"garden/__init__.py": "", "garden/__main__.py": FORBIDDEN})

    assert names("garden") == []


@pytest.mark.parametrize("missing", ["gardn", "garden.tsks", "garden.beds.sow.more", "shed.tools"])
@pytest.mark.parametrize(
    ("origins", "message"),
    [
        ({}, "There is no package '{name}' in {here}. Run this in the project's folder, or name "),
        (
            {"tasks": "CELERIAC_TASKS"},
            "CELERIAC_TASKS names the task package '{name}', and {here} has no such module.",
        ),
        (
            {"tasks": "pyproject.toml, [tool.celeriac]"},
            "pyproject.toml, [tool.celeriac] names the task package '{name}', and {here} has no ",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_origin(
    missing: str, origins: Mapping[str, str], message: str, save: Save, tmp_path: Path
) -> None:
    """The error says which name is wrong, where it is from, and what to do."""
    save({"garden/beds/sow.py": "", "shed.py": ""})

    with pytest.raises(ProjectError) as refused:
        Catalogue.of_project(Project(tasks=(missing,), origins=origins))

    assert str(refused.value).startswith(message.format(name=missing, here=tmp_path))


def test_a_package_that_fails_says_so_itself(save: Save) -> None:
    """A module that the package lacks is not taken for a missing package."""
    save({"garden/__init__.py": "import no_such_library", "garden/tasks/dig.py": ""})

    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        names("garden.tasks")


@pytest.fixture
def forget() -> Iterator[None]:
    """The project and the catalogue are looked up again in the test, and after it."""
    for each in (project, catalogue):
        each.cache_clear()
    yield
    for each in (project, catalogue):
        each.cache_clear()


def test_the_catalogue_is_the_projects(
    save: Save, forget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``catalogue()`` looks where ``pyproject.toml`` says."""
    monkeypatch.delenv("CELERIAC_TASKS", raising=False)
    save(
        {
            "pyproject.toml": '[tool.celeriac]\ntasks = ["garden.tasks"]\n',
            "garden/tasks/dig.py": TASK.format(name="dig"),
        }
    )

    assert list(catalogue()) == ["dig"]
