"""``long-running``: a long task that reports its progress and can be cancelled.

It works through a list of items in steps. It computes each item's canonical form and the form's
SHA-256, and so finds duplicates that look different.
"""

from __future__ import annotations

import hashlib
import json
import time
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from pydantic import ConfigDict, JsonValue, field_validator, model_validator

from celeriac import BaseModel, Cancelled, Field, Retry, TaskContext, task
from tasks.queues import DEFAULT

LONGEST_RUN = timedelta(hours=1)  # all waiting of one task
TIME_LIMIT = LONGEST_RUN + timedelta(minutes=5)  # the rest is for the items
LOOK_UP = timedelta(seconds=0.5)  # a waiting task checks for cancellation this often


class LongRunning(BaseModel):
    """The items, the number of steps, and the wait before each step.

    They may stand in one object under ``data``.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total_steps": 5,
                    "step_seconds": 1,
                    "items": ["a  b", "a b", {"sku": 7, "name": "tea"}, {"name": "tea", "sku": 7}],
                },
            ]
        }
    )

    total_steps: int = Field(
        10, ge=1, le=1_000, description="The number of steps to divide the items into."
    )
    items: list[JsonValue] = Field(
        default_factory=list, max_length=10_000, description="The items to work through: any JSON."
    )
    step_seconds: float = Field(
        2, ge=0, le=600, allow_inf_nan=False, description="The length of a step, in seconds."
    )

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, given: Any) -> Any:
        """Read ``{"data": {...}}`` as the fields inside it, if nothing stands next to it."""
        if isinstance(given, dict) and given.keys() == {"data"} and isinstance(given["data"], dict):
            return given["data"]
        return given

    @field_validator("items")
    @classmethod
    def _writable(cls, items: list[JsonValue]) -> list[JsonValue]:
        for index, item in enumerate(items):
            try:
                json.dumps(item, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"item {index} has half of a surrogate pair, which is not valid text"
                ) from None
        return items

    @model_validator(mode="after")
    def _end_in_time(self) -> Self:
        waiting = self.total_steps * self.step_seconds
        if waiting > LONGEST_RUN.total_seconds():
            raise ValueError(
                f"total_steps x step_seconds is {waiting:g} s, and a task may wait "
                f"{LONGEST_RUN.total_seconds():g} s at most: take fewer or shorter steps"
            )
        return self


class ProcessedItem(BaseModel):
    """One item: its place in the list, its canonical form, and that form's SHA-256 in hex.

    ``duplicate_of`` is the index of the first item with the same canonical form.
    """

    index: int
    normalised: str
    sha256: str
    duplicate_of: int | None = None


class LongRunResult(BaseModel):
    """A result per item, in the items' order, and a summary of them all."""

    steps: int
    items: list[ProcessedItem]
    distinct: int
    duplicates: int
    seconds: float


@task(queue=DEFAULT, time_limit=TIME_LIMIT, retry=Retry(attempts=3))
def long_running(payload: LongRunning, context: TaskContext) -> LongRunResult:
    """Work through a list of items in steps, reporting progress after each.

    Each item is normalised (text: Unicode NFC, white space collapsed; anything else: JSON with
    sorted keys), hashed, and compared with those before it.
    """
    started = time.monotonic()
    total = payload.total_steps
    done: list[ProcessedItem] = []
    first_seen: dict[str, int] = {}
    context.progress(0, total, f"{len(payload.items)} items in {total} steps")
    for step in range(1, total + 1):
        _wait(payload.step_seconds, context)
        start, end = (len(payload.items) * edge // total for edge in (step - 1, step))
        done += _process(payload.items[start:end], start, first_seen)
        context.progress(step, total, f"Step {step} of {total}: {end - start} items processed")
    return LongRunResult(
        steps=total,
        items=done,
        distinct=len(first_seen),
        duplicates=len(done) - len(first_seen),
        seconds=round(time.monotonic() - started, 3),
    )


def _process(
    items: Sequence[JsonValue], start: int, first_seen: dict[str, int]
) -> list[ProcessedItem]:
    processed = []
    for index, item in enumerate(items, start):
        normalised = _normalise(item)
        digest = hashlib.sha256(normalised.encode()).hexdigest()
        first = first_seen.setdefault(digest, index)
        processed.append(
            ProcessedItem(
                index=index,
                normalised=normalised,
                sha256=digest,
                duplicate_of=None if first == index else first,
            )
        )
    return processed


def _normalise(item: JsonValue) -> str:
    if isinstance(item, str):
        return " ".join(unicodedata.normalize("NFC", item).split())
    return json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _wait(seconds: float, context: TaskContext) -> None:
    """Wait, but not for longer than ``LOOK_UP`` once the caller has cancelled."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if context.cancelled:
            raise Cancelled
        time.sleep(min(left, LOOK_UP.total_seconds()))
