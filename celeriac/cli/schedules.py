"""``celeriac schedules``: list, pause, resume, run, delete, and what they fired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from celeriac.cli.output import AsJson, moment, show, show_json
from celeriac.cli.tasks import Tenant
from celeriac.operations import schedules, scheduling
from celeriac.operations.scheduled import Scheduled
from celeriac.operations.waking import wake_for
from celeriac.storage.firings import Firing

app = typer.Typer(
    no_args_is_help=True, help="Schedules: list, show, pause, resume, run, delete, history."
)

ScheduleId = Annotated[str, typer.Argument(help="The schedule, as 'schedules list' names it.")]


@app.command("list")
def list_schedules(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show a tenant's schedules, and when each fires next."""
    found = schedules.list_all(tenant)
    if as_json:
        show_json([_view(each) for each in found])
        return
    show(
        ["schedule", "type", "when", "zone", "next", "declared at"],
        (
            (
                each.schedule_id,
                each.type,
                each.schedule.expression,
                each.schedule.timezone,
                "paused" if each.paused else next(iter(_next(each)), None),
                each.code.where if each.code else None,
            )
            for each in found
        ),
        nothing="There are no schedules.",
    )


@app.command("show")
def show_schedule(schedule_id: ScheduleId, tenant: Tenant = None) -> None:
    """Show a schedule with its payload and its next times, in JSON."""
    found = schedules.find(schedule_id, tenant)
    show_json({**_view(found), "payload": dict(found.schedule.payload)})


@app.command()
def pause(schedule_id: ScheduleId, tenant: Tenant = None) -> None:
    """Have a schedule's times pass without a task, until it is resumed."""
    schedules.pause(schedule_id, tenant)
    typer.echo(f"{schedule_id}: paused.")


@app.command()
def resume(schedule_id: ScheduleId, tenant: Tenant = None) -> None:
    """End a pause. Times that have passed are not made up for."""
    schedules.resume(schedule_id, tenant)
    typer.echo(f"{schedule_id}: resumed.")


@app.command()
def run(
    schedule_id: ScheduleId,
    tenant: Tenant = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeating this with the same key gives the same task.")
    ] = None,
) -> None:
    """Submit a schedule's task now, paused or not."""
    submitted = schedules.run_now(schedule_id, tenant, idempotency_key=idempotency_key)
    wake_for(submitted.record)
    typer.echo(submitted.record.task_id)


@app.command()
def delete(schedule_id: ScheduleId, tenant: Tenant = None) -> None:
    """Remove a schedule that a caller made. Its tasks stay."""
    scheduling.delete(schedule_id, tenant)
    typer.echo(f"{schedule_id}: deleted.")


@app.command()
def history(
    schedule_id: ScheduleId,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what a schedule has fired, newest first."""
    found = schedules.history(schedule_id, tenant, limit=limit)
    statuses = schedules.statuses(found)
    if as_json:
        show_json([_firing(each, statuses) for each in found])
        return
    show(
        ["scheduled", "fired", "outcome", "task", "now", "why"],
        (
            (
                moment(each.scheduled_at),
                moment(each.fired_at),
                "by hand" if each.by_hand else each.outcome.value,
                each.task_id,
                statuses.get(each.task_id or ""),
                each.detail,
            )
            for each in found
        ),
        nothing="It has fired nothing yet.",
    )


def _next(found: Scheduled) -> list[str]:
    return [each.isoformat(timespec="seconds") for each in schedules.next_times(found)]


def _view(found: Scheduled) -> dict[str, Any]:
    return {
        "schedule_id": found.schedule_id,
        "type": found.type,
        "tenant": found.tenant,
        "expression": found.schedule.expression,
        "timezone": found.schedule.timezone,
        "overlap": found.schedule.overlap,
        "priority": found.schedule.priority,
        "paused": found.paused,
        "tags": list(found.tags),
        "declared_at": found.code.where if found.code else None,
        "next_fire_times": _next(found),
    }


def _firing(firing: Firing, statuses: Mapping[str, str]) -> dict[str, Any]:
    return {
        "scheduled_at": moment(firing.scheduled_at),
        "fired_at": moment(firing.fired_at),
        "late_by": firing.late_by.total_seconds(),
        "calls": firing.calls,
        "outcome": firing.outcome.value,
        "by_hand": firing.by_hand,
        "task_id": firing.task_id,
        "task_status": statuses.get(firing.task_id or ""),
        "cancelled_task_id": firing.cancelled_task_id,
        "detail": firing.detail,
    }
