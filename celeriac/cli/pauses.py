"""``pause`` and ``resume``, of queues and of task types alike."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from celeriac.cli.output import ago, moment, show_json
from celeriac.contract import Queue
from celeriac.contract.catalogue import AnyTaskType
from celeriac.errors import unavailable
from celeriac.operations import pausing
from celeriac.storage.pauses import Pause

Reason = Annotated[str | None, typer.Option(help="For others to read.")]


def pause_it(what: Queue | AnyTaskType, reason: str | None, *, as_json: bool) -> None:
    """Pause it, and say since when it is paused."""
    with unavailable("DynamoDB"):
        pause = pausing.pause(what, by=getpass.getuser(), reason=reason)
    if as_json:
        show_json(pause_view(pause))
    else:
        typer.echo(f"{what.name} is paused since {moment(pause.since)}.")


def resume_it(what: Queue | AnyTaskType) -> None:
    """End its pause."""
    with unavailable("DynamoDB"):
        pausing.resume(what)
    typer.echo(f"{what.name} is not paused.")


def pause_view(pause: Pause | None) -> dict[str, Any] | None:
    """A pause for programs to read."""
    if pause is None:
        return None
    return {"since": moment(pause.since), "by": pause.by, "reason": pause.reason}


def since(pause: Pause | None) -> str | None:
    """A pause for a column of a table."""
    return None if pause is None else f"for {ago(pause.since)}"
