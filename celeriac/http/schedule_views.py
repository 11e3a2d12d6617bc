"""The models of the answers about schedules, and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from celeriac import states
from celeriac.clock import to_datetime
from celeriac.contract.queues import Priority
from celeriac.http.links import schedule_path, task_path
from celeriac.operations import schedules
from celeriac.operations.scheduled import Scheduled
from celeriac.storage.firings import Firing, Outcome


def _iso(duration: timedelta) -> str:
    """ISO 8601 in days, hours, minutes and seconds: a year has another length each time."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "H"), (minutes, "M"), (seconds + duration.microseconds / 10**6, "S")]
    time = "".join(f"{value:g}{unit}" for value, unit in parts if value)
    day = f"{duration.days}D" if duration.days else ""
    return f"P{day}T{time}" if time else f"P{day or 'T0S'}"


Duration = Annotated[timedelta, PlainSerializer(_iso, return_type=str, when_used="json")]


class ScheduleSummary(BaseModel):
    """A schedule without its payload."""

    schedule_id: str
    type: str
    cron: str | None
    rate: Duration | None = Field(description="An ISO 8601 duration.")
    at: datetime | None
    timezone: str
    start: datetime | None = Field(description="Of a rate, the time that it is counted from.")
    end: datetime | None
    overlap: Literal["allow", "skip", "cancel"]
    priority: Priority | None = Field(description="Of its tasks; null if it was not given.")
    tags: list[str]
    paused: bool
    created_at: datetime | None = Field(description="Null if code declares it.")
    declared_at: str | None = Field(description="Where code declares it, if it does.")
    next_fire_times: list[datetime] = Field(description="The next five; none while it is paused.")
    links: dict[str, str] = Field(
        description="`self`, `history`, `run` (POST), and `pause` or `resume` (POST)."
    )


class ScheduleView(ScheduleSummary):
    """A schedule."""

    model_config = ConfigDict(title="Schedule")

    payload: dict[str, Any]


class SchedulePage(BaseModel):
    """Schedules: those that code declares, then those of callers, by their ids."""

    data: list[ScheduleSummary]
    next_cursor: str | None = Field(description="Where the next page begins.")


class FiringView(BaseModel):
    """What a schedule did at one of its times."""

    model_config = ConfigDict(title="Firing")

    scheduled_at: datetime
    fired_at: datetime
    late_by: Duration = Field(description="An ISO 8601 duration.")
    calls: int = Field(description="How often EventBridge called for it; the first call counts.")
    outcome: Literal["fired", "joined", "paused", "skipped", "refused"] = Field(
        description="`joined`: its type allows one such task, and that was there."
    )
    by_hand: bool = Field(description="Somebody ran it then.")
    task_id: str | None = Field(description="The task that it submitted or joined.")
    task_status: states.Status | None = Field(
        description="That task's state now; null once its record has expired."
    )
    cancelled_task_id: str | None = Field(description="The last task, which it cancelled.")
    detail: str | None = Field(description="Why it submitted no task, if it didn't.")
    links: dict[str, str] = Field(description="`task` and `cancelled_task`, as they apply.")


class FiringPage(BaseModel):
    """What a schedule fired, newest first."""

    data: list[FiringView]
    next_cursor: str | None = Field(description="Where the next page begins.")


def schedule_view(found: Scheduled) -> dict[str, Any]:
    """A schedule, as ``ScheduleView`` describes it."""
    # Not through the model: pydantic refuses what is nested deeply.
    return {
        **schedule_summary(found).model_dump(mode="json"),
        "payload": dict(found.schedule.payload),
    }


def schedule_summary(found: Scheduled) -> ScheduleSummary:
    """A schedule as listings show it."""
    schedule = found.schedule
    here = schedule_path(found.schedule_id)
    switch = "resume" if found.paused else "pause"
    when: dict[str, Any] = {"cron": None, "rate": None, "at": None, schedule.kind: schedule.when}
    return ScheduleSummary(
        schedule_id=found.schedule_id,
        type=found.type,
        **when,
        timezone=schedule.timezone,
        start=schedule.start,
        end=schedule.end,
        overlap=schedule.overlap,
        priority=schedule.priority,
        tags=list(found.tags),
        paused=found.paused,
        created_at=found.created_at,
        declared_at=found.code.where if found.code else None,
        next_fire_times=schedules.next_times(found),
        links={
            "self": here,
            "history": f"{here}/history",
            "run": f"{here}/run",
            switch: f"{here}/{switch}",
        },
    )


def firing_view(firing: Firing, statuses: Mapping[str, str]) -> FiringView:
    """What a schedule did at one of its times. ``statuses`` are those of tasks, by id."""
    status = statuses.get(firing.task_id or "")
    linked = {"task": firing.task_id, "cancelled_task": firing.cancelled_task_id}
    return FiringView(
        scheduled_at=to_datetime(firing.scheduled_at),
        fired_at=to_datetime(firing.fired_at),
        late_by=firing.late_by,
        calls=firing.calls,
        outcome=Outcome(firing.outcome).value,
        by_hand=firing.by_hand,
        task_id=firing.task_id,
        task_status=states.Status(status) if status else None,
        cancelled_task_id=firing.cancelled_task_id,
        detail=firing.detail,
        links={name: task_path(each) for name, each in linked.items() if each},
    )
