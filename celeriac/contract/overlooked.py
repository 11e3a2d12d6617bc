"""Functions that were meant to be task types, and that no caller can reach."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import get_type_hints

from pydantic import BaseModel

from celeriac.contract import declaring
from celeriac.contract.catalogue import AnyTaskType
from celeriac.contract.checking import Fault
from celeriac.contract.context import TaskContext
from celeriac.contract.discovery import Found
from celeriac.contract.places import Place
from celeriac.contract.task_type import TaskType

LEAVE_OUT = "Leave out the decorator above @task"


def undecorated(modules: Iterable[ModuleType], found: Iterable[Found]) -> Iterator[Fault]:
    """Functions that look like tasks, and that neither ``@task`` nor any other code mentions."""
    mentioned = {name for each in found for name in _mentions(each.source() or "")}
    for module in modules:
        for name, value in getattr(module, "__dict__", {}).items():
            if (
                issubclass(type(value), FunctionType)
                and value.__module__ == module.__name__
                and not name.startswith("_")
                and name not in mentioned
                and _looks_like_a_task(value)
            ):
                place = Place.of(value)
                yield Fault(
                    fault=f"{name} looks like a task, but no @task declares it",
                    fix=f"Write @task above it, or call it _{name} if it is a helper",
                    file=place.file,
                    line=place.line,
                )


def hidden(types: Iterable[AnyTaskType], modules: Iterable[ModuleType]) -> Iterator[Fault]:
    """Task types that are no module's value, so that no caller can reach them."""
    shown = {id(each) for each in types}
    # A module may have put something without a name in its place.
    names = {getattr(each, "__name__", None) for each in modules}
    for each in declaring.made:
        function = each.function
        if id(each) in shown or function.__module__ not in names:
            continue
        name = function.__name__
        value = getattr(sys.modules[function.__module__], name, None)
        if "." in function.__qualname__:
            fault, fix = f"{name} is inside a class or function", "Write it at the top level"
        elif isinstance(value, TaskType):
            fault = f"{name} is declared again at {value.place}"
            fix = "Give one of the two functions another name"
        else:
            fault, fix = f"something else than @task's result is called {name}", LEAVE_OUT
        yield Fault(
            fault=f"{fault}, so the task type {each.name!r} isn't found",
            fix=fix,
            file=each.place.file,
            line=each.place.line,
        )


def _looks_like_a_task(function: FunctionType) -> bool:
    """Whether it takes a model and a ``TaskContext``, and nothing else."""
    try:
        hints = get_type_hints(function)
    except Exception:  # noqa: BLE001 - whatever an annotation raises, this is no declared task
        return False
    annotations = [hints.get(name) for name in inspect.signature(function).parameters]
    match annotations:
        case [type() as payload, second]:
            return second is TaskContext and issubclass(payload, BaseModel)
        case _:
            return False


def _mentions(source: str) -> Iterator[str]:
    """The names that code reads, calls or imports, other than by declaring them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                yield name
            case ast.ImportFrom(names=names):
                yield from (each.name for each in names)
