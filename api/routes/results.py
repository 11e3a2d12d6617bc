"""GET /tasks/{task_id}/result: what a task gave, from the record or from S3."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api.auth import Reader
from api.keyed_route import KeyedRoute
from api.problems import KEYED, Problem, ProblemType, documented
from api.task_id import TaskId
from api.views import ResultView, task_path, with_links
from celeriac import states, submission
from celeriac.artifacts import ArtifactNotFoundError
from celeriac.errors import NotOverError, unavailable
from celeriac.records import TaskRecord
from celeriac.services import services
from celeriac.values import ValueMissingError

router = APIRouter(route_class=KeyedRoute, tags=["tasks"])

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
    record = submission.find(task_id, caller.tenant)
    if not record.terminal:
        raise NotOverError(task_id, record.state)
    if record.state != states.SUCCESS:
        raise _without_result(record)
    key = large_result(record)
    if key is None:
        content = ResultView(result=with_links(submission.outcome_of(record)))
        return JSONResponse(content.model_dump(mode="json"))
    try:
        with unavailable("S3"):
            link = services().artifacts.link(caller.tenant, key, lifetime=RESULT_LINK)
    except ArtifactNotFoundError:
        raise ValueMissingError(key) from None
    return RedirectResponse(link, status_code=303)


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
