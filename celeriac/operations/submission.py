"""Submit a task: the same for HTTP and Python callers.

from celeriac import submit

submission = submit("send-email", {"email": "ada@…", "subject": "Hi", "message": "…"})
submission.record.task_id
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from celeriac import states
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.contract.queues import Priority
from celeriac.errors import (
    IdempotencyConflictError,
    UnavailableError,
    unavailable,
)
from celeriac.operations import due_time, quotas
from celeriac.operations.sameness import (
    Turn,
    ensure_sent,
    join,
    stand,
    standing_of,
    supersede,
    turn_of,
)
from celeriac.records import RecordExistsError, TaskRecord, identifiers
from celeriac.storage.same import Standing
from celeriac.storage.services import services
from celeriac.transport.call import Call, literal


@dataclass(frozen=True)
class Begun:
    """A new record, and the call that its message is to carry.

    Once that is sent, the task ``replaces`` an earlier one, by its id.
    """

    record: TaskRecord
    call: Call
    replaces: str | None = None

    def sent(self) -> Submission:
        """The accepted task, now that its message is sent."""
        if self.replaces is not None:
            supersede(self.replaces, by=self.record.task_id)
        return Submission(self.record)


@dataclass(frozen=True)
class Submission:
    """An accepted task.

    ``replayed`` means that it had been accepted before: under its idempotency key, or, if it is
    ``unique`` too, as the one that its type's ``unique_for`` allows.
    """

    record: TaskRecord
    replayed: bool = False
    unique: bool = False


def submit(
    type_name: str,
    payload: BaseModel | Mapping[str, Any],
    *,
    tenant: str | None = None,
    tags: Sequence[str] = (),
    idempotency_key: str | None = None,
    delay: timedelta | None = None,
    run_at: datetime | None = None,
    priority: Priority | None = None,
    retry_of: str | None = None,
    schedule_id: str | None = None,
    app: CeleriacApp | None = None,
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
        delay: how long the task waits before it may start, up to 366 days.
        run_at: when it may start, with a time zone, in place of ``delay``. Over 15 minutes ahead
            it may start up to a minute later.
        priority: ``high`` has workers take it before the ``normal`` ones of its queue. Unless
            given, Celery's ``task_default_priority`` decides.
        retry_of: the id of the task that this one repeats.
        schedule_id: the schedule that submits it.
        app: the app whose catalogue has the type; the app of this process unless given.

    Raises:
        UnknownTaskTypeError: there is no such type.
        ValueError: the priority is neither ``high`` nor ``normal``.
        pydantic.ValidationError: the payload isn't valid.
        IdempotencyConflictError: the key was used with another payload.
        QuotaExceededError: the tenant has no room for another task.
        DueTimeError: ``delay`` or ``run_at`` is in the past, over a year ahead or ambiguous.
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
        priority=priority,
        run_at=run_at,
        retry_of=retry_of,
        schedule_id=schedule_id,
        app=app,
    )
    return send(app, begun)


def send(app: CeleriacApp, begun: Begun | Submission) -> Submission:
    """The second half of ``submit``: the message, if it is still to be sent.

    Raises ``UnavailableError`` and ``ValueTooLargeError``.
    """
    if isinstance(begun, Submission):
        return begun
    app.publish_new(begun.record, begun.call)
    return begun.sent()


def begin(
    type_name: str,
    payload: BaseModel | Mapping[str, Any],
    *,
    tenant: str | None,
    tags: Sequence[str],
    idempotency_key: str | None,
    delay: timedelta | None,
    run_at: datetime | None,
    priority: Priority | None = None,
    retry_of: str | None = None,
    schedule_id: str | None = None,
    cancelled: str | None = None,
    app: CeleriacApp,
) -> Begun | Submission:
    """The first half of ``submit``: a record whose message is still to be sent, or the replay.

    A task that was ``cancelled`` to make room for this one doesn't count for ``unique_for``, though
    it may not have stopped yet.

    Raises what ``submit`` raises.
    """
    task_type = app.catalogue[type_name]
    model = task_type.payloads.read(payload)
    content = model.model_dump(mode="json")
    tenant = tenant or services().settings.tenant
    fingerprint = None
    task_id = identifiers.new_task_id()
    if idempotency_key is not None:
        task_id = identifiers.derived_task_id(tenant, task_type.name, idempotency_key)
        # Of what was given: a default may be another each time.
        fingerprint = fingerprint_of(model.model_dump(mode="json", exclude_unset=True), tags)
        # Asked first, so that a repeated submission doesn't store its input again.
        with unavailable("DynamoDB"):
            existing = services().records.get(task_id)
        if existing is not None:
            return replay(app, existing, fingerprint, idempotency_key)
    # Asked after the replay: a time that has passed meanwhile is no fault of a repetition.
    due_at = due_time.due_at(delay, run_at)
    standing = standing_of(app, task_type, task_id, fingerprint, due_at)
    turn = None
    kept_until = 0
    if task_type.unique is not None:
        found = stand(task_type, task_type.unique, tenant, content, standing, cancelled=cancelled)
        if isinstance(found, TaskRecord):
            return _the_one(app, found)
        task_id, fingerprint = found.task_id, found.fingerprint
        # It stands for others until then, though it may have ended long before.
        kept_until = found.until or 0
    elif task_type.debounce is not None:
        turn = turn_of(task_type, task_type.debounce, tenant, content)
        due_at = max(due_at or 0, turn.due_at)
    # Asked last: what is refused, or is a task that is there, uses up no quota.
    quotas.admit(app, task_type, tenant)
    call = Call(args=(literal(content),))
    record = app.new_record(
        task_type.name,
        task_id,
        tenant,
        call,
        queue=task_type.queue.name,
        tags=tuple(tags),
        fingerprint=fingerprint,
        retry_of=retry_of,
        priority=priority,
        due_at=due_at,
        kept_until=kept_until,
        schedule_id=schedule_id,
    )
    with unavailable("DynamoDB"):
        try:
            services().records.create(record)
        except RecordExistsError as error:
            if idempotency_key is not None:
                return replay(app, error.existing, fingerprint, idempotency_key)
            named_by_another = task_id != standing.task_id
            if task_type.unique and (named_by_another or error.existing != record):
                return _the_one(app, error.existing)
            # An id of our own making can only exist if our own write has been sent twice.
            record = error.existing
    return Begun(record, call, _replaced(record, turn, standing) if turn else None)


def replay(
    app: CeleriacApp, existing: TaskRecord, fingerprint: str | None, idempotency_key: str
) -> Submission:
    """The task that a repeated idempotency key has made. Its message is sent again if it waits.

    Raises ``IdempotencyConflictError`` and ``UnavailableError``.
    """
    if existing.fingerprint != fingerprint:
        raise IdempotencyConflictError(idempotency_key)
    # The process that created the record may have died before sending its message.
    if existing.state in states.WAITING and not app.resend(existing):
        with unavailable("DynamoDB"):
            found = services().records.get(existing.task_id)
        if found is None:
            # The first sender has taken it back meanwhile, since SQS didn't take its message.
            raise UnavailableError("SQS")
        existing = found
    return Submission(existing, replayed=True)


def _replaced(record: TaskRecord, turn: Turn, standing: Standing) -> str | None:
    """The task that a new one of a series replaces. If that can't be told, nothing is accepted."""
    try:
        return join(turn, standing)
    except UnavailableError:
        with unavailable("DynamoDB"):
            services().records.discard(record.task_id)
        raise


def _the_one(app: CeleriacApp, existing: TaskRecord) -> Submission:
    """The task that stands for a submission of a unique type."""
    ensure_sent(app, existing)
    return Submission(existing, replayed=True, unique=True)


def fingerprint_of(content: Any, tags: Sequence[str]) -> str:
    """What tells the requests apart that may come under one idempotency key."""
    canonical = json.dumps([content, list(tags)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
