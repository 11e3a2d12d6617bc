"""What schedules run: their tasks submitted now, and the history of what they fired."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from celeriac.contract import TaskType
from celeriac.http.answers import JsonAnswer
from celeriac.http.auth import Caller, Reader, Submitter
from celeriac.http.dependencies import Dependencies, TheDependencies
from celeriac.http.links import LINK, next_page, schedule_path
from celeriac.http.problems import KEYED, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.routes.submit import ACCEPTED, IdempotencyKey, accepted
from celeriac.http.schedule_views import FiringPage, firing_view
from celeriac.http.views import TaskView
from celeriac.operations import schedules
from celeriac.operations.scheduled import Scheduled
from celeriac.records.listing import decode_cursor, encode_cursor

router = keyed_router("schedules")

MOST_PER_PAGE = 100

#: What a cursor names: a time, and a task if somebody started it.
_KEY = re.compile(r"[0-9]{13}(#[0-9A-Za-z_.:-]{1,255})?")

#: What an operation on one schedule may answer.
ONE = (*KEYED, ProblemType.SCHEDULE_NOT_FOUND, ProblemType.INVALID)


class PageOptions(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MOST_PER_PAGE)
    cursor: str | None = Field(None, description="The `next_cursor` of the page before.")


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
        200: {"model": FiringPage, "description": "A page, newest first.", "headers": LINK},
        **documented(*ONE, ProblemType.BAD_CURSOR),
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
        limit=options.limit + 1,
        below=decode_cursor(options.cursor, _KEY),
        app=dependencies.celery,
    )
    page = found[: options.limit]
    cursor = encode_cursor(page[-1].key) if len(found) > len(page) else None
    statuses = schedules.statuses(page)
    content = FiringPage(data=[firing_view(each, statuses) for each in page], next_cursor=cursor)
    path = f"{schedule_path(schedule_id)}/history"
    return JsonAnswer(content.model_dump(mode="json"), headers=next_page(path, options, cursor))


def found_schedule(schedule_id: str, caller: Caller, dependencies: Dependencies) -> Scheduled:
    return schedules.find(schedule_id, caller.tenant, app=dependencies.celery)


def may_submit(caller: Caller, found: Scheduled, dependencies: Dependencies) -> None:
    task_type: TaskType[Any, Any] | None = dependencies.catalogue.get(found.type)
    if task_type is not None:
        caller.may_submit(task_type)
