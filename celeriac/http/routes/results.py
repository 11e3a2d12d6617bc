"""GET /tasks/{task_id}/result: what a task gave, from the record or from S3."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import Response
from fastapi.responses import RedirectResponse

from celeriac import states
from celeriac.errors import NotOverError, unavailable
from celeriac.http.answers import JsonAnswer, shown
from celeriac.http.auth import Reader
from celeriac.http.dependencies import TaskId
from celeriac.http.links import task_path
from celeriac.http.problems import KEYED, Problem, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.views import ResultView, view
from celeriac.operations import lookup
from celeriac.records import TaskRecord
from celeriac.storage.artifacts import ArtifactNotFoundError
from celeriac.storage.mail_events import MailEvent
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError

router = keyed_router("tasks")

RESULT_LINK = timedelta(minutes=5)


@router.get(
    "/tasks/{task_id}/result",
    operation_id="get-task-result",
    summary="Fetch what a task gave",
    response_model=None,
    responses={
        200: {"model": ResultView, "description": "The result."},
        303: {
            "description": "The result is large: Location is a link to the same document, "
            "good for some minutes.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
        **documented(
            *KEYED,
            ProblemType.TASK_NOT_FOUND,
            ProblemType.TASK_NOT_OVER,
            ProblemType.TASK_FAILED,
            ProblemType.TASK_REVOKED,
            ProblemType.EXPIRED,
            ProblemType.INVALID,
        ),
    },
)
def get_result(task_id: TaskId, caller: Reader) -> Response:
    """`{"result": …}`, here or, from some tens of KiB, in S3.

    A task that runs, failed or was cancelled has no result: that is a 409 whose type says which.
    """
    record = lookup.find(task_id, caller.tenant)
    if not record.terminal:
        raise NotOverError(task_id, record.state)
    if record.state != states.SUCCESS:
        raise _without_result(record)
    key = large_result(record)
    if key is None:
        try:
            return JsonAnswer({"result": shown(lookup.outcome_of(record))})
        except RecursionError:
            # Too deep for Python, and yet JSON.
            return Response(lookup.outcome_text(record), media_type="application/json")
    try:
        with unavailable("S3"):
            link = services().artifacts.link(caller.tenant, key, lifetime=RESULT_LINK)
    except ArtifactNotFoundError:
        raise ValueMissingError(key) from None
    return RedirectResponse(link, status_code=303)


def task_answer(record: TaskRecord, status: int, headers: Mapping[str, str]) -> Response:
    """A task, with its result if that is small, and with the news of its mail."""
    events = _mail_events(record)
    try:
        return JsonAnswer(view(record, _small_result(record), events), status, headers)
    except RecursionError:
        # Too deep for Python: ``links.result`` has it.
        return JsonAnswer(view(record, None, events), status, headers)


def _mail_events(record: TaskRecord) -> list[MailEvent]:
    if not record.mail_events:
        return []
    with unavailable("DynamoDB"):
        return services().mail_events.of(record.task_id)


def _small_result(record: TaskRecord) -> Any:
    if record.state != states.SUCCESS or large_result(record):
        return None
    return lookup.outcome_of(record)


def large_result(record: TaskRecord) -> str | None:
    """The key of a result that is kept in S3."""
    kind, _, key = (record.result or "").partition(":")
    return key if kind == "s3" else None


def _without_result(record: TaskRecord) -> Problem:
    if record.state == states.REVOKED:
        return Problem(
            ProblemType.TASK_REVOKED,
            f"Task {record.task_id} was cancelled and has no result. "
            f"POST {task_path(record.task_id)}/retry runs it again.",
        )
    failure = record.failure
    said = f"{failure.type}: {failure.message}" if failure else "no reason was kept"
    return Problem(
        ProblemType.TASK_FAILED,
        f"Task {record.task_id} failed: {said}",
        error={"type": failure.type, "message": failure.message} if failure else None,
    )
