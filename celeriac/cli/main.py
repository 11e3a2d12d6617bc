"""The command ``celeriac``: its sub-commands, and how an error ends it.

Exit code 2 means wrong use or a wrong configuration, 1 that an operation failed.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from pydantic import ValidationError

from celeriac.cli import keys, queues, schedules, tasks, types, workers
from celeriac.cli.check import check
from celeriac.cli.dev import dev, worker
from celeriac.cli.new import new
from celeriac.cli.output import WrongUseError
from celeriac.cli.project_files import celeriac_version
from celeriac.contract import DeclarationError
from celeriac.errors import CeleriacError, NotConfiguredError
from celeriac.project import ProjectError
from celeriac.settings import explain
from celeriac.storage.keys import KeyNotFoundError, TenantNameError

WRONG_USE = (
    DeclarationError,
    NotConfiguredError,
    ProjectError,
    TenantNameError,
    WrongUseError,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(new)
app.command()(dev)
app.command()(check)
app.command()(worker)
app.add_typer(keys.app, name="keys")
app.add_typer(queues.app, name="queues")
app.add_typer(schedules.app, name="schedules")
app.add_typer(tasks.app, name="tasks")
app.add_typer(types.app, name="types")
app.add_typer(workers.app, name="workers")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"celeriac {celeriac_version()}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Make a Celeriac project, run it here, and look after its deployment.

    Settings come from CELERIAC_… and AWS_… variables.
    """


def main() -> int:
    """Run a command. An error is one line and an exit code."""
    # As `python -m` does: the project is in the current folder.
    if sys.path[0] != "":
        sys.path.insert(0, "")
    try:
        app(prog_name="celeriac")
    except ValidationError as error:
        # Only the settings are validated here; commands handle their arguments' errors.
        return _fail(explain(error), 2)
    except WRONG_USE as error:
        return _fail(str(error), 2)
    except (CeleriacError, KeyNotFoundError, ClientError) as error:
        return _fail(str(error), 1)
    return 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
