"""``cleanup``: keep unfinished tasks, and repair those that lost their message or worker."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ConfigDict

from celeriac import BaseModel, Field, Retry, TaskContext, task
from tasks.queues import MAINTENANCE


class Cleanup(BaseModel):
    """When a task counts as lost. Durations are ISO 8601 (``PT15M``) or seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace": "PT15M"}]})

    grace: timedelta = Field(
        timedelta(minutes=15),
        ge=timedelta(seconds=0),
        le=timedelta(days=1),
        description="How long a task may be overdue before its message counts as lost.",
    )


class CleanedUp(BaseModel):
    """Counts alone: the tasks are those of all tenants. The log has their ids."""

    tasks_examined: int = Field(description="Unfinished tasks that were older than the grace.")
    kept: int = Field(
        description="Tasks that wait or run for long: record and input were kept for longer."
    )
    messages_resent: int = Field(description="Tasks whose message was lost.")
    workers_lost: int = Field(description="Tasks whose worker died; they were sent again.")
    unsendable: int = Field(
        description="Tasks that could not be sent again: their input or their queue is gone."
    )


@task(
    queue=MAINTENANCE,
    time_limit=timedelta(minutes=30),
    retry=Retry(attempts=2),
    operators_only=True,
)
def cleanup(payload: Cleanup, context: TaskContext) -> CleanedUp:
    """Send tasks again whose message or worker was lost, and keep all that have not ended.

    A task loses its message in one way: the process that accepted it dies after it wrote the record
    and before it sent the message. Two runs at once do no harm.
    """
    from celeriac.operations import maintenance

    repaired = maintenance.repair(payload.grace)
    lost = len(repaired.resent) + len(repaired.restarted)
    context.progress(1, 1, f"{lost} tasks repaired")
    return CleanedUp(
        tasks_examined=repaired.examined,
        kept=len(repaired.kept),
        messages_resent=len(repaired.resent),
        workers_lost=len(repaired.restarted),
        unsendable=len(repaired.unsendable),
    )
