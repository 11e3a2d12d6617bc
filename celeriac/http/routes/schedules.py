"""/schedules: task types that run by themselves: make, look at, edit, pause, run now."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import Body, Query, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from celeriac.contract import UnknownTaskTypeError
from celeriac.contract.schedule import ScheduleError
from celeriac.http.answers import JsonAnswer
from celeriac.http.auth import Canceller, Reader, Submitter
from celeriac.http.dependencies import TheDependencies
from celeriac.http.errors import invalid
from celeriac.http.links import LINK, at, next_page, schedule_path
from celeriac.http.problems import KEYED, Problem, ProblemType, WrongValue, documented
from celeriac.http.route import keyed_router
from celeriac.http.routes.schedule_runs import ONE, PageOptions, found_schedule, may_submit
from celeriac.http.routes.submit import REPLAYED, IdempotencyKey
from celeriac.http.schedule_bodies import (
    NewSchedule,
    ScheduleEdit,
    edited_schedule,
    new_schedule,
    read,
    wrong,
)
from celeriac.http.schedule_views import (
    SchedulePage,
    ScheduleView,
    schedule_summary,
    schedule_view,
)
from celeriac.http.unchecked import Unchecked
from celeriac.operations import schedules, scheduling
from celeriac.records.listing import decode_cursor, encode_cursor

router = keyed_router("schedules")

#: What a cursor names. docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_ID = re.compile(r"[0-9A-Za-z_.-]{1,64}")

_BODY = (
    ProblemType.MALFORMED_JSON,
    ProblemType.REQUEST_TIMEOUT,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID,
)


@router.post(
    "/schedules",
    operation_id="create-schedule",
    summary="Have a task run by itself",
    status_code=201,
    response_model=None,
    responses={
        201: {
            "model": ScheduleView,
            "description": "The schedule.",
            "headers": {
                "Location": {"description": "Where it is.", "schema": {"type": "string"}},
                **REPLAYED,
            },
        },
        **documented(*KEYED, *_BODY, ProblemType.IDEMPOTENCY_CONFLICT, ProblemType.QUOTA_EXCEEDED),
    },
)
def create_schedule(
    body: Annotated[NewSchedule, Unchecked(NewSchedule), Body()],
    caller: Submitter,
    dependencies: TheDependencies,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """The payload is checked now: a schedule never begins with one that its type refuses."""
    given: NewSchedule = read(NewSchedule, body)
    try:
        task_type = dependencies.catalogue[given.type]
    except UnknownTaskTypeError as error:
        value = WrongValue(pointer="#/type", detail=str(error), near=list(error.near))
        raise Problem(ProblemType.INVALID, f"#/type: {error}", errors=[value]) from None
    caller.may_submit(task_type)
    try:
        found = scheduling.create(
            task_type.name,
            new_schedule(given),
            tags=tuple(dict.fromkeys(given.tags)),
            idempotency_key=idempotency_key,
            tenant=caller.tenant,
            app=dependencies.celery,
        )
    except ScheduleError as error:
        raise wrong(error) from None
    except ValidationError as error:
        raise _invalid_payload(error, body) from None
    headers = {"Location": schedule_path(found.schedule_id)}
    if found.replayed:
        headers["Idempotent-Replayed"] = "true"
    return JsonAnswer(schedule_view(found), 201, headers)


@router.get(
    "/schedules",
    operation_id="list-schedules",
    summary="List schedules",
    response_model=None,
    responses={
        200: {"model": SchedulePage, "description": "A page of schedules.", "headers": LINK},
        **documented(*KEYED, ProblemType.BAD_CURSOR, ProblemType.INVALID),
    },
)
def list_schedules(
    options: Annotated[PageOptions, Query()], caller: Reader, dependencies: TheDependencies
) -> JSONResponse:
    """The tenant's schedules. The deployment's own tenant has those that code declares, too."""
    found = schedules.list_all(
        caller.tenant,
        limit=options.limit + 1,
        after=decode_cursor(options.cursor, _ID),
        app=dependencies.celery,
    )
    page = found[: options.limit]
    cursor = encode_cursor(page[-1].schedule_id) if len(found) > len(page) else None
    content = SchedulePage(data=[schedule_summary(each) for each in page], next_cursor=cursor)
    return JsonAnswer(
        content.model_dump(mode="json"), headers=next_page(at("/schedules"), options, cursor)
    )


@router.get(
    "/schedules/{schedule_id}",
    operation_id="get-schedule",
    summary="Look at a schedule",
    response_model=None,
    responses={200: {"model": ScheduleView, "description": "The schedule."}, **documented(*ONE)},
)
def get_schedule(schedule_id: str, caller: Reader, dependencies: TheDependencies) -> JSONResponse:
    """A schedule, with its next five times."""
    return JsonAnswer(schedule_view(found_schedule(schedule_id, caller, dependencies)))


@router.patch(
    "/schedules/{schedule_id}",
    operation_id="edit-schedule",
    summary="Edit a schedule",
    response_model=None,
    responses={
        200: {"model": ScheduleView, "description": "The schedule as it is now."},
        **documented(*ONE, *_BODY, ProblemType.SCHEDULE_DECLARED),
    },
)
def edit_schedule(
    schedule_id: str,
    body: Annotated[ScheduleEdit, Unchecked(ScheduleEdit), Body()],
    caller: Submitter,
    dependencies: TheDependencies,
) -> JSONResponse:
    """Change what the body names. A payload replaces the whole one."""
    given: ScheduleEdit = read(ScheduleEdit, body)
    before = found_schedule(schedule_id, caller, dependencies)
    may_submit(caller, before, dependencies)
    try:
        found = scheduling.edit(
            schedule_id,
            caller.tenant,
            schedule=partial(edited_schedule, given),
            payload=given.payload if "payload" in given.model_fields_set else None,
            tags=tuple(dict.fromkeys(given.tags)) if "tags" in given.model_fields_set else None,
            app=dependencies.celery,
        )
    except ScheduleError as error:
        raise wrong(error) from None
    except ValidationError as error:
        raise _invalid_payload(error, body) from None
    return JsonAnswer(schedule_view(found))


@router.delete(
    "/schedules/{schedule_id}",
    operation_id="delete-schedule",
    summary="Delete a schedule",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "It is gone."},
        **documented(*ONE, ProblemType.SCHEDULE_DECLARED),
    },
)
def delete_schedule(schedule_id: str, caller: Canceller, dependencies: TheDependencies) -> Response:
    """It fires no more. Tasks that it has submitted stay as they are."""
    scheduling.delete(schedule_id, caller.tenant, app=dependencies.celery)
    return Response(status_code=204)


@router.post(
    "/schedules/{schedule_id}/pause",
    operation_id="pause-schedule",
    summary="Pause a schedule",
    response_model=None,
    responses={200: {"model": ScheduleView, "description": "It is paused."}, **documented(*ONE)},
)
def pause_schedule(
    schedule_id: str, caller: Canceller, dependencies: TheDependencies
) -> JSONResponse:
    """Its times pass without a task, and its history notes them."""
    return JsonAnswer(
        schedule_view(schedules.pause(schedule_id, caller.tenant, app=dependencies.celery))
    )


@router.post(
    "/schedules/{schedule_id}/resume",
    operation_id="resume-schedule",
    summary="Resume a schedule",
    response_model=None,
    responses={200: {"model": ScheduleView, "description": "It fires."}, **documented(*ONE)},
)
def resume_schedule(
    schedule_id: str, caller: Submitter, dependencies: TheDependencies
) -> JSONResponse:
    """It fires from its next time on. Those that have passed are not made up for."""
    may_submit(caller, found_schedule(schedule_id, caller, dependencies), dependencies)
    return JsonAnswer(
        schedule_view(schedules.resume(schedule_id, caller.tenant, app=dependencies.celery))
    )


def _invalid_payload(error: ValidationError, body: Any) -> Problem:
    # A payload that wasn't given is an empty one, and so has places to point at.
    return invalid(
        [{**each, "loc": ("body", "payload", *each["loc"])} for each in error.errors()],
        {"payload": {}, **body},
    )
