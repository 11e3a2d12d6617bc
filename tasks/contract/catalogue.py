"""All task types, found by looking in ``tasks/``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from tasks.contract.errors import DeclarationError, UnknownTaskTypeError
from tasks.contract.queues import Queue
from tasks.contract.task_type import TaskType

AnyTaskType = TaskType[Any, Any]


class Catalogue(Mapping[str, AnyTaskType]):
    """Task types by name. Iterating gives names; an alias finds its type too."""

    def __init__(self, types: Iterable[AnyTaskType]) -> None:
        self._types: dict[str, AnyTaskType] = {}
        self._by_any_name: dict[str, AnyTaskType] = {}
        for each in sorted(types, key=lambda task_type: task_type.name):
            for name in each.names:
                if name in self._by_any_name:
                    other = self._by_any_name[name].function
                    raise DeclarationError(
                        f"Task {each.function.__module__}.{each.function.__qualname__}",
                        f"the name {name!r} is taken by {other.__module__}.{other.__qualname__}",
                        "Give one of the two another name with @task(name=...)",
                    )
                self._by_any_name[name] = each
            self._types[each.name] = each

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
        return [each for each in self._types.values() if each.queue is queue]

    @classmethod
    def of(cls, package: ModuleType) -> Catalogue:
        """The task types that the modules of a package declare."""
        found: dict[int, AnyTaskType] = {}
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if info.name == "tasks.contract":
                continue
            module = importlib.import_module(info.name)
            found |= {
                id(value): value for value in vars(module).values() if isinstance(value, TaskType)
            }
        return cls(found.values())


@cache
def catalogue() -> Catalogue:
    """The task types of the ``tasks`` package, looked up once a process."""
    return Catalogue.of(importlib.import_module("tasks"))
