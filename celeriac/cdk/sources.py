"""What a deployment's code is made of: the library, the project's rooms, the locked requirements.

A project is a directory, and these are the parts that a deployment reads of it:

    pyproject.toml        [tool.celeriac], if the rooms have other names
    locks/api.txt         what the function imports, with hashes
    locks/worker.txt      what workers import, with hashes
    tasks/                the task types (``tasks`` of [tool.celeriac])
    api/                  the web app and its Lambda handler; optional
    worker/               the Celery app and its Dockerfile; optional

The library is copied from where this process imports it, so a lock that names ``celeriac`` itself
does no harm: that line is left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import celeriac
from celeriac.app import beat
from celeriac.app.declared_schedule import DeclaredSchedule
from celeriac.cdk.beat_schedule import beat_schedule
from celeriac.project import Project, read

LIBRARY = Path(celeriac.__file__).parent

# The parts of the library that only a developer's machine uses.
_TOOLS = ("cdk", "cli", "local", "testing")
_WORKER_ROOM = "worker"
_BEAT_FILE = "celeriac_beat.json"

_LOCK_COMMAND = (
    "echo 'celeriac[{extra}]' | uv pip compile - --universal --python-version 3.13 "
    "--generate-hashes --output-file {lock}"
)
#: The handler of a project that has none of its own.
LIBRARY_HANDLER = "celeriac.http.handler.handler"


class SourcesError(ValueError):
    """A project lacks what a deployment is made of. The message says what, and how to get it."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The code of a project in the directory ``root``.

    ``packages`` are further packages of the project that its task files import.
    """

    root: Path
    project: Project
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path, packages: Iterable[str] = ()) -> Sources:
        """The sources of the project in a directory.

        Raises:
            celeriac.project.ProjectError: its ``pyproject.toml`` is wrong.
        """
        return cls(root=root, project=read(root, os.environ), packages=tuple(packages))

    @property
    def beat(self) -> tuple[DeclaredSchedule, ...]:
        """The entries of its ``beat_schedule``. Raises ``BeatUnreadableError``."""
        return beat_schedule(self.root)

    @property
    def handler(self) -> str:
        """What Lambda calls: the project's ``api/handler.py``, or else the library's handler."""
        own = self._find("api") if self._api_package == "api" else None
        return "api.handler.handler" if own and (own / "handler.py").is_file() else LIBRARY_HANDLER

    @property
    def function_variables(self) -> dict[str, str]:
        """The variables that tell the function where the project's parts are."""
        served = self.handler == LIBRARY_HANDLER and self._has_api
        return {
            **self._tasks_variable,
            **({"CELERIAC_API": self.project.api} if served else {}),
            # Lambda starts in the folder of the function's code.
            **({"CELERIAC_BEAT_FILE": _BEAT_FILE} if self.beat else {}),
        }

    @property
    def worker_variables(self) -> dict[str, str]:
        """The variables that tell workers where the project's parts are."""
        moved = self.project.app != Project.app
        return self._tasks_variable | ({"CELERIAC_APP": self.project.app} if moved else {})

    def copy_for_function(self, target: Path) -> None:
        """Put the packages that the function imports into ``target``.

        Raises:
            SourcesError: a package of the project isn't there.
        """
        _copy_library(target, without=(*_TOOLS, "worker"))
        self._copy_packages(target, [self._api_package] if self._has_api else [])
        if self.beat:
            beat.write(self.beat, target / _BEAT_FILE)

    def copy_for_workers(self, target: Path) -> None:
        """Put the packages that workers import into ``target``.

        A project without a room for its Celery app gets the plain one.

        Raises:
            SourcesError: a package of the project isn't there.
        """
        _copy_library(target, without=_TOOLS)
        plain = self.project.app == Project.app and not self._find(_WORKER_ROOM)
        self._copy_packages(target, [] if plain else [_top(self.project.app)])
        if plain:
            room = target / _WORKER_ROOM
            room.mkdir()
            (room / "__init__.py").write_text("")
            (room / "app.py").write_text("from celeriac import celery_app\n\napp = celery_app()\n")

    def requirements(self, *extras: str) -> str:
        """The lock of ``api`` or ``worker``, and of more extras, without the library itself.

        Raises:
            SourcesError: there is no such lock.
        """
        lock = f"locks/{'+'.join(extras)}.txt"
        path = self.root / lock
        if not path.is_file():
            command = _LOCK_COMMAND.format(extra=",".join(extras), lock=lock)
            how = f"make {lock}" if len(extras) > 1 else "make lock"
            raise SourcesError(f"{path} is missing. Run `{how}`, or: {command}")
        return "".join(_without_library(path.read_text("utf-8").splitlines(keepends=True)))

    def dockerfile(self, chosen: str | None = None) -> Path:
        """The file of this path in the project, or ``worker/Dockerfile``, or the library's copy.

        Raises:
            SourcesError: it isn't there.
        """
        own = self.root / (chosen or "worker/Dockerfile")
        if chosen:
            if not own.is_file():
                raise SourcesError(f"{own} is missing, which a Fleet names as its dockerfile.")
            return own
        places = (
            own,
            LIBRARY / "cli" / "template" / "worker" / "Dockerfile",  # in the wheel
            LIBRARY.parent / "worker" / "Dockerfile",  # in a checkout
        )
        for path in places:
            if path.is_file():
                return path
        raise SourcesError(f"{own} is missing.")

    @property
    def _tasks_variable(self) -> dict[str, str]:
        moved = self.project.tasks != Project.tasks
        return {"CELERIAC_TASKS": ",".join(self.project.tasks)} if moved else {}

    @property
    def _api_package(self) -> str:
        return _top(self.project.api)

    @property
    def _has_api(self) -> bool:
        # A project that names its web app means it; one that names none may have none.
        return self.project.api != Project.api or self._find(self._api_package) is not None

    def _find(self, package: str) -> Path | None:
        """The directory, or the file, of a top-level package of the project."""
        for place in (self.root, self.root / "src"):
            for path in (place / package, place / f"{package}.py"):
                if path.exists():
                    return path
        return None

    def _copy_packages(self, target: Path, more: list[str]) -> None:
        names = {*map(_top, self.project.tasks), *self.packages, *more}
        for name in sorted(names - {LIBRARY.name}):
            path = self._find(name)
            if path is None:
                raise SourcesError(
                    f"There is no package {name!r} in {self.root}, nor in its src/. Name the "
                    "project's parts in pyproject.toml, under [tool.celeriac]."
                )
            if path.is_dir():
                shutil.copytree(path, target / name, ignore=_ignored)
            else:
                shutil.copy(path, target)


def digest(directory: Path, *more: str) -> str:
    """A digest of every file in a directory, its name and its content, and of ``more``."""
    found = hashlib.sha256("\0".join(more).encode())
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        found.update(path.relative_to(directory).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


# What a package's directory holds that no import reads; a dot begins the names of local files.
_ignored: Callable[..., set[str]] = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def _copy_library(target: Path, *, without: Iterable[str]) -> None:
    left_out = set(without)

    def ignore(directory: str, names: list[str]) -> set[str]:
        ours = left_out if Path(directory) == LIBRARY else set()
        return _ignored(directory, names) | (ours & set(names))

    shutil.copytree(LIBRARY, target / LIBRARY.name, ignore=ignore)


def _without_library(lines: Iterable[str]) -> Iterator[str]:
    """A requirement is a line, and the indented lines after it."""
    left_out = False
    for line in lines:
        if not line[:1].isspace():
            left_out = re.match(r"celeriac(?![\w.-])", line, re.IGNORECASE) is not None
        if not left_out:
            yield line


def _top(target: str) -> str:
    """The top-level package of ``package.module:attribute``."""
    return target.partition(":")[0].partition(".")[0]
