"""The process that ``checking.check`` starts: import a project's task modules, report the faults.

python -m celeriac.contract.inspection REPORT.json SECONDS '{"tasks": ["tasks"], "origins": {}}'

Before it imports a module it writes the module's file to REPORT.json.at, which says which one ended
the process.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from pydantic.errors import PydanticUserError

from celeriac.contract import discovery, imports, overlooked
from celeriac.contract.catalogue import AnyTaskType, conflicts, declared
from celeriac.contract.checking import GRACE, Fault, current_file, to_json
from celeriac.contract.discovery import Found
from celeriac.contract.errors import DeclarationError
from celeriac.contract.imports import Import
from celeriac.contract.places import Place
from celeriac.contract.task_type import TaskType
from celeriac.project import Project, ProjectError

_LIBRARY = Path(__file__).parents[1]
_STANDARD_LIBRARY = Path(os.__file__).parent

_CORRECT = "Correct this line, or move it into the task's function, where it runs with the task"
#: How Python's message on wrong arguments of ours begins.
_CONSTRUCTORS = ("Debounce.", "Fleet.", "Limit.", "Queue.", "Retry.", "Unique.")


class TooLong(BaseException):
    """The time for all imports is over. The module that is being imported gets it."""


def inspect_project(project: Project, entering: Callable[..., object]) -> list[Fault]:
    """All mistakes that importing a project's task modules shows, in no order.

    ``entering`` is told the file of each module before it is imported.
    """
    faults: list[Fault] = []
    found: list[Found] = []
    modules: list[ModuleType] = []
    with imports.recorded(lambda name: _owned(name, project)) as statements:
        for package in project.tasks:
            try:
                discovery.require(package, project)
                here = list(discovery.find(package))
            except ProjectError as error:
                fault, _, fix = str(error).removesuffix(".").partition(". ")
                faults.append(Fault(fault=fault, fix=fix))
            except BaseException as error:  # noqa: BLE001 - of the user's code
                faults.append(_failed(Found(package, None, deep=False), error, project))
            else:
                found += here
        for each in found:
            if each.declares or "TaskContext" in (each.source() or ""):
                entering(each.file or each.name)
                try:
                    modules.append(importlib.import_module(each.name))
                except BaseException as error:  # noqa: BLE001 - of the user's code
                    faults.append(_failed(each, error, project))
                    if isinstance(error, TooLong):
                        break
    types, queues = declared(modules)
    faults += [_of(error) for error in conflicts(types, queues)]
    faults += overlooked.undecorated(modules, found)
    faults += overlooked.hidden(types, modules)
    faults += [fault for each in types for fault in _without_schema(each)]
    faults += _heavy(statements)
    plain = not project.tasks or any(_plain_celery(each) for each in found)
    if not types and not faults and not plain:
        names = ", ".join(project.tasks)
        fix = "Write a function with @task in a file there"
        faults.append(Fault(fault=f"{names} declares no task type", fix=fix, warning=True))
    return list(dict.fromkeys(faults))


def _owned(name: str, project: Project) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in project.tasks)


def _plain_celery(found: Found) -> bool:
    return "shared_task" in (found.source() or "")


def _of(error: DeclarationError) -> Fault:
    return Fault(fault=error.fault, fix=error.fix, file=error.file, line=error.line)


def _failed(found: Found, error: BaseException, project: Project) -> Fault:
    """The fault that made a module's import raise."""
    if isinstance(error, DeclarationError):
        return _of(error)
    if isinstance(error, SyntaxError) and error.filename:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Fault(
            fault=f"it is not valid Python {version}: {error.msg}",
            fix="Correct this line, or the one before it",
            file=error.filename,
            line=error.lineno or 1,
        )
    place, in_library = _raised_at(error, project)
    message = _message_of(error)
    if place is None and found.file:
        place = Place(found.file, 1)
    if isinstance(error, TooLong):
        what = f"importing this file takes more than {message} seconds"
        fix = "Move what waits or computes into the task's function"
        return Fault(fault=what, fix=fix, file=place and place.file, line=place and place.line)
    if place is None:
        raised = f"importing {found.name} raises {type(error).__name__}"
        return Fault(fault=f"{raised}: {message}" if message else raised, fix=_CORRECT)
    fix = _fix_of(error, project)
    if (in_library or message.startswith(_CONSTRUCTORS)) and message:
        # A wrong queue, fleet or retry policy: its message says what is right.
        what, fix = message, "Correct this line"
    else:
        what = f"{type(error).__name__}: {message}" if message else type(error).__name__
        what = f"importing this file raises {what}"
    return Fault(fault=what, fix=fix, file=place.file, line=place.line)


def _message_of(error: BaseException) -> str:
    """What it says, in one line. Nothing if it can't be told."""
    try:
        return " ".join(str(error).split()).rstrip(".")[:300]
    except Exception:  # noqa: BLE001 - the user's own __str__
        return ""


def _fix_of(error: BaseException, project: Project) -> str:
    match error:
        case ImportError() if "circular import" in str(error):
            return (
                "Move what both files need into a third, or import it inside the function that "
                "uses it"
            )
        case AttributeError(obj=TaskType()):
            return overlooked.LEAVE_OUT
        case ModuleNotFoundError(name=str(missing)) if not _owned(missing, project):
            return f"Install {missing.partition('.')[0]}, or correct the name"
        case ImportError():
            return "Correct the name, or add what is missing"
        case _:
            return _CORRECT


def _raised_at(error: BaseException, project: Project) -> tuple[Place | None, bool]:
    """The innermost line of the user's own that was executed; whether Celeriac's code raised."""
    place, in_library = None, False
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        path = Path(file)
        if file == imports.__file__:
            continue  # it stands in for every import statement
        in_library = path.is_relative_to(_LIBRARY)
        if file.startswith("<"):
            continue  # an annotation in quotes, or Python's own import
        foreign = (
            "site-packages" in path.parts or in_library or path.is_relative_to(_STANDARD_LIBRARY)
        )
        if not foreign or _owned(frame.f_globals.get("__name__", ""), project):
            place = Place(file, line)
    return place, in_library


def _heavy(statements: Iterable[Import]) -> Iterator[Fault]:
    for each in statements:
        if each.heavy is None and each.took < imports.SLOW:
            continue
        itself = each.heavy in {None, each.module.partition(".")[0]}
        loads = "" if itself else f", which loads {each.heavy},"
        yield Fault(
            fault=(
                f"importing {each.module}{loads} takes {each.took.total_seconds() * 1000:.0f} ms "
                "at each start of the API"
            ),
            fix="Import it inside the function that uses it",
            file=each.place.file,
            line=each.place.line,
            warning=True,
        )


def _without_schema(task_type: AnyTaskType) -> Iterator[Fault]:
    for model in (task_type.payload_model, task_type.result_model):
        try:
            model.model_json_schema()
        except Exception as error:  # noqa: BLE001 - a model may have code that makes its schema
            line = _line_of(model)
            first = str(error).partition("\n")[0].rstrip(".").replace("`", "")
            if not isinstance(error, PydanticUserError):
                first = f"{type(error).__name__}: {first}"
            yield Fault(
                fault=f"the model {model.__name__} has no JSON schema: {first}",
                fix="Give its fields types that JSON can carry, all declared in this module",
                file=line.file if line else task_type.place.file,
                line=line.line if line else task_type.place.line,
            )


def _line_of(model: type[Any]) -> Place | None:
    try:
        file = inspect.getsourcefile(model)
        return Place(file, inspect.getsourcelines(model)[1]) if file else None
    except (OSError, TypeError):
        return None


def main(report: str, seconds: str, project: str) -> None:
    """Inspect a project that is given as JSON, and write the faults to a file."""
    given = json.loads(project)
    described = Project(tasks=tuple(given["tasks"]), origins=given["origins"])
    file = Path(report).absolute()

    def end(_number: int, _frame: FrameType | None) -> None:
        # Code that catches everything doesn't outlive the second signal.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, GRACE.total_seconds())
        raise TooLong(seconds)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    faults = inspect_project(described, current_file(file).write_text)
    signal.setitimer(signal.ITIMER_REAL, 0)
    file.write_text(to_json(faults))


if __name__ == "__main__":
    main(*sys.argv[1:])
