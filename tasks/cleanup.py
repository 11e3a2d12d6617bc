"""``cleanup``: remove what has expired, and repair what was lost."""

from __future__ import annotations

from datetime import timedelta

from tasks.contract import BaseModel, Field, Queue, Retry, TaskContext, task


class Cleanup(BaseModel):
    """What to look at. Durations are ISO 8601 (``PT15M``) or seconds."""

    grace: timedelta = Field(
        timedelta(minutes=15),
        ge=timedelta(seconds=0),
        description="How long a task may be overdue before its message counts as lost.",
    )
    lookback: timedelta = Field(
        timedelta(hours=2),
        gt=timedelta(seconds=0),
        description="How far before the last cleanup the tasks to look at were created.",
    )


class CleanedUp(BaseModel):
    """What was done."""

    uploads_removed: int
    artifacts_removed: int
    bytes_removed: int
    tasks_examined: int
    messages_resent: list[str] = Field(description="Tasks whose message was lost.")
    workers_lost: list[str] = Field(description="Tasks whose worker died, sent again.")
    inputs_expired: list[str] = Field(description="Tasks that couldn't be sent: input gone.")


@task(queue=Queue.MAINTENANCE, time_limit=timedelta(minutes=30), retry=Retry(attempts=2))
def cleanup(payload: Cleanup, context: TaskContext) -> CleanedUp:
    """Remove expired artifacts and uploads, and repair tasks whose message or worker was lost.

    A task's message can be lost in one way: the process that accepted it died between writing its
    record and sending. Run this every hour or so; running it twice at once does no harm.
    """
    from celeriac import maintenance

    context.progress(0, 2, "Removing what has expired")
    removed = maintenance.remove_expired()
    context.progress(1, 2, "Repairing what was lost")
    repaired = maintenance.repair(payload.grace, payload.lookback)
    context.progress(2, 2, f"{len(repaired.resent) + len(repaired.restarted)} tasks repaired")
    return CleanedUp(
        uploads_removed=removed.uploads,
        artifacts_removed=removed.artifacts,
        bytes_removed=removed.bytes,
        tasks_examined=repaired.examined,
        messages_resent=repaired.resent,
        workers_lost=repaired.restarted,
        inputs_expired=repaired.unsendable,
    )
