"""``celeriac dev`` and ``celeriac worker``: a project on this machine."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from celeriac.cli.output import WrongUseError
from celeriac.local import environment
from celeriac.local.probe import aws_answers
from celeriac.settings import settings

#: The modules that `celeriac dev` needs besides the library's own dependencies.
NEEDED = ("fastapi", "aws_lambda_powertools", "moto", "flask", "pycurl", "uvicorn", "watchfiles")


def dev(
    api_port: Annotated[
        str | None, typer.Option(help="The API's port. [env: API_PORT, default: 8000]")
    ] = None,
    aws_port: Annotated[
        str | None, typer.Option(help="The port of AWS. [env: AWS_PORT, default: 5055]")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep AWS and its records when the rest ends.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the AWS that --keep has kept, and its records.")
    ] = False,
) -> None:
    """Run AWS, the API and a worker for the project in this folder, until Ctrl-C.

    A changed file restarts the API and the worker. Tasks that run are handed to the new worker.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise WrongUseError(
            f"`celeriac dev` needs {', '.join(missing)}. "
            "Install them: pip install 'celeriac[local,api,worker]'"
        )
    from celeriac.local.keeping import KeptAws
    from celeriac.local.ports import PortError, Ports
    from celeriac.local.stack import STATE, FaultyProjectError, FolderInUseError, Stack
    from celeriac.local.stack import stop as stop_kept
    from celeriac.local.supervisor import Interrupted, NotReady, ProgramEnded
    from celeriac.local.terminal import Terminal

    terminal = Terminal()
    try:
        if stop:
            ended = stop_kept()
            typer.echo("AWS has ended." if ended else "No AWS was kept in this folder.")
            return
        ports = Ports.chosen(api=api_port, aws=aws_port, kept=KeptAws(STATE).port)
        Stack(terminal, ports).run(keep=keep)
    except Interrupted:
        # Ctrl-C is the way to end it, so it is no failure, which make would report.
        terminal.say("", "Everything has ended.")
    except (FaultyProjectError, FolderInUseError, PortError) as error:
        raise WrongUseError(str(error)) from error
    except (NotReady, ProgramEnded) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error


def worker(
    queues: Annotated[
        str | None,
        typer.Option(help="Only these, with commas between. [env: CELERIAC_QUEUES, default: all]"),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            help="How many tasks run side by side. [env: CELERIAC_CONCURRENCY, default: one a core]"
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Test whether a worker would work: settings, imports, calls."),
    ] = False,
) -> None:
    """Run a worker: one more of a running `celeriac dev`, else one of the variables' deployment."""
    if environment.FILE.exists():
        variables = environment.read(environment.FILE)
        if not aws_answers(variables["AWS_ENDPOINT_URL"]):
            raise WrongUseError(NO_STACK)
        environment.enter(variables)
    elif not settings().deployed and "AWS_ENDPOINT_URL" not in os.environ:
        raise WrongUseError(NO_STACK)
    for name, value in (("CELERIAC_QUEUES", queues), ("CELERIAC_CONCURRENCY", concurrency)):
        if value is not None:
            os.environ[name] = value
    options = ["--check"] if check else []
    os.execv(sys.executable, [sys.executable, "-m", "celeriac.worker", *options])  # noqa: S606


NO_STACK = (
    "Nothing runs here that a worker could join. Start it with `celeriac dev`, or set the "
    "variables of a deployment."
)
