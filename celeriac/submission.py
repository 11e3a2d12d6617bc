"""Submit a task, follow it, cancel it, try it again: what HTTP and Python callers do alike.

from celeriac.submission import submit

record = submit("send-email", {"email": "ada@…", "subject": "Hi", "message": "…"})
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from celeriac import clock, identifiers, states, telemetry
from celeriac.app import CeleriacApp, celery_app
from celeriac.calls import Call
from celeriac.errors import (
    IdempotencyConflictError,
    NotFoundError,
    NotOverError,
    UnavailableError,
    unavailable,
)
from celeriac.records import Cancellation, RecordExistsError, TaskRecord
from celeriac.services import services
from tasks.contract import Catalogue, catalogue


@dataclass(frozen=True)
class Begun:
    """A new record, and the call that its message is to carry."""

    record: TaskRecord
    call: Call


@dataclass(frozen=True)
class Submission:
    """An accepted task. ``replayed`` means that its idempotency key had been used before."""

    record: TaskRecord
    replayed: bool = False


def submit(
    type_name: str,
    payload: BaseModel | Mapping[str, Any],
    *,
    tenant: str | None = None,
    tags: Sequence[str] = (),
    idempotency_key: str | None = None,
    delay: timedelta = timedelta(0),
    retry_of: str | None = None,
    app: CeleriacApp | None = None,
    types: Catalogue | None = None,
) -> Submission:
    """Accept a task: one conditional write creates its record, then one message carries it.

        caller A   create ✓ ──── send ✓
        caller B                            create ✗ exists → the same task, replayed
        caller C   create ✓ ── (dies)
        caller C again              create ✗ exists, PENDING → the message is sent again

    Args:
        type_name: the task type's name, or one of its aliases.
        payload: an instance of the type's payload model, or what makes one.
        tenant: whose task it is; the setting ``CELERIAC_TENANT`` unless given.
        tags: words to find the task by in listings.
        idempotency_key: repeating a submission with the same key gives the same task.
        delay: how long the task waits before it may start.

    Raises:
        UnknownTaskTypeError: there is no such type.
        pydantic.ValidationError: the payload isn't valid.
        IdempotencyConflictError: the key was used with another payload.
        ValueTooLargeError: the payload is over 50 MB.
        UnavailableError: AWS didn't take it; nothing was accepted.
    """
    app = app or celery_app()
    begun = begin(
        type_name,
        payload,
        tenant=tenant,
        tags=tags,
        idempotency_key=idempotency_key,
        delay=delay,
        retry_of=retry_of,
        app=app,
        types=types,
    )
    if isinstance(begun, Begun):
        app.publish_new(begun.record, begun.call)
        return Submission(begun.record)
    return begun


def begin(
    type_name: str,
    payload: BaseModel | Mapping[str, Any],
    *,
    tenant: str | None,
    tags: Sequence[str],
    idempotency_key: str | None,
    delay: timedelta,
    retry_of: str | None = None,
    app: CeleriacApp,
    types: Catalogue | None,
) -> Begun | Submission:
    """The first half of ``submit``: a record whose message is still to be sent, or the replay.

    Raises what ``submit`` raises.
    """
    task_type = (catalogue() if types is None else types)[type_name]
    # By name too: a stored payload, which a retry submits again, has names for aliases.
    model = task_type.payload_model.model_validate(payload, by_alias=True, by_name=True)
    content = model.model_dump(mode="json")
    tenant = tenant or services().settings.tenant
    fingerprint = None
    task_id = identifiers.new_task_id()
    if idempotency_key is not None:
        task_id = identifiers.derived_task_id(tenant, task_type.name, idempotency_key)
        # Of what was given: a default may be another each time.
        fingerprint = _fingerprint(model.model_dump(mode="json", exclude_unset=True), tags)
        # Asked first, so that a repeated submission doesn't store its input again.
        with unavailable("DynamoDB"):
            existing = services().records.get(task_id)
        if existing is not None:
            return _replay(app, existing, fingerprint, idempotency_key)
    call = Call(args=(content,))
    record = app.new_record(
        task_type.name,
        task_id,
        tenant,
        call,
        queue=task_type.queue.queue_name,
        tags=tuple(tags),
        fingerprint=fingerprint,
        retry_of=retry_of,
        due_at=clock.now() + clock.millis(delay) if delay else None,
    )
    with unavailable("DynamoDB"):
        try:
            services().records.create(record)
        except RecordExistsError as error:
            if idempotency_key is not None:
                return _replay(app, error.existing, fingerprint, idempotency_key)
            # An id of our own making can only exist if our own write has been sent twice.
            record = error.existing
    return Begun(record, call)


def find(task_id: str, tenant: str) -> TaskRecord:
    """A tenant's task. Raises ``NotFoundError`` for another's too, and ``UnavailableError``."""
    with unavailable("DynamoDB"):
        record = services().records.get(task_id)
    if record is None or record.tenant != tenant:
        raise NotFoundError(task_id)
    return record


def cancel(task_id: str, tenant: str) -> tuple[Cancellation, TaskRecord]:
    """End a waiting task at once, or ask a running one to stop.

    Raises ``NotFoundError`` and ``UnavailableError``.
    """
    find(task_id, tenant)
    with unavailable("DynamoDB"):
        outcome = services().records.cancel(task_id)
    if outcome is None:
        raise NotFoundError(task_id)
    if outcome[0] is Cancellation.ENDED:
        telemetry.ended(outcome[1])
    return outcome


def retry(
    task_id: str,
    tenant: str,
    *,
    payload: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    app: CeleriacApp | None = None,
    types: Catalogue | None = None,
) -> Submission:
    """Submit a new task like one that has ended, with its payload or an edited one.

    Raises:
        NotFoundError: there is no such task.
        NotOverError: it hasn't ended yet.
        ValueMissingError: its payload has expired.
        and whatever ``submit`` raises.
    """
    record = find(task_id, tenant)
    if not record.terminal:
        raise NotOverError(task_id, record.state)
    return submit(
        record.type,
        payload if payload is not None else payload_of(record),
        tenant=tenant,
        tags=record.tags,
        idempotency_key=idempotency_key,
        retry_of=task_id,
        app=app,
        types=types,
    )


def payload_of(record: TaskRecord) -> Any:
    """What a task was called with. Raises ``ValueMissingError`` and ``UnavailableError``."""
    with unavailable("S3 or DynamoDB"):
        text = services().values.get(record.tenant, record.task_id, record.input)
    return Call.from_text(text).payload


def outcome_of(record: TaskRecord) -> Any:
    """What an ended task gave: the result of a SUCCESS, None otherwise.

    Raises ``ValueMissingError`` and ``UnavailableError``.
    """
    if record.result is None:
        return None
    with unavailable("S3 or DynamoDB"):
        text = services().values.get(record.tenant, record.task_id, record.result)
    return json.loads(text)["result"]


def _replay(
    app: CeleriacApp, existing: TaskRecord, fingerprint: str | None, idempotency_key: str
) -> Submission:
    if existing.fingerprint != fingerprint:
        raise IdempotencyConflictError(idempotency_key)
    # Whoever created the record may have died before sending its message.
    if existing.state in states.WAITING and not app.resend(existing):
        with unavailable("DynamoDB"):
            found = services().records.get(existing.task_id)
        if found is None:
            # The first sender has taken it back meanwhile, since SQS didn't take its message.
            raise UnavailableError("SQS")
        existing = found
    return Submission(existing, replayed=True)


def _fingerprint(content: Any, tags: Sequence[str]) -> str:
    canonical = json.dumps([content, list(tags)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
