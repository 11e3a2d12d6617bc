"""Where a project keeps its parts: ``[tool.celeriac]`` in ``pyproject.toml``, or variables.

    [tool.celeriac]
    tasks = ["shop.tasks"]      # CELERIAC_TASKS, with commas between; default: tasks
    app = "shop.worker:app"     # CELERIAC_APP: the Celery app that workers run
    api = "shop.web:app"        # CELERIAC_API: the ASGI app that `celeriac dev` serves

A variable wins over the file. Lambda and the worker's image have no ``pyproject.toml``, so a
deployment sets the variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FILE = "pyproject.toml"
_TABLE = f"{FILE}, [tool.celeriac]"
OPTIONS = ("tasks", "app", "api")


class ProjectError(ValueError):
    """The project's description is wrong. The message says where, and what to write."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """``tasks`` are packages or modules; ``app`` and ``api`` are ``module:attribute``.

    ``tasks`` is empty for a plain Celery project: it names its app, and has no ``tasks`` package.

    ``origins`` says for each option that is not left to its default where its value is from.
    """

    tasks: tuple[str, ...] = ("tasks",)
    app: str = "worker.app:app"
    api: str = "api.app:app"
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@cache
def project() -> Project:
    """The project in the current directory, looked up once a process.

    Its modules can be imported from then on. ``python -m`` puts the current directory on
    ``sys.path``, but a command such as ``celeriac`` or ``celery`` starts with its own directory
    there instead.

    Raises:
        ProjectError: ``pyproject.toml`` can't be read, or one of its values is wrong.
    """
    directory = Path.cwd()
    found = read(directory, os.environ)
    if not {"", str(directory)} & set(sys.path):
        sys.path.insert(0, str(directory))
    return found


def read(directory: Path, variables: Mapping[str, str]) -> Project:
    """The project in a directory. These variables win over its ``pyproject.toml``.

    Raises:
        ProjectError: as ``project`` does.
    """
    values = _table(directory / FILE)
    origins = dict.fromkeys(values, _TABLE)
    for option in OPTIONS:
        variable = f"CELERIAC_{option.upper()}"
        if variable in variables:
            text = variables[variable]
            values[option] = (
                [each.strip() for each in text.split(",")] if option == "tasks" else text
            )
            origins[option] = variable
    if "tasks" in values:
        names = values["tasks"]
        if isinstance(names, str) and origins["tasks"] != _TABLE:
            names = [name.strip() for name in names.split(",")]
        values["tasks"] = _names(names, origins["tasks"])
    elif "app" in values and not _has_default_tasks(directory):
        values["tasks"] = ()
    for option in ("app", "api"):
        if option in values:
            _check_target(option, values[option], origins[option])
    return Project(**values, origins=origins)


def _has_default_tasks(directory: Path) -> bool:
    [name] = Project.tasks
    return any(
        (folder / name).is_dir() or (folder / f"{name}.py").is_file()
        for folder in (directory, directory / "src")
    )


def _names(value: object, origin: str) -> tuple[str, ...]:
    if (
        isinstance(value, list)
        and value
        and all(
            isinstance(name, str) and all(part.isidentifier() for part in name.split("."))
            for name in value
        )
    ):
        return tuple(value)
    if origin == _TABLE:
        raise ProjectError(
            f"{origin}: tasks = {value!r} is not a list of module names. "
            'Write tasks = ["shop.tasks"].'
        )
    given = ",".join(map(str, value)) if isinstance(value, list) else value
    raise ProjectError(
        f"{origin}={given!r} names no task package. Set it to module names with commas between, "
        "such as shop.tasks, or unset it."
    )


def _check_target(option: str, value: object, origin: str) -> None:
    module, _, attribute = value.partition(":") if isinstance(value, str) else ("", "", "")
    if all(part.isidentifier() for part in module.split(".")) and attribute.isidentifier():
        return
    if origin == _TABLE:
        raise ProjectError(
            f'{origin}: {option} = {value!r} names no app. Write {option} = "package.module:app".'
        )
    raise ProjectError(
        f"{origin}={value!r} names no app. Set it to package.module:app, or unset it."
    )


def _table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path.name} can't be read: {error}.") from error
    import tomllib  # a Lambda has no such file, and its cold start needs no parser

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{path.name} can't be read: {error}.") from error
    tools = document.get("tool", {})
    table = tools.get("celeriac", {}) if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        raise ProjectError(f"{path.name}: [tool.celeriac] is not a table.")
    unknown = sorted(table.keys() - OPTIONS)
    if unknown:
        raise ProjectError(
            f"{_TABLE}: there is no option {unknown[0]!r}. The options are tasks, app and api."
        )
    return table
