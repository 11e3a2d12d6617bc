"""``cleanup``: remove expired files, and repair tasks that lost their message or worker."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ConfigDict

from celeriac import BaseModel, Field, Retry, TaskContext, task
from tasks.queues import MAINTENANCE


class Cleanup(BaseModel):
    """The tasks to examine. Durations are ISO 8601 (``PT15M``) or seconds."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"grace": "PT15M", "lookback": "PT2H"}]}
    )

    grace: timedelta = Field(
        timedelta(minutes=15),
        ge=timedelta(seconds=0),
        le=timedelta(days=1),
        description="How long a task may be overdue before its message counts as lost.",
    )
    lookback: timedelta = Field(
        timedelta(hours=2),
        gt=timedelta(seconds=0),
        le=timedelta(days=90),
        description="How far before the last cleanup the oldest examined task was created.",
    )


class CleanedUp(BaseModel):
    """Counts alone: the tasks are those of all tenants. The log has their ids."""

    uploads_removed: int
    artifacts_removed: int
    bytes_removed: int
    tasks_examined: int
    messages_resent: int = Field(description="Tasks whose message was lost.")
    workers_lost: int = Field(description="Tasks whose worker died; they were sent again.")
    inputs_expired: int = Field(
        description="Tasks that could not be sent again: their input is gone."
    )


@task(
    queue=MAINTENANCE,
    time_limit=timedelta(minutes=30),
    retry=Retry(attempts=2),
    operators_only=True,
)
def cleanup(payload: Cleanup, context: TaskContext) -> CleanedUp:
    """Remove expired artifacts and uploads, and repair tasks whose message or worker was lost.

    A task loses its message in one way: the process that accepted it dies after it wrote the record
    and before it sent the message. Run this about every hour. Two runs at once do no harm.
    """
    from celeriac.operations import maintenance

    context.progress(0, 2, "Removing expired files")
    removed = maintenance.remove_expired()
    context.progress(1, 2, "Repairing tasks")
    repaired = maintenance.repair(payload.grace, payload.lookback)
    context.progress(2, 2, f"{len(repaired.resent) + len(repaired.restarted)} tasks repaired")
    return CleanedUp(
        uploads_removed=removed.uploads,
        artifacts_removed=removed.artifacts,
        bytes_removed=removed.bytes,
        tasks_examined=repaired.examined,
        messages_resent=len(repaired.resent),
        workers_lost=len(repaired.restarted),
        inputs_expired=len(repaired.unsendable),
    )
