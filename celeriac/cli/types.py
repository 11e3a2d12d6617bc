"""``celeriac types``: the task types, and their pauses."""

from __future__ import annotations

from typing import Annotated

import typer

from celeriac.cli.output import AsJson, WrongUseError, show, show_json
from celeriac.cli.pauses import Reason, pause_it, pause_view, resume_it, since
from celeriac.contract import UnknownTaskTypeError, catalogue
from celeriac.contract.catalogue import AnyTaskType
from celeriac.errors import unavailable
from celeriac.operations import pausing

app = typer.Typer(no_args_is_help=True, help="Task types: list, pause, resume.")

Name = Annotated[str, typer.Argument(help="The task type, as 'types list' names it.")]


@app.command("list")
def list_types(as_json: AsJson = False) -> None:
    """Show the task types, their queues, and which are paused."""
    with unavailable("DynamoDB"):
        paused = pausing.paused()
    found = [(each, paused.of("type", each.name)) for each in catalogue().values()]
    if as_json:
        show_json(
            [
                {"name": each.name, "queue": each.queue.name, "paused": pause_view(pause)}
                for each, pause in found
            ]
        )
        return
    show(
        ["task type", "queue", "paused"],
        ((each.name, each.queue.name, since(pause)) for each, pause in found),
        nothing="There are no task types.",
    )


@app.command()
def pause(name: Name, reason: Reason = None, as_json: AsJson = False) -> None:
    """Have workers begin none of a type's tasks, within 10 s. They are accepted, and wait."""
    pause_it(_named(name), reason, as_json=as_json)


@app.command()
def resume(name: Name) -> None:
    """Have workers begin a type's tasks again, within about a minute."""
    resume_it(_named(name))


def _named(name: str) -> AnyTaskType:
    try:
        return catalogue()[name]
    except UnknownTaskTypeError as error:
        raise WrongUseError(str(error)) from None
