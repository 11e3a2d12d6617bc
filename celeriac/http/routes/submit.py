"""POST /tasks/{type}: one typed operation for each task type of the catalogue."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from celeriac.contract import TaskType
from celeriac.contract.queues import Priority
from celeriac.http import polling
from celeriac.http.auth import Submitter
from celeriac.http.dependencies import TheDependencies
from celeriac.http.due_time import Delay, RunAt
from celeriac.http.errors import invalid_payload
from celeriac.http.links import task_path
from celeriac.http.problems import KEYED, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.routes.results import task_answer
from celeriac.http.unchecked import unchecked
from celeriac.http.views import task_view_of
from celeriac.operations.submission import Submission, submit
from celeriac.operations.waking import wake_for

MOST_TAGS = 8

PROBLEMS = (
    *KEYED,
    ProblemType.MALFORMED_JSON,
    ProblemType.REQUEST_TIMEOUT,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID,
    ProblemType.IDEMPOTENCY_CONFLICT,
    ProblemType.QUOTA_EXCEEDED,
)

#: The header of an answer to a repeated request, for the documentation.
REPLAYED: dict[str, Any] = {
    "Idempotent-Replayed": {
        "description": "`true` if the Idempotency-Key had been used before.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}

#: The headers of an answer that accepted a task, for the documentation.
ACCEPTED = {
    "description": "Accepted: the task is queued.",
    "headers": {
        "Location": {"description": "Where the task is.", "schema": {"type": "string"}},
        "Retry-After": polling.HEADER,
        **REPLAYED,
        "Unique-Replayed": {
            "description": "`true` if the type allows one such task, and this is the one.",
            "schema": {"type": "string", "enum": ["true"]},
        },
    },
}

Tag = Annotated[str, StringConstraints(pattern=r"^[\w.:/@+=-]{1,50}$")]

#: What a key may look like.
KEY_FORM: dict[str, Any] = {"min_length": 1, "max_length": 255, "pattern": r"^[\x21-\x7e]+$"}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        **KEY_FORM,
        description="Any text of your own, such as a UUID. Repeating a request with the same key "
        "gives the same task, so that a request whose answer was lost can be sent again.",
    ),
]


class SubmitOptions(BaseModel):
    """What can be asked besides the payload."""

    model_config = ConfigDict(extra="forbid")

    tag: list[Tag] = Field([], max_length=MOST_TAGS, description="Words to find the task by.")
    delay: Delay = None
    run_at: RunAt = None
    priority: Priority | None = Field(
        None,
        description="`high` has workers take the task before the `normal` ones of its queue. "
        "`normal` unless given.",
    )


def accepted(submission: Submission) -> Response:
    """202 and where to look next. Wakes the queue's workers, should they all sleep."""
    record = submission.record
    wake_for(record)
    headers = {"Location": task_path(record.task_id), **polling.retry_after(record)}
    if submission.replayed:
        headers["Unique-Replayed" if submission.unique else "Idempotent-Replayed"] = "true"
    return task_answer(record, 202, headers)


def router_of(types: list[TaskType[Any, Any]]) -> APIRouter:
    """The operations that submit these task types, and one that knows no other."""
    router = keyed_router("submit")
    for task_type in types:
        for name in task_type.names:
            _add_operation(router, task_type, name)

    @router.post("/tasks/{type_name}", include_in_schema=False)
    def submit_unknown(type_name: str, _: Submitter, dependencies: TheDependencies) -> None:
        """Says which task types there are: no known one gets here."""
        dependencies.catalogue[type_name]

    return router


def _add_operation(router: APIRouter, task_type: TaskType[Any, Any], name: str) -> None:
    def operation(
        payload: Any,
        caller: Submitter,
        dependencies: TheDependencies,
        options: Annotated[SubmitOptions, Query()],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        caller.may_submit(task_type)
        try:
            submission = submit(
                task_type.name,
                payload,
                tenant=caller.tenant,
                tags=tuple(dict.fromkeys(options.tag)),
                idempotency_key=idempotency_key,
                delay=options.delay,
                run_at=options.run_at,
                priority=options.priority,
                app=dependencies.celery,
            )
        except ValidationError as error:
            raise invalid_payload(error, payload) from None
        return accepted(submission)

    model = task_type.payload_model
    optional = not any(field.is_required() for field in model.model_fields.values())
    body = Body(default_factory=dict) if optional else Body()
    operation.__annotations__["payload"] = Annotated[unchecked(model), body]
    router.add_api_route(
        f"/tasks/{name}",
        operation,
        methods=["POST"],
        status_code=202,
        operation_id=f"submit-{name}",
        summary=task_type.summary.rstrip("."),
        description=task_type.description,
        response_class=JSONResponse,
        response_model=None,
        responses={
            202: {"model": task_view_of(task_type), **ACCEPTED},
            **documented(*PROBLEMS),
        },
        include_in_schema=name == task_type.name,
    )
