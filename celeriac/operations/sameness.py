"""Submissions that are one task: the first of them (``unique_for``), or the last (``debounce``)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from celeriac import clock, states
from celeriac.app import telemetry
from celeriac.app.factory import CeleriacApp
from celeriac.clock import Millis
from celeriac.contract import Debounce, TaskType, Unique
from celeriac.contract.limits import scope_of
from celeriac.errors import UnavailableError, transient, unavailable
from celeriac.records import Failure, LeaseLostError, TaskRecord
from celeriac.storage.same import Standing
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError
from celeriac.topology import FURTHEST_DUE

log = logging.getLogger(__name__)

#: The error type of a task that a later submission has replaced.
SUPERSEDED = "superseded"
#: A task whose message wasn't received so long after its time may have lost it.
_OVERDUE = timedelta(minutes=1)


@dataclass(frozen=True)
class Turn:
    """A submission's part in its series: when that began, and when its task starts."""

    key: str
    since: Millis
    due_at: Millis


def standing_of(
    app: CeleriacApp,
    task_type: TaskType[Any, Any],
    task_id: str,
    fingerprint: str | None,
    due_at: Millis | None,
) -> Standing:
    """What is to be known of a task that may stand for others."""
    now = clock.now()
    kept = app.settings.record_ttl
    if task_type.unique is not None:
        # Without a period the task stands until it has ended, and may wait for long before that.
        kept = max(kept, task_type.unique.period or FURTHEST_DUE)
    return Standing(
        task_id=task_id,
        since=now,
        fingerprint=fingerprint,
        expires_at=(max(due_at or 0, now) + clock.millis(kept)) // 1000,
    )


def stand(
    task_type: TaskType[Any, Any], unique: Unique, tenant: str, content: Any, standing: Standing
) -> Standing | TaskRecord:
    """Have a task stand for all submissions like it: it, or the task that does.

    A ``Standing`` is to be created, under the id and the fingerprint that it has.

    Raises:
        UnavailableError: DynamoDB can't be reached.
    """
    same, key = services().same, _key(task_type, unique, tenant, content)
    if unique.period is not None:
        standing = replace(standing, until=standing.since + clock.millis(unique.period))
    instead_of = None
    with unavailable("DynamoDB"):
        while True:
            found = same.name(key, standing, instead_of=instead_of)
            if found is None:
                return standing
            record = services().records.get(found.task_id)
            if not _is_over(found, record):
                return record or found
            instead_of = found.task_id


def _is_over(standing: Standing, record: TaskRecord | None) -> bool:
    """Whether another task may take the place of the one that stands for a key.

    Without a period, a name may outlast the record of its task:

        record       ├─ waits, is kept ─┼─ ended ─┤
        name         ├─────────────────────────────────────┤
        submissions      the task         another   another

    A young name without a record is that of a caller that died, or will write the record now.
    """
    if standing.until is not None:
        return standing.until <= clock.now()
    if record is not None:
        return record.terminal
    return standing.since + clock.millis(services().settings.record_ttl) <= clock.now()


def turn_of(task_type: TaskType[Any, Any], debounce: Debounce, tenant: str, content: Any) -> Turn:
    """When a task starts that is submitted now: after the delay, or when its series has waited.

        submits   A ── B ── C ·············· D
        series    ├─────────│─── delay ───►│ ├─ a new one
        runs                               C           D

    Once the time of a series has come, its task is no longer replaced: else a steady stream would
    keep each from being claimed.

    Raises:
        UnavailableError: DynamoDB can't be reached.
    """
    key = _key(task_type, debounce, tenant, content)
    with unavailable("DynamoDB"):
        found = services().same.get(key)
    now = clock.now()
    since = found.since if found is not None and _goes_on(found, now) else now
    longest = since + clock.millis(debounce.longest)
    return Turn(key, since, min(now + clock.millis(debounce.delay), longest))


def join(turn: Turn, standing: Standing) -> str | None:
    """Have a task that has its record be the last of its series; the id of the one it replaces.

        caller A   create A ── last: A ✓ ────────────── send
        caller B                  create B ── last: B instead of A ✓ ── send ── revoke A

    The record comes first, so that whatever is replaced has one to be revoked.

    Raises:
        UnavailableError: DynamoDB can't be reached.
    """
    same = services().same
    latest = replace(standing, since=turn.since, until=turn.due_at)
    with unavailable("DynamoDB"):
        found = same.get(turn.key)
        while True:
            before = found
            found = same.name(
                turn.key, latest, instead_of=before.task_id if before is not None else None
            )
            if found is None:
                goes_on = before is not None and _goes_on(before, clock.now())
                return before.task_id if before is not None and goes_on else None


def _goes_on(standing: Standing, now: Millis) -> bool:
    """Whether the task that stands for a series still waits for its time."""
    return standing.until is not None and standing.until > now


def supersede(task_id: str, by: str) -> None:
    """End a waiting task as REVOKED, since a later submission has taken its place.

    A task that has begun runs on. If AWS can't be reached, it runs too: nothing is lost by that.
    """
    why = Failure(type=SUPERSEDED, message=f"Task {by} was submitted later and took its place.")
    try:
        telemetry.ended(services().records.finish(task_id, None, states.REVOKED, failure=why))
    except LeaseLostError as lost:
        log.info("task %s isn't superseded: %s", task_id, lost)
    except Exception as error:
        if not transient(error):
            raise
        log.warning("task %s isn't superseded, and runs as well: %s", task_id, error)


def ensure_sent(app: CeleriacApp, record: TaskRecord) -> None:
    """Send a task's message again if its first sender may have died before it sent any.

    Not at each repeated submission: each would add a message.
    """
    due_at = max(record.created_at, record.due_at or 0)
    if record.state != states.PENDING or record.resent:
        return
    if due_at + clock.millis(_OVERDUE) < clock.now():
        try:
            app.resend(record)
        except (UnavailableError, ValueMissingError) as error:
            log.warning("task %s isn't sent again now: %s", record.task_id, error)


def _key(task_type: TaskType[Any, Any], by: Unique | Debounce, tenant: str, content: Any) -> str:
    """Never across tenants: one would be told of another's task, or end it."""
    digest = scope_of(by.key, content) if by.key or isinstance(by, Unique) else ""
    return "#".join((type(by).__name__.lower(), task_type.name, tenant, digest))
