"""Each private name of Celery's and kombu's that we touch is as it was when we wrote it down."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "decisions" / "0008-we-subclass-celery.md"
ROOMS = ("app", "operations", "transport", "worker")
#: What is no function has this in place of its parameters.
ATTRIBUTE = "attribute"
STARS: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: whose name it is, its parameters, our file, the test that holds it."""

    theirs: str
    parameters: str
    ours: str
    test: str

    @property
    def module(self) -> str:
        return self.theirs.partition(":")[0]

    @property
    def path(self) -> list[str]:
        return self.theirs.partition(":")[2].split(".")

    def __str__(self) -> str:
        return self.theirs


def rows() -> list[Row]:
    """The table of the decision."""
    cells = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]
    return [Row(theirs, parameters, ours, test) for theirs, parameters, ours, _, test in cells]


def parameters_of(function: Any) -> str:
    """The names of a function's parameters, with their stars."""
    given = inspect.signature(function).parameters.values()
    return " ".join(STARS.get(each.kind, "") + each.name for each in given)


@pytest.mark.parametrize("row", rows(), ids=str)
def test_a_private_name_is_as_we_saw_it(row: Row) -> None:
    """It exists with the same parameters. If not, read what uses it, and then change the row."""
    found: Any = import_module(row.module)
    *classes, name = row.path
    for each in classes:
        found = getattr(found, each)
    if row.parameters == ATTRIBUTE:
        source = inspect.getsource(found)
        assert re.search(rf"\b{name}\b", source), f"row {row}: there is no such attribute any more"
        return
    function = getattr(found, name, None)
    assert function is not None, f"row {row}: there is no such name any more; {row.ours} uses it"
    assert parameters_of(function) == row.parameters, f"row {row}: {row.ours} expects others"


@pytest.mark.parametrize("row", rows(), ids=str)
def test_a_row_names_files_that_exist(row: Row) -> None:
    """Ours, which mentions the name, and the test that holds what it is for."""
    assert (ROOT / row.test).is_file()
    source = (ROOT / "celeriac" / row.ours).read_text()
    mentioned = "_current_http_client" if row.path == ["get_client"] else row.path[-1]
    assert mentioned in source


def overridden() -> Iterator[tuple[str, str]]:
    """The private names of Celery's and kombu's classes that ours override: whose, and ours."""
    for room in ROOMS:
        package = import_module(f"celeriac.{room}")
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue
            module = import_module(info.name)
            for ours in vars(module).values():
                if inspect.isclass(ours) and ours.__module__ == info.name:
                    yield from _overridden_by(ours)


def _overridden_by(ours: type) -> Iterator[tuple[str, str]]:
    for name in vars(ours):
        if not name.startswith("_") or name.startswith("__"):
            continue
        for base in ours.__mro__[1:]:
            library = base.__module__.partition(".")[0] in ("billiard", "celery", "kombu")
            if library and name in vars(base):
                yield name, f"{ours.__module__}.{ours.__qualname__}"
                break


def test_every_private_name_that_we_override_has_a_row() -> None:
    """A new override is written down before it is merged."""
    known = {(row.path[-1], f"celeriac/{row.ours}") for row in rows()}
    unknown = [
        f"{where}.{name}"
        for name, where in overridden()
        if (name, where.rpartition(".")[0].replace(".", "/") + ".py") not in known
    ]
    assert not unknown
