"""POST /tasks/{type}/batch: many tasks of one type at once, with an answer for each."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from celeriac.contract import TaskType
from celeriac.contract.queues import Priority
from celeriac.errors import UnavailableError
from celeriac.http.auth import Submitter
from celeriac.http.dependencies import TheDependencies
from celeriac.http.due_time import Delay, RunAt
from celeriac.http.errors import internal, invalid_payload, known_problem
from celeriac.http.problems import Problem, ProblemDocument, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.routes.submit import KEY_FORM, MOST_TAGS, PROBLEMS, Tag
from celeriac.http.unchecked import unchecked
from celeriac.http.views import TaskSummary, summarize
from celeriac.operations.submission import Submission
from celeriac.operations.submit_many import Item, Refusal, submit_many
from celeriac.operations.waking import wake_for

#: Accepted within a second or two: a caller needn't fear API Gateway's time-out of 29 s.
MOST_ITEMS = 100


class ItemOptions(BaseModel):
    """What can be asked of one item besides its payload."""

    model_config = ConfigDict(extra="forbid")

    tags: list[Tag] = Field([], max_length=MOST_TAGS, description="Words to find the task by.")
    delay: Delay = None
    run_at: RunAt = None
    priority: Priority | None = Field(
        None,
        description="`high` has workers take the task before the `normal` ones of its queue. "
        "`normal` unless given.",
    )
    idempotency_key: str | None = Field(
        None, description="As the header Idempotency-Key of a single submission.", **KEY_FORM
    )


class AcceptedItem(BaseModel):
    """An item that has become a task."""

    status: int = Field(HTTPStatus.ACCEPTED, description="202.")
    task: TaskSummary
    replayed: bool = Field(
        description="Whether the task had been accepted before: under its idempotency key, or as "
        "the one that its type allows."
    )


class RefusedItem(BaseModel):
    """An item that has not."""

    status: int = Field(description="What a single submission would have been answered with.")
    problem: ProblemDocument


class BatchAnswer(BaseModel):
    """An answer for each item, in their order."""

    data: list[AcceptedItem | RefusedItem]


def router_of(types: list[TaskType[Any, Any]]) -> APIRouter:
    """The operations that submit many tasks of each of these types, and one that knows no other."""
    router = keyed_router("submit")
    for task_type in types:
        for name in task_type.names:
            _add_operation(router, task_type, name)

    @router.post("/tasks/{type_name}/batch", include_in_schema=False)
    def submit_unknown(type_name: str, _: Submitter, dependencies: TheDependencies) -> None:
        """Says which task types there are: no known one gets here."""
        dependencies.catalogue[type_name]

    return router


def _add_operation(router: APIRouter, task_type: TaskType[Any, Any], name: str) -> None:
    def operation(batch: Any, caller: Submitter, dependencies: TheDependencies) -> JSONResponse:
        caller.may_submit(task_type)
        answers = submit_many(
            task_type.name,
            [
                Item(
                    payload=each.payload,
                    tags=tuple(dict.fromkeys(each.tags)),
                    idempotency_key=each.idempotency_key,
                    delay=each.delay,
                    run_at=each.run_at,
                    priority=each.priority,
                )
                for each in batch.items
            ],
            tenant=caller.tenant,
            app=dependencies.celery,
        )
        return _answer([each.payload for each in batch.items], answers)

    operation.__annotations__["batch"] = Annotated[_batch_model(task_type), Body()]
    router.add_api_route(
        f"/tasks/{name}/batch",
        operation,
        methods=["POST"],
        operation_id=f"submit-{name}-batch",
        summary=f"{task_type.summary.rstrip('.')}: many at once",
        description="Each item is accepted or refused by itself, as a single submission would be.",
        response_class=JSONResponse,
        response_model=None,
        responses={
            200: {"model": BatchAnswer, "description": "An answer for each item."},
            **documented(*(each for each in PROBLEMS if each != ProblemType.IDEMPOTENCY_CONFLICT)),
        },
        include_in_schema=name == task_type.name,
    )


def _batch_model(task_type: TaskType[Any, Any]) -> type[BaseModel]:
    model = task_type.payload_model
    optional = not any(field.is_required() for field in model.model_fields.values())
    name = "".join(word.capitalize() for word in task_type.name.split("-"))
    # Checked with each item, so that one that is wrong doesn't refuse the others.
    payload: Any = (unchecked(model), Field({}) if optional else Field())
    item = create_model(f"{name}Item", __base__=ItemOptions, __doc__="A task.", payload=payload)
    items: Any = (list[item], Field(min_length=1, max_length=MOST_ITEMS))
    return create_model(
        f"{name}Batch", __config__=ConfigDict(extra="forbid"), __doc__="Many tasks.", items=items
    )


def _answer(
    payloads: Sequence[Any],
    answers: Sequence[Submission | Refusal],
) -> JSONResponse:
    down = [each for each in answers if isinstance(each, UnavailableError)]
    if len(down) == len(answers):
        raise down[0]
    for each in answers:
        if isinstance(each, Submission):
            wake_for(each.record)
    data = [
        _accepted(answer) if isinstance(answer, Submission) else _refused(answer, payload)
        for answer, payload in zip(answers, payloads, strict=True)
    ]
    return JSONResponse({"data": data})


def _accepted(submission: Submission) -> dict[str, Any]:
    return AcceptedItem(task=summarize(submission.record), replayed=submission.replayed).model_dump(
        mode="json"
    )


def _refused(refusal: Refusal, payload: Any) -> dict[str, Any]:
    problem: Problem
    if isinstance(refusal, ValidationError):
        problem = invalid_payload(refusal, payload)
    else:
        problem = known_problem(refusal) or internal(refusal)
    return {"status": problem.status_code, "problem": problem.document()}
