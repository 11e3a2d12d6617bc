"""The models of the API's answers: tasks as callers see them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import SkipJsonSchema

from celeriac import states
from celeriac.app.meta import progress_of
from celeriac.clock import Millis, to_datetime
from celeriac.contract import TaskType
from celeriac.contract.queues import Priority
from celeriac.http.answers import shown
from celeriac.http.links import task_path
from celeriac.operations.lookup import priority_of
from celeriac.records import TaskRecord
from celeriac.storage.mail_events import MailEvent, MailEventKind


class ProgressView(BaseModel):
    """How far a running task is, in units of its own."""

    model_config = ConfigDict(title="Progress")

    current: int
    total: int
    percent: float = Field(ge=0, le=100)
    message: str


class ErrorView(BaseModel):
    """How the task, or its last attempt, failed."""

    model_config = ConfigDict(title="TaskError")

    type: str = Field(description="Stable, and made for programs to compare.")
    message: str


class TaskSummary(BaseModel):
    """A task without its result."""

    task_id: str
    type: str
    status: str = Field(
        description=f"One of {', '.join(states.ALL)}; plain Celery code may name others."
    )
    message: str = Field(description="The status in a sentence.")
    progress: ProgressView | None
    error: ErrorView | None
    attempt: int = Field(
        description="Which attempt this is, counted from 1. A process that died, or a worker that "
        "was lost, ended one too."
    )
    lost_attempts: int = Field(
        description="How many attempts ended because their process died or their worker was lost."
    )
    latest_loss: str | None = Field(
        description="How the latest of these ended.", examples=["signal 9 (SIGKILL)"]
    )
    queue: str
    priority: Priority = Field(description="Whether it takes its queue's lane of urgent tasks.")
    created_at: datetime
    due_at: datetime | None = Field(description="When a delayed attempt may start.")
    started_at: datetime | None = Field(description="When the latest attempt started.")
    finished_at: datetime | None
    cancelling: bool = Field(description="It runs, and has been asked to stop.")
    tags: list[str]
    retry_of: str | None = Field(description="The task that this one repeats.")
    schedule_id: str | None = Field(description="The schedule that submitted it.")
    links: dict[str, str] = Field(
        description="`self`, and as they apply `result`, `cancel` (DELETE) and `retry` (POST).",
        examples=[{"self": "/tasks/01890000-0000-7000-8000-000000000000"}],
    )


class MailEventView(BaseModel):
    """What SES said of a mail, for one recipient."""

    model_config = ConfigDict(title="MailEvent")

    recipient: str
    type: str | None = Field(description="SES's word, such as `Permanent`.")
    subtype: str | None = Field(description="SES's word, such as `OnAccountSuppressionList`.")
    diagnostic: str | None = Field(description="The mail server's own words, or SES's.")
    at: datetime


class MailView(BaseModel):
    """What became of a task's mail, by what SES said of it since. Oldest first."""

    model_config = ConfigDict(title="Mail")

    bounced: list[MailEventView] = Field(description="Not delivered, and given up.")
    complained: list[MailEventView] = Field(description="Reported as spam by the recipient.")
    delayed: list[MailEventView] = Field(description="Not delivered yet: SES goes on trying.")
    rejected: list[MailEventView] = Field(description="Not sent: SES found a virus, say.")


class TaskView(TaskSummary):
    """A task."""

    model_config = ConfigDict(title="Task")

    result: Any = Field(
        description="What a SUCCESS gave. Null for a result over 32 KiB: follow `links.result`."
    )
    mail: MailView | SkipJsonSchema[None] = Field(
        None, description="Only in GET /tasks/{task_id}, and only if SES said something of a mail."
    )


class TaskPage(BaseModel):
    """Tasks, newest first."""

    data: list[TaskSummary]
    next_cursor: str | None = Field(
        description="Where the next page begins. A page may be short and still have one."
    )


class ResultView(BaseModel):
    """What a task gave."""

    result: Any


def task_view_of(task_type: TaskType[Any, Any]) -> type[TaskView]:
    """The task view of one task type: its result is the type's own model. For the documentation."""
    name = "".join(word.capitalize() for word in task_type.name.split("-"))
    result: Any = (task_type.result_model | None, Field(description="What a SUCCESS gave."))
    return create_model(f"{name}Task", __base__=TaskView, __doc__="A task.", result=result)


def summarize(record: TaskRecord) -> TaskSummary:
    """A record as listings show it."""
    return TaskSummary(**_fields(record))


def view(record: TaskRecord, result: Any, mail_events: Iterable[MailEvent] = ()) -> dict[str, Any]:
    """A record and its result, if it has one to show, as ``TaskView`` describes them."""
    # Not through the model: pydantic refuses what is nested deeply.
    seen = {**summarize(record).model_dump(mode="json"), "result": shown(result)}
    if events := list(mail_events):
        seen["mail"] = _mail(events).model_dump(mode="json")
    return seen


def _mail(events: Iterable[MailEvent]) -> MailView:
    by_kind: dict[str, list[MailEventView]] = {kind: [] for kind in MailEventKind}
    for each in events:
        by_kind[each.kind].append(
            MailEventView(
                recipient=each.recipient,
                type=each.type,
                subtype=each.subtype,
                diagnostic=each.diagnostic,
                at=to_datetime(each.at),
            )
        )
    return MailView(**by_kind)


def _fields(record: TaskRecord) -> dict[str, Any]:
    return {
        "task_id": record.task_id,
        "type": record.type,
        "status": record.state,
        "message": _message(record),
        "progress": _progress(record),
        "error": (
            ErrorView(type=record.failure.type, message=record.failure.message)
            if record.failure
            else None
        ),
        "attempt": record.attempts,
        "lost_attempts": record.crashes + record.lost,
        "latest_loss": record.loss,
        "queue": record.queue,
        "priority": priority_of(record),
        "created_at": to_datetime(record.created_at),
        "due_at": _moment(record.due_at),
        "started_at": _moment(record.started_at),
        "finished_at": _moment(record.finished_at),
        "cancelling": _cancelling(record),
        "tags": list(record.tags),
        "retry_of": record.retry_of,
        "schedule_id": record.schedule_id,
        "links": _links(record),
    }


def _moment(moment: Millis | None) -> datetime | None:
    return to_datetime(moment) if moment is not None else None


def _cancelling(record: TaskRecord) -> bool:
    return record.running and record.cancel_requested_at is not None


def _progress(record: TaskRecord) -> ProgressView | None:
    said = record.progress or progress_of(record.meta)
    if said is None:
        return None
    current, total = said.current, said.total
    share = min(max(current, 0), total) / total if total > 0 else 0.0
    return ProgressView(
        current=current, total=total, percent=round(100 * share, 1), message=said.message
    )


def _message(record: TaskRecord) -> str:
    if _cancelling(record):
        return "Stopping."
    failed = record.failure.message if record.failure else "The attempt failed."
    match record.state:
        case states.PENDING:
            return "Waiting until due_at." if record.due_at else "Waiting for a worker."
        case states.RETRY:
            return f"Attempt {record.attempts} follows. {failed}"
        case states.SUCCESS:
            return "Done."
        case states.FAILURE:
            return failed
        case states.REVOKED:
            return "Cancelled."
        case _:
            progress = record.progress or progress_of(record.meta)
            return (progress.message if progress else "") or "Running."


def _links(record: TaskRecord) -> dict[str, str]:
    here = task_path(record.task_id)
    links = {"self": here}
    if record.state == states.SUCCESS:
        links["result"] = f"{here}/result"
    if record.terminal:
        links["retry"] = f"{here}/retry"
    elif not _cancelling(record):
        links["cancel"] = here
    return links
