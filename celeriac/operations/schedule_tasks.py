"""The task of a schedule: submitted at its time, or because somebody runs it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from celeriac import states
from celeriac.app import call_options
from celeriac.app.factory import CeleriacApp
from celeriac.contract import UnknownTaskTypeError
from celeriac.errors import IdempotencyConflictError, unavailable
from celeriac.operations import lookup, quotas, submission
from celeriac.operations.scheduled import Scheduled
from celeriac.operations.submission import Submission
from celeriac.records import RecordExistsError, TaskRecord, identifiers
from celeriac.storage.services import services
from celeriac.transport.call import Call


class RefusedError(Exception):
    """A schedule's task can't be submitted as the code is now. Another try would fail too."""


def submit_task(
    app: CeleriacApp, found: Scheduled, key: str | None, cancelled: str | None = None
) -> Submission:
    """Submit the task. ``key`` makes its id, and has a blank, which no caller's key has.

    ``cancelled`` was cancelled to make room for it.
    """
    if found.code is not None and found.type not in app.catalogue:
        return _submit_plain(app, found, key)
    try:
        task_type = app.catalogue[found.type]
        # Accepted before: a field that the type has lost since isn't the caller's fault.
        payload = task_type.payloads.read_accepted(dict(found.schedule.payload))
        begun = submission.begin(
            task_type.name,
            payload,
            tenant=found.tenant,
            tags=found.tags,
            idempotency_key=key,
            delay=None,
            run_at=None,
            priority=found.schedule.priority,
            schedule_id=found.schedule_id,
            cancelled=cancelled,
            app=app,
        )
        return submission.send(app, begun)
    except UnknownTaskTypeError as error:
        raise RefusedError(str(error)) from error
    except ValidationError as error:
        raise RefusedError(
            f"The payload is no longer valid for {found.type}: {_places(error)}."
        ) from error
    except IdempotencyConflictError:
        # It was edited between two calls with one key: the first call's task stands.
        task_id = identifiers.derived_task_id(found.tenant, found.type, key or "")
        return Submission(lookup.find(task_id, found.tenant), replayed=True)


def _submit_plain(app: CeleriacApp, found: Scheduled, key: str | None) -> Submission:
    """Submit a plain Celery task of ``beat_schedule``."""
    code = found.code
    assert code is not None  # noqa: S101 - for the type checker
    task_id = identifiers.new_task_id()
    if key is not None:
        task_id = identifiers.derived_task_id(found.tenant, found.type, key)
        # Asked first: a task that is there uses up no quota.
        with unavailable("DynamoDB"):
            existing = services().records.get(task_id)
        if existing is not None:
            return _there(app, existing)
    quotas.admit(app, None, found.tenant)
    options = call_options.checked(found.type, task_id, code.options)
    queue = options.pop("queue", None)
    call = Call(tuple(code.args), dict(code.kwargs), options)
    record = app.new_record(
        found.type,
        task_id,
        found.tenant,
        call,
        queue=queue and str(getattr(queue, "name", queue)),
        priority=found.schedule.priority,
        schedule_id=found.schedule_id,
    )
    with unavailable("DynamoDB"):
        try:
            services().records.create(record)
        except RecordExistsError as error:
            return _there(app, error.existing)
    app.publish_new(record, call)
    return Submission(record)


def _there(app: CeleriacApp, record: TaskRecord) -> Submission:
    """The task that another call submitted, which may have died before it sent the message."""
    if record.state in states.WAITING:
        app.resend(record)
    return Submission(record, replayed=True)


def _places(error: ValidationError) -> str:
    found: list[Any] = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}" for each in found[:5]
    )
