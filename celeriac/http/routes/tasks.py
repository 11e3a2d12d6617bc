"""/tasks: list, follow, cancel, try again."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from celeriac import states
from celeriac.errors import unavailable
from celeriac.http import polling
from celeriac.http.answers import JsonAnswer
from celeriac.http.auth import Canceller, Reader, Submitter
from celeriac.http.dependencies import TaskId, TheDependencies
from celeriac.http.errors import invalid_payload
from celeriac.http.links import LINK, at, next_page
from celeriac.http.long_poll import changed_record
from celeriac.http.problems import KEYED, Problem, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.routes.results import task_answer
from celeriac.http.routes.submit import ACCEPTED, PROBLEMS, IdempotencyKey, accepted
from celeriac.http.views import TaskPage, TaskView, summarize, view
from celeriac.operations import cancelling, lookup, retrying
from celeriac.records import Cancellation, Filter, TaskRecord, list_tasks
from celeriac.storage.services import services

router = keyed_router("tasks")

MOST_PER_PAGE = 100

#: The last millisecond that fits the listing's keys: the year 2286.
_LATEST = 9_999_999_999_999


def _iso(text: Any) -> Any:
    """Refuse the numbers that pydantic takes for seconds, or milliseconds, since 1970."""
    if isinstance(text, str) and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("Input should be a date and time of ISO 8601, as 2026-01-31T12:00:00Z")
    return text


class ListOptions(BaseModel):
    """Which tasks to list."""

    model_config = ConfigDict(extra="forbid")

    status: states.Status | None = None
    type: str | None = Field(None, max_length=255, description="A task type, or an alias of one.")
    tag: str | None = Field(None, max_length=50)
    created_after: Annotated[datetime | None, BeforeValidator(_iso)] = Field(
        None, description="ISO 8601; UTC where it names no offset."
    )
    limit: int = Field(20, ge=1, le=MOST_PER_PAGE)
    cursor: str | None = Field(None, description="The `next_cursor` of the page before.")


@router.get(
    "/tasks",
    operation_id="list-tasks",
    summary="List tasks, newest first",
    response_model=None,
    responses={
        200: {
            "model": TaskPage,
            "description": "A page of tasks.",
            "headers": LINK,
        },
        **documented(*KEYED, ProblemType.BAD_CURSOR, ProblemType.INVALID),
    },
)
def list_page(
    options: Annotated[ListOptions, Query()], caller: Reader, dependencies: TheDependencies
) -> JSONResponse:
    """A page of the tenant's tasks, without their results."""
    wanted = Filter(
        status=options.status,
        type=_type_name(options.type, dependencies),
        tag=options.tag,
        created_after=_millis(options.created_after),
    )
    with unavailable("DynamoDB"):
        page = list_tasks(
            services().records,
            caller.tenant,
            wanted,
            limit=options.limit,
            cursor=options.cursor,
        )
    content = TaskPage(
        data=[summarize(record) for record in page.records], next_cursor=page.next_cursor
    )
    headers = next_page(at("/tasks"), options, page.next_cursor)
    return JsonAnswer(content.model_dump(mode="json"), headers=headers)


@router.get(
    "/tasks/{task_id}",
    operation_id="get-task",
    summary="Look at a task, or wait for it to change",
    response_model=None,
    responses={
        200: {
            "model": TaskView,
            "description": "The task.",
            "headers": {
                "ETag": {
                    "description": "Changes with the task.",
                    "schema": {"type": "string"},
                },
                "Retry-After": polling.HEADER,
            },
        },
        304: {
            "description": "It is as If-None-Match says.",
            "headers": {"Retry-After": polling.HEADER},
        },
        **documented(*KEYED, ProblemType.TASK_NOT_FOUND, ProblemType.INVALID),
    },
)
async def get_task(
    task_id: TaskId,
    caller: Reader,
    dependencies: TheDependencies,
    request: Request,
    wait: Annotated[
        int | None,
        Query(
            ge=0,
            description="For how many seconds to wait for a change from the version that "
            "If-None-Match names or, without it, from now. Longer than the server's longest wait "
            "(25 s unless set) is that.",
        ),
    ] = None,
    prefer: Annotated[
        str | None, Header(description="`wait=20` does as `?wait=20` (RFC 7240).")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="An ETag that this task had before.")
    ] = None,
) -> Response:
    """A task with its result. With `wait`, answers as soon as the task changes or ends."""
    record = await run_in_threadpool(lookup.find, task_id, caller.tenant)
    given = _tags(if_none_match)
    known = given - {"*"} or {_etag(record)}
    longest = dependencies.settings.longest_wait.total_seconds()
    asked = _preferred_wait(prefer) if wait is None else wait
    if asked and not record.terminal and _etag(record) in known:
        record = await changed_record(
            record, min(asked, longest), lambda found: _etag(found) not in known, request
        )
    headers = {"ETag": _etag(record), "Cache-Control": "private, no-cache"}
    if wait is None and asked:
        headers["Preference-Applied"] = f"wait={asked}"
    if not asked:
        headers |= polling.retry_after(record)
    if _etag(record) in given or "*" in given:
        return Response(status_code=304, headers=headers)
    if record.state != states.SUCCESS and not record.mail_events:
        # It has nothing to fetch: a thread would take longer than the answer.
        return task_answer(record, 200, headers)
    return await run_in_threadpool(task_answer, record, 200, headers)


@router.delete(
    "/tasks/{task_id}",
    operation_id="cancel-task",
    summary="Cancel a task",
    response_model=None,
    responses={
        200: {"model": TaskView, "description": "It hadn't started, and has ended."},
        202: {
            "model": TaskView,
            "description": "It is running, and has been asked to stop.",
            "headers": {"Retry-After": polling.HEADER},
        },
        **documented(
            *KEYED, ProblemType.TASK_NOT_FOUND, ProblemType.TASK_OVER, ProblemType.INVALID
        ),
    },
)
def cancel_task(task_id: TaskId, caller: Canceller) -> JSONResponse:
    """End a waiting task at once, or ask a running one to stop within seconds."""
    outcome, record = cancelling.cancel(task_id, caller.tenant)
    if outcome is Cancellation.OVER:
        raise Problem(
            ProblemType.TASK_OVER,
            f"Task {task_id} is {record.state} already: there is nothing to cancel.",
            task_status=record.state,
        )
    status = 200 if outcome is Cancellation.ENDED else 202
    return JsonAnswer(view(record, None), status, polling.retry_after(record))


@router.post(
    "/tasks/{task_id}/retry",
    operation_id="retry-task",
    summary="Submit a task again, with its payload or another",
    status_code=202,
    response_model=None,
    responses={
        202: {"model": TaskView, **ACCEPTED},
        **documented(
            *PROBLEMS,
            ProblemType.TASK_NOT_FOUND,
            ProblemType.UNKNOWN_TASK_TYPE,
            ProblemType.TASK_NOT_OVER,
            ProblemType.EXPIRED,
        ),
    },
)
def retry_task(
    task_id: TaskId,
    caller: Submitter,
    dependencies: TheDependencies,
    payload: Annotated[
        dict[str, Any] | None,
        Body(description="A payload as POST /tasks/{type} takes it; the task's own unless given."),
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A new task of the same type, whose `retry_of` is this one. Only for a task that has ended."""
    found = lookup.find(task_id, caller.tenant)
    if found.type in dependencies.catalogue:
        caller.may_submit(dependencies.catalogue[found.type])
    try:
        again = retrying.retry(
            task_id,
            caller.tenant,
            payload=payload,
            idempotency_key=idempotency_key,
            app=dependencies.celery,
        )
    except ValidationError as error:
        raise invalid_payload(error, payload) from None
    return accepted(again)


def _type_name(name: str | None, dependencies: TheDependencies) -> str | None:
    """The name that records hold: aliases are for callers."""
    return dependencies.catalogue[name].name if name and name in dependencies.catalogue else name


def _millis(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(int(moment.timestamp() * 1000), 0), _LATEST)


def _etag(record: TaskRecord) -> str:
    return f'"{record.version}"'


def _tags(if_none_match: str | None) -> set[str]:
    """The entity tags of If-None-Match, compared weakly (RFC 9110, section 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(","))
    return {tag for tag in tags if tag}


def _preferred_wait(prefer: str | None) -> int:
    """The seconds of ``Prefer: wait=20``; what is not understood is no preference (RFC 7240)."""
    for preference in re.split("[,;]", prefer or ""):
        name, _, value = preference.partition("=")
        if name.strip().lower() == "wait" and re.fullmatch("[0-9]{1,6}", value.strip()):
            return int(value)
    return 0
