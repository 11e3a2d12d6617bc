"""What the API shows: tasks as callers see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, create_model

from celeriac import states
from celeriac.clock import Millis, to_datetime
from celeriac.records import TaskRecord
from tasks.contract import Artifact, TaskType


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
    attempt: int = Field(description="Which try this is, counted from 1.")
    queue: str
    created_at: datetime
    due_at: datetime | None = Field(description="When a delayed attempt may start.")
    started_at: datetime | None = Field(description="When the latest attempt started.")
    finished_at: datetime | None
    cancelling: bool = Field(description="It runs, and has been asked to stop.")
    tags: list[str]
    retry_of: str | None = Field(description="The task that this one repeats.")
    links: dict[str, str] = Field(
        description="`self`, and as they apply `result`, `cancel` (DELETE) and `retry` (POST).",
        examples=[{"self": "/tasks/01890000-0000-7000-8000-000000000000"}],
    )


class TaskView(TaskSummary):
    """A task."""

    model_config = ConfigDict(title="Task")

    result: Any = Field(
        description="What a SUCCESS gave. Null for a result over 32 KiB: follow `links.result`."
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


def view(record: TaskRecord, result: Any) -> TaskView:
    """A record and its result, if it has one to show."""
    return TaskView(**_fields(record), result=with_links(result))


def task_path(task_id: str) -> str:
    """Where a task is: its id in a path."""
    return f"/tasks/{quote(task_id, safe='')}"


def file_path(key: str) -> str:
    """Where an artifact can be fetched from."""
    return f"/files/{quote(key)}"


def with_links(value: Any) -> Any:
    """A result with a ``url`` in each artifact: where GET answers with a link to its bytes."""
    if isinstance(value, dict):
        linked = {name: with_links(each) for name, each in value.items()}
        if value.keys() >= Artifact.model_fields.keys() and isinstance(value["key"], str):
            linked["url"] = file_path(value["key"])
        return linked
    if isinstance(value, list):
        return [with_links(each) for each in value]
    return value


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
        "attempt": record.attempt,
        "queue": record.queue,
        "created_at": to_datetime(record.created_at),
        "due_at": _moment(record.due_at),
        "started_at": _moment(record.started_at),
        "finished_at": _moment(record.finished_at),
        "cancelling": _cancelling(record),
        "tags": list(record.tags),
        "retry_of": record.retry_of,
        "links": _links(record),
    }


def _moment(moment: Millis | None) -> datetime | None:
    return to_datetime(moment) if moment is not None else None


def _cancelling(record: TaskRecord) -> bool:
    return record.running and record.cancel_requested_at is not None


def _progress(record: TaskRecord) -> ProgressView | None:
    if record.progress is None:
        return None
    current, total = record.progress.current, record.progress.total
    share = current / total if total > 0 else 0.0
    return ProgressView(
        current=current,
        total=total,
        percent=round(100 * min(max(share, 0.0), 1.0), 1),
        message=record.progress.message,
    )


def _message(record: TaskRecord) -> str:
    if _cancelling(record):
        return "Stopping."
    failed = record.failure.message if record.failure else "The attempt failed."
    match record.state:
        case states.PENDING:
            return "Waiting until due_at." if record.due_at else "Waiting for a worker."
        case states.RETRY:
            return f"Attempt {record.attempt} follows. {failed}"
        case states.SUCCESS:
            return "Done."
        case states.FAILURE:
            return failed
        case states.REVOKED:
            return "Cancelled."
        case _:
            said = record.progress.message if record.progress else ""
            return said or "Running."


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
