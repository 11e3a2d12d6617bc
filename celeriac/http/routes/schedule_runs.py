"""What schedules run: their tasks submitted now, and the history of what they fired."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from celeriac.contract import TaskType
from celeriac.http.answers import JsonAnswer
from celeriac.http.auth import Caller, Reader, Submitter
from celeriac.http.dependencies import Dependencies, TheDependencies
from celeriac.http.problems import KEYED, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.routes.submit import ACCEPTED, IdempotencyKey, accepted
from celeriac.http.schedule_views import FiringPage, firing_view
from celeriac.http.views import TaskView
from celeriac.operations import schedules
from celeriac.operations.scheduled import Scheduled

router = keyed_router("schedules")

MOST_PER_PAGE = 100

#: What an operation on one schedule may answer.
ONE = (*KEYED, ProblemType.SCHEDULE_NOT_FOUND, ProblemType.INVALID)


class PageOptions(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MOST_PER_PAGE)
    cursor: str | None = Field(
        None, max_length=255, description="The `next_cursor` of the page before."
    )


@router.post(
    "/schedules/{schedule_id}/run",
    operation_id="run-schedule",
    summary="Run a schedule's task now",
    status_code=202,
    response_model=None,
    responses={
        202: {"model": TaskView, **ACCEPTED},
        **documented(*ONE, ProblemType.SCHEDULE_REFUSED, ProblemType.QUOTA_EXCEEDED),
    },
)
def run_schedule(
    schedule_id: str,
    caller: Submitter,
    dependencies: TheDependencies,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """One task more, also while it is paused."""
    may_submit(caller, found_schedule(schedule_id, caller, dependencies), dependencies)
    return accepted(
        schedules.run_now(
            schedule_id,
            caller.tenant,
            idempotency_key=idempotency_key,
            app=dependencies.celery,
        )
    )


@router.get(
    "/schedules/{schedule_id}/history",
    operation_id="list-firings",
    summary="List what a schedule fired",
    response_model=None,
    responses={
        200: {"model": FiringPage, "description": "A page, newest first."},
        **documented(*ONE),
    },
)
def list_firings(
    schedule_id: str,
    options: Annotated[PageOptions, Query()],
    caller: Reader,
    dependencies: TheDependencies,
) -> JSONResponse:
    """Each time that has come, with its task or why there is none. Kept as long as records."""
    found = schedules.history(
        schedule_id,
        caller.tenant,
        limit=options.limit,
        below=options.cursor,
        app=dependencies.celery,
    )
    content = FiringPage(
        data=[firing_view(each) for each in found],
        next_cursor=found[-1].key if len(found) == options.limit else None,
    )
    return JsonAnswer(content.model_dump(mode="json"))


def found_schedule(schedule_id: str, caller: Caller, dependencies: Dependencies) -> Scheduled:
    return schedules.find(schedule_id, caller.tenant, app=dependencies.celery)


def may_submit(caller: Caller, found: Scheduled, dependencies: Dependencies) -> None:
    task_type: TaskType[Any, Any] | None = dependencies.catalogue.get(found.type)
    if task_type is not None:
        caller.may_submit(task_type)
