"""The modules of a task package, and which of them are imported to find what they declare."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import cast

from celeriac.project import Project, ProjectError

#: What source that declares something contains: ``@task``, ``@app.task(...)``, ``@shared_task``,
#: ``Queue(...)``, or ``import task as ...``. Each begins with a literal, which ``re`` finds fast.
DECLARATIONS = tuple(
    map(
        re.compile,
        (r"\n[ \t]*@(?:\w+\.)*(?:shared_)?task\b", r"Queue\(", r"task[ \t]+as[ \t]"),
    )
)


@dataclass(frozen=True)
class Found:
    """A module that was found and not imported. ``deep`` means: below the package's top level."""

    name: str
    spec: ModuleSpec | None
    deep: bool

    @property
    def file(self) -> str | None:
        """The file that it is in, if its loader says so."""
        return self.spec.origin if self.spec is not None and self.spec.has_location else None

    def source(self) -> str | None:
        """Its source, wherever its loader keeps it: a folder or a zip file. None if it has none."""
        # zipimporter has the method of an InspectLoader, and isn't registered as one.
        get_source = getattr(self.spec and self.spec.loader, "get_source", None)
        if get_source is None:
            return None
        try:
            return cast("str | None", get_source(self.name))
        except (ImportError, SyntaxError, UnicodeDecodeError):
            # Importing it will say what is wrong.
            return ""

    @property
    def declares(self) -> bool:
        """Whether importing it can add something to the catalogue.

        A module at the top level of the package always is imported. A deeper one may be a
        helper with heavy imports, which the API's cold start must not pay for. It is imported only
        if its source has a declaration.
        """
        if not self.deep:
            return True
        source = self.source()
        return not source or any(each.search(f"\n{source}") for each in DECLARATIONS)


def find(name: str) -> Iterator[Found]:
    """A package, then its modules, with those of its sub-packages; or a single module.

    Imports the package itself, and no other.
    """
    module = importlib.import_module(name)
    yield Found(name, module.__spec__, deep=False)
    if hasattr(module, "__path__"):
        yield from _inside(name, module.__path__, deep=False)


def _inside(package: str, paths: Iterable[str], *, deep: bool) -> Iterator[Found]:
    paths = list(paths)
    for info in pkgutil.iter_modules(paths, f"{package}."):
        if info.name.endswith(".__main__"):
            continue  # a command: importing it would run it
        spec = info.module_finder.find_spec(info.name, None)
        yield Found(info.name, spec, deep)
        if info.ispkg and spec is not None:
            yield from _inside(info.name, spec.submodule_search_locations or (), deep=True)
    for name, path in _folders(paths):
        yield from _inside(f"{package}.{name}", [path], deep=True)


def _folders(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Folders without ``__init__.py``: Python imports them as packages, pkgutil skips them."""
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib costs a cold start
            continue
        with os.scandir(path) as entries:
            for each in sorted(entries, key=lambda entry: entry.name):
                if (
                    each.is_dir(follow_symlinks=False)
                    and each.name.isidentifier()
                    and each.name != "__pycache__"
                    and "__init__.py" not in os.listdir(each.path)  # noqa: PTH208
                ):
                    yield each.name, each.path


def modules(project: Project) -> Iterator[ModuleType]:
    """Import what the project's task packages declare something in.

    Raises:
        ProjectError: there is no such package.
        Exception: what a module raises while it is imported.
    """
    for package in project.tasks:
        require(package, project)
        for found in find(package):
            if found.declares:
                yield importlib.import_module(found.name)


def require(package: str, project: Project) -> None:
    """Check that a package or module exists, importing its parents only.

    Raises:
        ProjectError: it doesn't. The message says where its name is from, and what to do.
    """
    try:
        if importlib.util.find_spec(package) is not None:
            return
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.".startswith(f"{error.name}."):
            raise
    except ValueError:
        # A module that was put in sys.modules by hand has no spec.
        return
    origin = project.origins.get("tasks")
    here = os.getcwd()  # noqa: PTH109
    if origin is None:
        raise ProjectError(
            f"There is no package {package!r} in {here}. Run this in the project's folder, or "
            'name its task packages in pyproject.toml: [tool.celeriac] tasks = ["shop.tasks"].'
        )
    raise ProjectError(
        f"{origin} names the task package {package!r}, and {here} has no such module. "
        "Correct the name, or run this in the project's folder."
    )
