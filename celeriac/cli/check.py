"""``celeriac check``: the mistakes in the project's task files."""

from __future__ import annotations

import typer

from celeriac.contract.checking import check as faults_of
from celeriac.project import project


def check() -> None:
    """Show every mistake in the task files of the project in this folder: file, line and fix.

    Exits with code 2 if the project can't run with them.
    """
    faults = faults_of(project())
    for fault in faults:
        typer.echo(str(fault), err=not fault.warning)
    if any(not fault.warning for fault in faults):
        raise typer.Exit(2)
    if not faults:
        typer.echo("No mistakes found.")
