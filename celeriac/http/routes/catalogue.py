"""GET /catalogue: what this deployment can do."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from celeriac.contract import TaskType
from celeriac.http.auth import Reader
from celeriac.http.dependencies import TheDependencies
from celeriac.http.links import at
from celeriac.http.problems import KEYED, documented
from celeriac.http.route import keyed_router
from celeriac.http.unchecked import unchecked

router = keyed_router("catalogue")


class RetryView(BaseModel):
    """How often a task is tried, and how long it waits in between."""

    attempts: int = Field(description="Every try counts, the first included.")
    first_delay_seconds: float
    max_delay_seconds: float


class TaskTypeView(BaseModel):
    """One task type."""

    name: str
    aliases: list[str] = Field(description="Names it had before, which still work.")
    summary: str
    description: str
    queue: str
    time_limit_seconds: float = Field(description="How long one attempt may take.")
    retry: RetryView
    payload_schema: dict[str, Any] = Field(description="JSON Schema of what it takes.")
    result_schema: dict[str, Any] = Field(description="JSON Schema of what it gives.")
    links: dict[str, str] = Field(description="`submit`: where to POST a payload.")


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
    return CataloguePage(data=[view_of(each) for each in dependencies.catalogue.values()])


def view_of(task_type: TaskType[Any, Any]) -> TaskTypeView:
    """What callers see of a task type."""
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
        payload_schema=TypeAdapter(unchecked(task_type.payload_model)).json_schema(),
        result_schema=task_type.result_model.model_json_schema(mode="serialization"),
        links={"submit": at(f"/tasks/{task_type.name}")},
    )
