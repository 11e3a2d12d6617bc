"""Task types that exist for these tests only."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from celeriac.contract import (
    Artifact,
    BaseModel,
    Catalogue,
    Field,
    Retry,
    TaskContext,
    task,
)
from tasks.queues import DEFAULT, EMAIL


class Greet(BaseModel):
    """Whom to greet, and how often."""

    name: str = Field(min_length=1, max_length=100)
    times: int = Field(1, ge=1, le=5)
    friends: list[Greet] = Field([])
    sender: str | None = Field(None, alias="from")
    nonce: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Greeting(BaseModel):
    """What was said."""

    text: str


@task(
    queue=EMAIL,
    time_limit=timedelta(seconds=30),
    retry=Retry(attempts=4),
    aliases=("hello",),
)
def greet(payload: Greet, context: TaskContext) -> Greeting:
    """Greet somebody.

    As often as asked for.
    """
    return Greeting(text=f"Hello {payload.name}! " * payload.times)


class Anything(BaseModel):
    """Any JSON."""

    value: Any = None


class Made(BaseModel):
    """Files that were made."""

    artifacts: list[Artifact]


@task(queue=DEFAULT, time_limit=timedelta(minutes=1))
def keep(payload: Anything, context: TaskContext) -> Made:
    """Keep any JSON as a file."""
    return Made(artifacts=[])


CATALOGUE = Catalogue([greet, keep])
