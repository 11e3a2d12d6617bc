"""The catalogue finds task types by looking in a package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from tasks.contract import (
    BaseModel,
    Catalogue,
    DeclarationError,
    Queue,
    TaskContext,
    TaskType,
    UnknownTaskTypeError,
    catalogue,
    task,
)


class Nothing(BaseModel):
    """No fields."""


def declare(name: str, *aliases: str, queue: Queue = Queue.DEFAULT) -> TaskType[Nothing, Nothing]:
    @task(queue=queue, time_limit=timedelta(minutes=1), name=name, aliases=aliases)
    def run(payload: Nothing, context: TaskContext) -> Nothing:
        """Do nothing."""
        return payload

    return run


TASK_FILE = '''
    from datetime import timedelta

    from tasks.contract import BaseModel, Queue, TaskContext, task

    class Empty(BaseModel):
        """No fields."""

    @task(queue=Queue.DEFAULT, time_limit=timedelta(minutes=1){options})
    def {name}(payload: Empty, context: TaskContext) -> Empty:
        """Do nothing."""
        return payload
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Makes a package of these files and imports it."""
    root = tmp_path / "throwaway_tasks"

    def make(**files: str) -> ModuleType:
        root.mkdir()
        (root / "__init__.py").touch()
        for name, text in files.items():
            (root / f"{name}.py").write_text(dedent(text))
        return importlib.import_module(root.name)

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == root.name]:
        del sys.modules[name]


def test_a_file_in_the_package_is_enough(package: Callable[..., ModuleType]) -> None:
    """Adding a task type is adding a file: nothing else names it."""
    found = Catalogue.of(
        package(
            one=TASK_FILE.format(name="dig_beds", options=""),
            two=TASK_FILE.format(name="sow", options=', aliases=("seed",)'),
            helpers="LIMIT = 3",
        )
    )

    assert list(found) == ["dig-beds", "sow"]
    assert found["seed"] is found["sow"]
    assert found["sow"].function.__module__ == "throwaway_tasks.two"


def test_a_task_type_imported_by_another_file_counts_once(
    package: Callable[..., ModuleType],
) -> None:
    """A file may call another file's task type as a plain function."""
    found = Catalogue.of(
        package(
            one=TASK_FILE.format(name="sow", options=""),
            two="from throwaway_tasks.one import sow",
        )
    )

    assert list(found) == ["sow"]


def test_a_wrong_file_stops_the_catalogue(package: Callable[..., ModuleType]) -> None:
    """A wrong declaration is found when the catalogue is built, not at the first submission."""
    wrong = TASK_FILE.format(name="sow", options=", retry=3")

    with pytest.raises(DeclarationError, match=r"throwaway_tasks\.one\.sow: retry=3"):
        Catalogue.of(package(one=wrong))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("sow",), ("sow",)),
        (("sow", "seed"), ("seed",)),
        (("sow", "seed"), ("plant", "seed")),
        (("sow", "sow"), ("plant",)),
    ],
)
def test_a_name_stands_for_one_type(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    """Two types can't share a name or an alias; the error names both functions."""
    with pytest.raises(DeclarationError, match=r"is taken by .*declare.*run") as refused:
        Catalogue([declare(*first), declare(*second)])

    refused.match(r"Give one of the two another name with @task\(name=\.\.\.\)")


def test_an_unknown_name_is_told_with_near_ones() -> None:
    """A typing error is answered with what was probably meant."""
    types = Catalogue([declare("send-email"), declare("send-letter"), declare("cleanup")])

    with pytest.raises(UnknownTaskTypeError, match="Did you mean send-email") as unknown:
        types["send-emial"]

    assert unknown.value.near[0] == "send-email"
    assert unknown.value.name == "send-emial"


def test_an_unknown_name_without_near_ones_makes_no_guess() -> None:
    """Nothing is suggested where nothing is like it."""
    with pytest.raises(UnknownTaskTypeError) as unknown:
        Catalogue([declare("sow")])["quarterly-audit"]

    assert unknown.value.near == ()
    assert str(unknown.value) == "There is no task type 'quarterly-audit'."


def test_a_catalogue_is_a_mapping() -> None:
    """``get``, ``in`` and ``len`` do as for any mapping; aliases are found, and not counted."""
    sow = declare("sow", "seed")
    types = Catalogue([sow, declare("dig")])

    assert types.get("mow") is None
    assert types.get("seed") is sow
    assert "seed" in types
    assert "mow" not in types
    assert len(types) == 2
    assert dict(types) == {"dig": types["dig"], "sow": sow}


def test_the_types_of_a_queue() -> None:
    """A queue's fleet is shaped by what runs on it."""
    sow, dig = declare("sow", queue=Queue.FILES), declare("dig")

    assert Catalogue([sow, dig]).on(Queue.FILES) == [sow]
    assert Catalogue([sow, dig]).on(Queue.REPORTS) == []


def test_the_package_itself_is_looked_up_once() -> None:
    """``catalogue()`` holds what ``tasks/`` declares, and is the same for a whole process."""
    assert "long-running" in catalogue()
    assert catalogue() is catalogue()
