"""Retry a task that has ended, as a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.errors import NotOverError, unavailable
from celeriac.operations import quotas
from celeriac.operations.lookup import find, payload_of, priority_of
from celeriac.operations.submission import Submission, fingerprint_of, replay, submit
from celeriac.records import RecordExistsError, TaskRecord, identifiers
from celeriac.storage.services import services
from celeriac.transport.call import Call


def retry(
    task_id: str,
    tenant: str | None = None,
    *,
    payload: BaseModel | Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    app: CeleriacApp | None = None,
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
    app = app or celery_app()
    if payload is None and record.type not in app.catalogue:
        return _retry_plain(app, record, idempotency_key)
    if payload is None:
        # Accepted before: a field that the type has lost since isn't the caller's fault.
        payload = app.catalogue[record.type].payloads.read_accepted(payload_of(record))
    return submit(
        record.type,
        payload,
        tenant=tenant,
        tags=record.tags,
        idempotency_key=idempotency_key,
        priority=priority_of(record),
        retry_of=task_id,
        app=app,
    )


def _retry_plain(app: CeleriacApp, record: TaskRecord, idempotency_key: str | None) -> Submission:
    """Submit a plain Celery task again, without the canvas that it was a part of."""
    with unavailable("S3 or DynamoDB"):
        text = services().values.get(record.tenant, record.task_id, record.input)
    call = Call.as_json(text).alone()
    task_id, fingerprint = identifiers.new_task_id(), None
    if idempotency_key is not None:
        task_id = identifiers.derived_task_id(record.tenant, record.type, idempotency_key)
        fingerprint = fingerprint_of(record.task_id, record.tags)
        with unavailable("DynamoDB"):
            existing = services().records.get(task_id)
        if existing is not None:
            return replay(app, existing, fingerprint, idempotency_key)
    quotas.admit(app, None, record.tenant)
    again = app.new_record(
        record.type,
        task_id,
        record.tenant,
        call,
        queue=record.queue,
        priority=priority_of(record),
        tags=record.tags,
        fingerprint=fingerprint,
        retry_of=record.task_id,
    )
    with unavailable("DynamoDB"):
        try:
            services().records.create(again)
        except RecordExistsError as error:
            return replay(app, error.existing, fingerprint, idempotency_key or "")
    app.publish_new(again, call)
    return Submission(again)
