"""``celeriac queues``: how full they are, their dead letters, purge and redrive."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from celeriac.cli.output import AsJson, lasting, moment, show, show_json
from celeriac.cli.pauses import Reason, pause_it, pause_view, resume_it, since
from celeriac.contract import catalogue
from celeriac.errors import unavailable
from celeriac.operations import dead_letters, pausing, queues
from celeriac.operations.dead_letters import DeadLetter
from celeriac.operations.queues import QueueStatus, queue_named
from celeriac.storage.pauses import Paused

app = typer.Typer(
    no_args_is_help=True, help="Queues: list, dead letters, redrive, purge, pause, resume."
)

Name = Annotated[str, typer.Argument(help="The queue, as 'queues list' names it.")]


@app.command("list")
def list_queues(as_json: AsJson = False) -> None:
    """Show how many messages each queue holds, and how old the oldest is."""
    with unavailable("SQS or DynamoDB"):
        found = queues.status(catalogue().queues)
        paused = pausing.paused()
    if as_json:
        show_json([_view(each, paused) for each in found])
        return
    show(
        ["queue", "waiting", "high", "in flight", "delayed", "oldest", "dead letters", "paused"],
        (
            (
                each.queue.name,
                each.waiting,
                each.high,
                each.in_flight,
                each.delayed,
                None if each.oldest_age is None else lasting(each.oldest_age),
                each.dead_letters,
                since(paused.of("queue", each.queue.name)),
            )
            for each in found
        ),
        nothing="There are no queues.",
    )


@app.command("dead-letters")
def show_dead_letters(name: Name, as_json: AsJson = False) -> None:
    """Show up to ten dead letters of a queue, their causes, and the effect of a redrive."""
    with unavailable("SQS or DynamoDB"):
        found = dead_letters.look(queue_named(name, catalogue().queues))
    if as_json:
        show_json([_letter_view(each) for each in found])
    else:
        _show_letters(found, nothing="There are no dead letters.")


@app.command()
def redrive(name: Name, as_json: AsJson = False) -> None:
    """Run a queue's dead letters after all. Those that still can't run stay, and are shown."""
    with unavailable("SQS or DynamoDB"):
        done = dead_letters.redrive(queue_named(name, catalogue().queues))
    if as_json:
        show_json(
            {
                "new_tasks": done.new_tasks,
                "sent_again": done.sent_again,
                "removed": done.removed,
                "stay": [_letter_view(each) for each in done.stay],
            }
        )
        return
    typer.echo(
        f"{len(done.new_tasks)} run as new tasks, {len(done.sent_again)} sent again, "
        f"{done.removed} removed as their tasks have ended, {len(done.stay)} stay."
    )
    if done.stay:
        _show_letters(done.stay, nothing="")


@app.command()
def purge(
    name: Name,
    dead: Annotated[
        bool, typer.Option("--dead-letters", help="Empty its dead-letter queue instead.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a queue's waiting messages; their tasks are REVOKED. Running and delayed ones stay."""
    queue = queue_named(name, catalogue().queues)
    what = "dead letters" if dead else "waiting messages"
    if not yes:
        typer.confirm(f"Remove all {what} of {name}, of every tenant?", abort=True, err=True)
    with unavailable("SQS or DynamoDB"):
        done = queues.purge(queue, dead_letters=dead)
    if as_json:
        show_json({"removed": done.removed, "revoked": done.revoked})
    else:
        typer.echo(f"{done.removed} messages removed, {len(done.revoked)} tasks revoked.")


@app.command()
def pause(name: Name, reason: Reason = None, as_json: AsJson = False) -> None:
    """Have workers begin none of a queue's tasks, within 10 s. They are accepted, and wait."""
    pause_it(queue_named(name, catalogue().queues), reason, as_json=as_json)


@app.command()
def resume(name: Name) -> None:
    """Have workers begin a queue's tasks again, within 10 s."""
    resume_it(queue_named(name, catalogue().queues))


def _show_letters(letters: list[DeadLetter], *, nothing: str) -> None:
    show(
        ["task", "type", "why", "redrive"],
        (
            (
                each.task_id,
                each.type,
                f"{each.why.type}: {each.why.message}",
                each.obstacle or each.fate.value,
            )
            for each in letters
        ),
        nothing=nothing,
    )


def _view(status: QueueStatus, paused: Paused) -> dict[str, Any]:
    age = status.oldest_age
    return {
        "name": status.queue.name,
        "waiting": status.waiting,
        "high": status.high,
        "in_flight": status.in_flight,
        "delayed": status.delayed,
        "oldest_age_seconds": None if age is None else age.total_seconds(),
        "dead_letters": status.dead_letters,
        "paused": pause_view(paused.of("queue", status.queue.name)),
    }


def _letter_view(letter: DeadLetter) -> dict[str, Any]:
    return {
        "message_id": letter.message_id,
        "sent_at": moment(letter.sent_at),
        "task_id": letter.task_id,
        "type": letter.type,
        "tenant": letter.tenant,
        "why": {"type": letter.why.type, "message": letter.why.message},
        "redrive": letter.fate.value,
        "obstacle": letter.obstacle,
    }
