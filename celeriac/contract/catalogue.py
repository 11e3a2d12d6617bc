"""All task types, found by looking in the project's task packages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from celeriac.contract import discovery
from celeriac.contract.errors import DeclarationError, UnknownTaskTypeError
from celeriac.contract.queues import DEFAULT, Queue
from celeriac.contract.task_type import TaskType
from celeriac.project import Project, project

AnyTaskType = TaskType[Any, Any]


class Catalogue(Mapping[str, AnyTaskType]):
    """Task types by name. Iterating gives the names; an alias finds its type too.

    ``queues`` are sorted by name. They are the given ones, those that a type names, and
    ``default``.

    Raises:
        DeclarationError: two types share a name, or two queues with one name have different fleets.
    """

    def __init__(self, types: Iterable[AnyTaskType], queues: Iterable[Queue] = ()) -> None:
        types = sorted(types, key=lambda task_type: task_type.name)
        queues = [*queues, *(each.queue for each in types)]
        for conflict in conflicts(types, queues):
            raise conflict
        self._types = {each.name: each for each in types}
        self._by_any_name = {name: each for each in types for name in each.names}
        # The first of equals stays, so that a declared queue comes before the implicit one.
        named = {each.name: each for each in reversed([*_declared(queues), DEFAULT])}
        self.queues: tuple[Queue, ...] = tuple(named[name] for name in sorted(named))

    def __getitem__(self, name: str) -> AnyTaskType:
        try:
            return self._by_any_name[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._types, n=3)
            raise UnknownTaskTypeError(name, near) from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_any_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def on(self, queue: Queue) -> list[AnyTaskType]:
        """The task types that run on this queue."""
        return [each for each in self._types.values() if each.queue == queue]

    @classmethod
    def of(cls, package: ModuleType) -> Catalogue:
        """The task types that the modules of a package declare, those of sub-packages included."""
        return cls.of_project(Project(tasks=(package.__name__,)))

    @classmethod
    def of_project(cls, project: Project) -> Catalogue:
        """The task types that a project's task packages declare.

        Raises:
            ProjectError: there is no such package.
            DeclarationError: a declaration is wrong, or two contradict each other.
        """
        return cls(*declared(discovery.modules(project)))


def declared(modules: Iterable[ModuleType]) -> tuple[list[AnyTaskType], list[Queue]]:
    """The task types and queues that are values of these modules, each once."""
    types: dict[int, AnyTaskType] = {}
    queues: dict[int, Queue] = {}
    for module in modules:
        # A module may put any object in its place in sys.modules.
        for value in getattr(module, "__dict__", {}).values():
            # Not isinstance: it looks into Celery's lazy proxies, and a shared task's would ask
            # the app for its tasks, and so for the catalogue that is being made.
            if issubclass(type(value), TaskType):
                types[id(value)] = value
            elif issubclass(type(value), Queue):
                queues[id(value)] = value
    return list(types.values()), list(queues.values())


def conflicts(types: Iterable[AnyTaskType], queues: Iterable[Queue]) -> Iterator[DeclarationError]:
    """An error for each name that is declared twice. It blames both places."""
    owners: dict[str, AnyTaskType] = {}
    for each in types:
        for name in each.names:
            other = owners.setdefault(name, each)
            if other is not each:
                yield DeclarationError(
                    each.place,
                    f"the task name {name!r} of {each.function.__name__} is taken by "
                    f"{other.function.__name__} at {other.place}",
                    "Give one of them another with @task(name=...)",
                )
                break
        if len(set(each.names)) < len(each.names):
            yield DeclarationError(
                each.place,
                f"{each.function.__name__} gives one name twice: {', '.join(each.names)}",
                "Remove it from aliases",
            )
    named: dict[str, Queue] = {}
    for queue in _declared(queues):
        first = named.setdefault(queue.name, queue)
        if first.fleet != queue.fleet:
            yield DeclarationError(
                queue.place,
                f"Queue({queue.name!r}) has a different fleet at {first.place}",
                "Declare it once, and import it where you need it",
            )


def _declared(queues: Iterable[Queue]) -> Iterator[Queue]:
    """All but the implicit default queue, which contradicts no declared one."""
    return (each for each in queues if each is not DEFAULT)


@cache
def catalogue() -> Catalogue:
    """The task types of this project, looked up once a process.

    Raises:
        ProjectError: the project names a task package that doesn't exist.
        DeclarationError: a declaration is wrong, or two contradict each other.
    """
    return Catalogue.of_project(project())
