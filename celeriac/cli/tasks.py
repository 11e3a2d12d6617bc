"""``celeriac tasks``: list, show and cancel tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from celeriac import states
from celeriac.cli.output import AsJson, ago, moment, show, show_json
from celeriac.errors import unavailable
from celeriac.operations import cancelling, lookup
from celeriac.operations.lookup import priority_of
from celeriac.records import Filter, TaskRecord, list_tasks
from celeriac.settings import settings
from celeriac.storage.services import services

app = typer.Typer(no_args_is_help=True, help="Tasks: list, show, cancel.")

TaskId = Annotated[str, typer.Argument(help="The task's id.")]
Tenant = Annotated[str | None, typer.Option(help="Whose tasks; CELERIAC_TENANT's unless given.")]


@app.command("list")
def list_page(
    tenant: Tenant = None,
    status: Annotated[str | None, typer.Option(help=f"One of {', '.join(states.ALL)}.")] = None,
    type: Annotated[str | None, typer.Option(help="Only this task type.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show a tenant's newest tasks."""
    if status is not None and status.upper() not in states.ALL:
        raise typer.BadParameter(f"{status} is none of {', '.join(states.ALL)}.")
    with unavailable("DynamoDB"):
        page = list_tasks(
            services().records,
            tenant or settings().tenant,
            Filter(status=status and status.upper(), type=type),
            limit=limit,
        )
    if as_json:
        show_json([_view(record) for record in page.records])
        return
    show(
        ["task", "type", "status", "attempt", "created", "failure"],
        (
            (
                record.task_id,
                record.type,
                record.state,
                record.attempts,
                f"{ago(record.created_at)} ago",
                record.failure.type if record.failure else None,
            )
            for record in page.records
        ),
        nothing="There are no such tasks.",
    )


@app.command("show")
def show_task(task_id: TaskId, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show a task's record."""
    content = _view(lookup.find(task_id, tenant or settings().tenant))
    if as_json:
        show_json(content)
        return
    rows = ((name, value) for name, value in content.items() if value not in (None, []))
    show(["", ""], rows, nothing="")


@app.command()
def cancel(task_id: TaskId, tenant: Tenant = None) -> None:
    """End a waiting task at once, or ask a running one to stop."""
    outcome, _ = cancelling.cancel(task_id, tenant or settings().tenant)
    typer.echo(f"{task_id}: {outcome.value}.")


def _view(record: TaskRecord) -> dict[str, Any]:
    failure = record.failure
    progress = record.progress
    return {
        "task_id": record.task_id,
        "type": record.type,
        "tenant": record.tenant,
        "queue": record.queue,
        "priority": priority_of(record),
        "status": record.state,
        "attempt": record.attempts,
        "created_at": moment(record.created_at),
        "due_at": moment(record.due_at),
        "started_at": moment(record.started_at),
        "finished_at": moment(record.finished_at),
        "cancel_requested_at": moment(record.cancel_requested_at),
        "held_by": record.lease_owner if record.running else None,
        "processes_died": record.crashes,
        "workers_lost": record.lost,
        "latest_loss": record.loss,
        "progress": f"{progress.current}/{progress.total}" if progress else None,
        "failure": {"type": failure.type, "message": failure.message} if failure else None,
        "tags": list(record.tags),
        "retry_of": record.retry_of,
        "schedule_id": record.schedule_id,
    }
