"""GET /catalogue: what this deployment can do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Reader
from api.engine import TheEngine
from api.keyed_route import KeyedRoute
from api.problems import KEYED, documented
from tasks.contract import TaskType

router = APIRouter(route_class=KeyedRoute, tags=["catalogue"])


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
def get_catalogue(_: Reader, engine: TheEngine) -> CataloguePage:
    """All task types with the JSON Schemas of their payloads and results."""
    return CataloguePage(data=[view_of(each) for each in engine.catalogue.values()])


def view_of(task_type: TaskType[Any, Any]) -> TaskTypeView:
    """What callers see of a task type."""
    retry = task_type.retry
    return TaskTypeView(
        name=task_type.name,
        aliases=list(task_type.aliases),
        summary=task_type.summary,
        description=task_type.description,
        queue=task_type.queue.queue_name,
        time_limit_seconds=task_type.time_limit.total_seconds(),
        retry=RetryView(
            attempts=retry.attempts,
            first_delay_seconds=retry.first_delay.total_seconds(),
            max_delay_seconds=retry.max_delay.total_seconds(),
        ),
        payload_schema=task_type.payload_model.model_json_schema(),
        result_schema=task_type.result_model.model_json_schema(mode="serialization"),
        links={"submit": f"/tasks/{task_type.name}"},
    )
