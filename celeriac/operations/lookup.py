"""Find a task, and read what it was called with and what came of it."""

from __future__ import annotations

import json
from typing import Any

from celeriac.contract.queues import HIGH, NORMAL, Priority
from celeriac.errors import NotFoundError, unavailable
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.transport.call import Call


def find(task_id: str, tenant: str | None = None) -> TaskRecord:
    """A tenant's task: that of the setting ``CELERIAC_TENANT`` unless given.

    Raises ``NotFoundError`` for another tenant's task too, and ``UnavailableError``.
    """
    tenant = tenant or services().settings.tenant
    with unavailable("DynamoDB"):
        record = services().records.get(task_id)
    if record is None or record.tenant != tenant:
        raise NotFoundError(task_id)
    return record


def priority_of(record: TaskRecord) -> Priority:
    """How urgent a task is."""
    return HIGH if record.priority == HIGH else NORMAL


def payload_of(record: TaskRecord) -> Any:
    """What a task was called with. Raises ``ValueMissingError`` and ``UnavailableError``."""
    with unavailable("S3 or DynamoDB"):
        text = services().values.get(record.tenant, record.task_id, record.input)
    return Call.as_json(text).payload


def outcome_of(record: TaskRecord) -> Any:
    """What an ended task gave: the result of a SUCCESS, None otherwise.

    Raises ``ValueMissingError`` and ``UnavailableError``.
    """
    return None if record.result is None else json.loads(outcome_text(record))["result"]


def outcome_text(record: TaskRecord) -> str:
    """What an ended task gave as it is kept: JSON with a member ``result``.

    Raises ``ValueMissingError`` and ``UnavailableError``.
    """
    with unavailable("S3 or DynamoDB"):
        return services().values.get(record.tenant, record.task_id, record.result or "={}")
