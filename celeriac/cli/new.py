"""``celeriac new``: a project with everything in it, ready to run."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated

import typer

from celeriac.cli.output import WrongUseError
from celeriac.cli.project_files import BUILT_IN, files_of

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")

NEXT = """\
{name} is ready. Next:
{enter}
  make run      run AWS, the API and a worker on this machine
  make test     run the tests
  make help     list all commands

Your first task is in tasks/long_running.py. To add another, add a file next to it.
"""


def new(
    name: Annotated[str, typer.Argument(help="The project's name; '.' is this folder's.")],
    built_in: Annotated[
        list[str] | None,
        typer.Option(
            "--with", help=f"Copy built-in task types, with commas between: {', '.join(BUILT_IN)}."
        ),
    ] = None,
) -> None:
    """Create a project: API, worker, tasks, deployment, tests."""
    wanted = _choices(built_in or [])
    here = name == "."
    folder = Path.cwd() if here else Path(name)
    given, name = name, folder.name
    _check_name(name)
    _check_empty(folder)
    try:
        _write(folder, files_of(name, wanted))
    except OSError as error:
        sys.stderr.write(f"The project can't be written: {error}\n")
        raise typer.Exit(1) from error
    typer.echo(NEXT.format(name=name, enter="" if here else f"\n  cd {given}"), nl=False)


def _choices(given: Iterable[str]) -> list[str]:
    chosen = [each.strip() for text in given for each in text.split(",")]
    for each in chosen:
        if each not in BUILT_IN:
            raise WrongUseError(
                f"--with: there is no built-in task type {each!r}. Choose from "
                f"{', '.join(BUILT_IN)}."
            )
    return [each for each in BUILT_IN if each in chosen]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise WrongUseError(
            f"A project can't be called {name!r}. Use lower-case letters, digits and dashes, "
            "beginning with a letter, such as 'shop'."
        )
    module = name.replace("-", "_")
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() != Path.cwd()]
    taken = module in sys.stdlib_module_names or module in {"api", "worker", "tasks", "infra"}
    if taken or PathFinder.find_spec(module, elsewhere):
        raise WrongUseError(
            f"A project can't be called {name!r}: Python has a module of that name, and one would "
            "hide the other. Choose another name."
        )


def _check_empty(folder: Path) -> None:
    """A Git repository without files is empty, too."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise WrongUseError(f"There is a file {folder.name!r} already. Choose another name.")
    if folder.is_dir() and any(each.name != ".git" for each in folder.iterdir()):
        raise WrongUseError(
            f"The folder {folder.name!r} is not empty. Choose another name, or an empty folder."
        )


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """All of the files, or none."""
    existed = folder.is_dir()
    parts = Path(
        tempfile.mkdtemp(prefix=".celeriac-new-", dir=folder if existed else folder.parent)
    )
    try:
        for path, content in files.items():
            file = parts / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if not existed:
            folder.mkdir()
        for each in parts.iterdir():
            each.replace(folder / each.name)
    except OSError:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(parts, ignore_errors=True)
