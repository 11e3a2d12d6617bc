"""GET /catalogue: what this deployment can do."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, Field, TypeAdapter

from celeriac.contract import TaskType, UnknownTaskTypeError
from celeriac.contract.catalogue import AnyTaskType
from celeriac.errors import unavailable
from celeriac.http.auth import Administrator, Reader
from celeriac.http.dependencies import TheDependencies
from celeriac.http.links import at
from celeriac.http.pause_views import PauseOptions, PauseView, pause_link, pause_view, shown
from celeriac.http.problems import KEYED, Problem, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.unchecked import unchecked
from celeriac.operations import pausing
from celeriac.storage.pauses import Paused

router = keyed_router("catalogue")

_ONE = (*KEYED, ProblemType.NOT_FOUND, ProblemType.INVALID)


class RetryView(BaseModel):
    """How often a task is tried, and how long it waits in between."""

    attempts: int = Field(description="Every try counts, the first included.")
    first_delay_seconds: float
    max_delay_seconds: float


class Keyed(BaseModel):
    """What is counted or compared together."""

    key: list[str] = Field(description="Fields of the payload: each value counts by itself.")


class LimitView(Keyed):
    """One limit. Tasks over it wait in their queue."""

    per: Literal["type", "tenant"]
    max_running: int | None
    rate: str | None = Field(description="Such as `100/m`, by `s`, `m`, `h` or `d`.")
    burst: int = Field(description="How many may start at once after a quiet time.")


class UniqueView(Keyed):
    """One task at a time, or one in a period. Without a key the whole payload is compared."""

    period_seconds: float | None = Field(description="Null: until the task has ended.")


class DebounceView(Keyed):
    """The last of a series of submissions runs."""

    delay_seconds: float
    max_wait_seconds: float


class TaskTypeView(BaseModel):
    """One task type."""

    name: str
    aliases: list[str] = Field(description="Names it had before, which still work.")
    summary: str
    description: str
    queue: str
    time_limit_seconds: float = Field(description="How long one attempt may take.")
    retry: RetryView
    limits: list[LimitView] = Field(description="How many may run at once, or start in a time.")
    unique: UniqueView | None = Field(description="Which submissions give an earlier task.")
    debounce: DebounceView | None = Field(description="Which submissions replace an earlier task.")
    payload_schema: dict[str, Any] = Field(description="JSON Schema of what it takes.")
    result_schema: dict[str, Any] = Field(description="JSON Schema of what it gives.")
    paused: PauseView | None = Field(description="Null unless it is paused.")
    links: dict[str, str] = Field(
        description="By POST: `submit`, which takes a payload, and `pause` or `resume`."
    )


class CataloguePage(BaseModel):
    """All task types, by name."""

    data: list[TaskTypeView]
    next_cursor: None = Field(None, description="Always null: there is one page.")


@router.get(
    "/catalogue",
    operation_id="get-catalogue",
    summary="List the task types",
    responses={
        200: {"description": "All task types."},
        **documented(*KEYED),
    },
)
def get_catalogue(_: Reader, dependencies: TheDependencies) -> CataloguePage:
    """All task types with the JSON Schemas of their payloads and results."""
    with unavailable("DynamoDB"):
        paused = pausing.paused()
    return CataloguePage(data=[view_of(each, paused) for each in dependencies.catalogue.values()])


async def _known_type(name: str, dependencies: TheDependencies) -> AnyTaskType:
    try:
        return dependencies.catalogue[name[:100]]
    except UnknownTaskTypeError as error:
        raise Problem(ProblemType.NOT_FOUND, str(error)) from None


KnownType = Annotated[AnyTaskType, Depends(_known_type)]


@router.post(
    "/catalogue/{name}/pause",
    operation_id="pause-task-type",
    summary="Pause a task type",
    responses={200: {"description": "It is paused."}, **documented(*_ONE)},
)
def pause_type(
    task_type: KnownType, caller: Administrator, options: Annotated[PauseOptions, Query()]
) -> PauseView:
    """Have workers begin none of its tasks, of all tenants, within 10 s. Running ones go on."""
    with unavailable("DynamoDB"):
        return shown(pausing.pause(task_type, by=caller.id, reason=options.reason))


@router.post(
    "/catalogue/{name}/resume",
    operation_id="resume-task-type",
    status_code=204,
    summary="Resume a task type",
    responses={204: {"description": "It isn't paused."}, **documented(*_ONE)},
)
def resume_type(task_type: KnownType, _: Administrator) -> None:
    """Have workers begin its tasks again, within about a minute."""
    with unavailable("DynamoDB"):
        pausing.resume(task_type)


def view_of(task_type: TaskType[Any, Any], paused: Paused) -> TaskTypeView:
    """What callers see of a task type."""
    pause = paused.of("type", task_type.name)
    retry = task_type.retry
    return TaskTypeView(
        name=task_type.name,
        aliases=list(task_type.aliases),
        summary=task_type.summary,
        description=task_type.description,
        queue=task_type.queue.name,
        time_limit_seconds=task_type.time_limit.total_seconds(),
        retry=RetryView(
            attempts=retry.attempts,
            first_delay_seconds=retry.first_delay.total_seconds(),
            max_delay_seconds=retry.max_delay.total_seconds(),
        ),
        limits=[
            LimitView(
                per=each.per,
                key=list(each.key),
                max_running=each.max_running,
                rate=each.rate,
                burst=each.burst,
            )
            for each in task_type.limits
        ],
        unique=_unique_of(task_type),
        debounce=_debounce_of(task_type),
        payload_schema=TypeAdapter(unchecked(task_type.payload_model)).json_schema(),
        result_schema=task_type.result_model.model_json_schema(mode="serialization"),
        paused=pause_view(pause),
        links={
            "submit": at(f"/tasks/{task_type.name}"),
            **pause_link(at(f"/catalogue/{task_type.name}"), pause),
        },
    )


def _unique_of(task_type: TaskType[Any, Any]) -> UniqueView | None:
    unique = task_type.unique
    if unique is None:
        return None
    period = unique.period.total_seconds() if unique.period is not None else None
    return UniqueView(key=list(unique.key), period_seconds=period)


def _debounce_of(task_type: TaskType[Any, Any]) -> DebounceView | None:
    debounce = task_type.debounce
    if debounce is None:
        return None
    return DebounceView(
        key=list(debounce.key),
        delay_seconds=debounce.delay.total_seconds(),
        max_wait_seconds=debounce.longest.total_seconds(),
    )
