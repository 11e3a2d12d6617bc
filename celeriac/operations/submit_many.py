"""Submit many tasks of one type at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.contract.queues import Priority
from celeriac.errors import IdempotencyConflictError, QuotaExceededError, UnavailableError
from celeriac.operations.due_time import DueTimeError
from celeriac.operations.submission import Begun, Submission, begin
from celeriac.storage.values import ValueTooLargeError

#: How many records are written side by side. DynamoDB's batches take no conditions.
_WRITERS = 16

#: Why one of many isn't accepted.
REFUSALS = (
    ValidationError,
    IdempotencyConflictError,
    DueTimeError,
    QuotaExceededError,
    ValueTooLargeError,
    UnavailableError,
)
Refusal = (
    ValidationError
    | IdempotencyConflictError
    | DueTimeError
    | QuotaExceededError
    | ValueTooLargeError
    | UnavailableError
)


@dataclass(frozen=True)
class Item:
    """One submission of a batch: what ``submit`` takes."""

    payload: BaseModel | Mapping[str, Any]
    tags: Sequence[str] = ()
    idempotency_key: str | None = None
    delay: timedelta | None = None
    run_at: datetime | None = None
    priority: Priority | None = None


def submit_many(
    type_name: str,
    items: Sequence[Item],
    *,
    tenant: str | None = None,
    app: CeleriacApp | None = None,
) -> list[Submission | Refusal]:
    """Accept tasks of one type: a record each, written side by side, and ten messages to a call.

    Each item is accepted or refused by itself, as ``submit`` would; the answers are in the order
    of the items.

    Raises:
        UnknownTaskTypeError: there is no such type.
    """
    app = app or celery_app()

    def begin_one(item: Item) -> Begun | Submission | Refusal:
        try:
            return begin(
                type_name,
                item.payload,
                tenant=tenant,
                tags=item.tags,
                idempotency_key=item.idempotency_key,
                delay=item.delay,
                priority=item.priority,
                run_at=item.run_at,
                app=app,
            )
        except REFUSALS as refusal:
            return refusal

    if not items:
        return []
    with ThreadPoolExecutor(min(_WRITERS, len(items))) as writers:
        begun = list(writers.map(begin_one, items))
    refused = app.publish_new_together(
        (each.record, each.call) for each in begun if isinstance(each, Begun)
    )
    return [_outcome(each, refused) if isinstance(each, Begun) else each for each in begun]


def _outcome(begun: Begun, refused: set[str]) -> Submission | Refusal:
    if begun.record.task_id in refused:
        return UnavailableError("SQS")
    return begun.sent()
