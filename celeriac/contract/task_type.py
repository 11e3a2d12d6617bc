"""A task type: the declared recipe of one kind of task."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from celeriac.contract.context import TaskContext
from celeriac.contract.limits import Debounce, Limit, Unique
from celeriac.contract.payloads import Payloads
from celeriac.contract.places import Place
from celeriac.contract.queues import Queue
from celeriac.contract.retry import Retry
from celeriac.contract.schedule import Schedule

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class TaskType(Generic[P, R]):
    """The declared recipe of one kind of task. Call it like the plain function it wraps.

    ``time_limit`` ends an attempt with an exception inside the task (Celery's soft limit). A task
    that ignores the exception has its process killed at ``hard_time_limit``, ``kill_after`` later.
    """

    name: str
    function: Callable[[P, TaskContext], R]
    payload_model: type[P]
    result_model: type[R]
    queue: Queue
    time_limit: timedelta
    retry: Retry
    aliases: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    unique: Unique | None = None
    debounce: Debounce | None = None
    operators_only: bool = False
    sends_mail: bool = False
    schedules: tuple[Schedule, ...] = ()
    kill_after: timedelta = timedelta(seconds=10)

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes are given its name, as for a function, and so is ``copy``."""
        return _declared_as, (self.function.__module__, self.function.__qualname__)

    def __call__(self, payload: P, context: TaskContext) -> R:
        return self.function(payload, context)

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then its former names: SQS may hold messages under them for 14 days."""
        return (self.name, *self.aliases)

    @property
    def hard_time_limit(self) -> timedelta:
        """When the process of an attempt that goes on is killed, counted from its start."""
        return self.time_limit + self.kill_after

    @property
    def place(self) -> Place:
        """The file and the line where it is declared."""
        return Place.of(self.function)

    @cached_property
    def payloads(self) -> Payloads[P]:
        """Reads the type's payloads."""
        return Payloads(self.payload_model)

    @cached_property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0]

    @cached_property
    def description(self) -> str:
        """The function's docstring; without one, its name as words: ``Count words``."""
        return inspect.getdoc(self.function) or self.name.replace("-", " ").capitalize()


def _declared_as(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
