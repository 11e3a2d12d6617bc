"""Make, edit and delete schedules, in the table and in EventBridge Scheduler.

The table says what a schedule is; EventBridge Scheduler fires it. Neither is written with the
other, so each step can be repeated, and a crash between two leaves nothing that fires wrongly:

    create   EventBridge ✓ ── (dies)             its first firing finds no item, and removes it
             EventBridge ✓ ── item ✓
    create again, with the same key
             EventBridge ✗ exists ── item ✓ ── EventBridge as the item says
             item exists ── EventBridge as the item says
    edit     item ✓ unsettled ── (dies)          the next look, edit or firing settles it; a firing
                                                 at a time that the item doesn't have does no more
             item ✓ unsettled ── EventBridge ✓ ── this version is settled ✗ → the same with the next
    delete   item is a mark ── (dies)            its next firing finds no item, and removes it
             item is a mark ── EventBridge ✓
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from celeriac import clock
from celeriac.app.declared import declared
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.contract import Schedule
from celeriac.errors import (
    IdempotencyConflictError,
    UnavailableError,
    unavailable,
)
from celeriac.operations.schedule_rules import admit, from_now, with_payload
from celeriac.operations.scheduled import (
    DeclaredScheduleError,
    Scheduled,
    ScheduleDeletedError,
    ScheduleNotFoundError,
)
from celeriac.operations.submission import fingerprint_of
from celeriac.records import identifiers
from celeriac.storage.schedule_items import KeptSchedule, with_expiry
from celeriac.storage.services import services
from celeriac.topology import FURTHEST_DUE

#: The place of a task type in what the ids of schedules with a key are made of. No type has it.
_MAKING = "POST /schedules"


def create(
    type_name: str,
    schedule: Schedule,
    *,
    payload: BaseModel | Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    idempotency_key: str | None = None,
    tenant: str | None = None,
    app: CeleriacApp | None = None,
) -> Scheduled:
    """Have a task type run by itself from now on.

    Args:
        type_name: the task type's name, or one of its aliases.
        schedule: when. A rate without ``start`` fires first after one interval.
        payload: what each task is submitted with; the schedule's own unless given.
        tags: words to find its tasks by in listings.
        idempotency_key: repeating this with the same key gives the same schedule, as long as it is
            kept, and never a second one.
        tenant: whose schedule it is; the setting ``CELERIAC_TENANT`` unless given.
        app: the app whose catalogue has the type; the app of this process unless given.

    Raises:
        UnknownTaskTypeError: there is no such type.
        pydantic.ValidationError: the payload isn't valid.
        ScheduleError: it would never fire, or its payload is too large.
        IdempotencyConflictError: the key made another schedule, or one that is deleted.
        QuotaExceededError: the tenant has as many schedules as it may have.
        UnavailableError: AWS didn't take it; no task will be submitted.
    """
    app = app or celery_app()
    tenant = tenant or app.settings.tenant
    type_name = app.catalogue[type_name].name
    given = with_payload(app, type_name, schedule, payload)
    schedule_id, fingerprint = identifiers.new_task_id(), None
    if idempotency_key is not None:
        schedule_id = identifiers.derived_task_id(tenant, _MAKING, idempotency_key)
        fingerprint = fingerprint_of([type_name, _words(given)], tags)
        # Asked first: a time that has passed meanwhile is no fault of a repetition.
        with unavailable("DynamoDB"):
            existing = services().schedules.get(tenant, schedule_id)
        if existing is not None:
            return _replay(existing, fingerprint, idempotency_key)
    admit(app, tenant)
    kept = KeptSchedule(
        schedule_id=schedule_id,
        tenant=tenant,
        type=type_name,
        schedule=from_now(given),
        tags=tuple(tags),
        created_at=clock.now(),
        fingerprint=fingerprint,
    )
    kept = with_expiry(kept, app.settings.record_ttl)
    with unavailable("EventBridge Scheduler"):
        made = services().event_bridge.create(schedule_id, kept.schedule, _known_as(kept))
    # If there was one, a request with the same key was cut off, and may have had another body.
    kept = replace(kept, settled=made)
    with unavailable("DynamoDB"):
        created = services().schedules.create(kept)
    if created:
        if not made:
            _settle(kept)
        return Scheduled.of_kept(replace(kept, settled=True))
    with unavailable("DynamoDB"):
        existing = services().schedules.get(tenant, schedule_id)
    if existing is None:
        with unavailable("EventBridge Scheduler"):
            services().event_bridge.delete(schedule_id)
        if idempotency_key is not None:
            raise ScheduleDeletedError(idempotency_key)
        # It took so long that it fired before it was written, and was removed.
        raise UnavailableError("EventBridge Scheduler")
    if idempotency_key is None:
        # Our first write, whose answer was lost.
        return Scheduled.of_kept(existing)
    return _replay(existing, fingerprint, idempotency_key)


def edit(
    schedule_id: str,
    tenant: str | None = None,
    *,
    schedule: Schedule | Callable[[Schedule], Schedule] | None = None,
    payload: BaseModel | Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    app: CeleriacApp | None = None,
) -> Scheduled:
    """Change what is given of a schedule that a caller made. Its payload stays unless one is given.

    ``schedule`` is the new one, or a function that makes it of the one that is there. Only with a
    function does an edit at the same time keep what the other one changes:

        edit A   read 1 ── write 2 ✓
        edit B   read 1 ─────────────── write 2 ✗ ── read 2 ── write 3 ✓

    Raises:
        ScheduleNotFoundError: this tenant has no such schedule.
        DeclaredScheduleError: code declares it.
        and what ``create`` raises, and ``schedule``.
    """
    app = app or celery_app()
    tenant = tenant or app.settings.tenant
    while True:
        before = _editable(app, tenant, schedule_id)
        changed = schedule(before.schedule) if callable(schedule) else schedule or before.schedule
        given = (changed.payload or before.schedule.payload) if payload is None else payload
        after = replace(
            before,
            schedule=from_now(with_payload(app, before.type, changed, given)),
            tags=before.tags if tags is None else tuple(tags),
            version=before.version + 1,
            settled=False,
        )
        after = with_expiry(after, app.settings.record_ttl)
        with unavailable("DynamoDB"):
            replaced = services().schedules.replace(after)
        if replaced:
            _settle(after)
            return Scheduled.of_kept(replace(after, settled=True))


def delete(schedule_id: str, tenant: str | None = None, *, app: CeleriacApp | None = None) -> None:
    """Remove a schedule that a caller made. Its tasks stay as they are.

    Raises ``ScheduleNotFoundError``, ``DeclaredScheduleError`` and ``UnavailableError``.
    """
    app = app or celery_app()
    tenant = tenant or app.settings.tenant
    _refuse_declared(app, tenant, schedule_id)
    # As long as its history may be kept, see ``firings``.
    buried_for = FURTHEST_DUE + app.settings.record_ttl
    with unavailable("DynamoDB"):
        if not services().schedules.delete(tenant, schedule_id, buried_for):
            raise ScheduleNotFoundError(schedule_id)
    with unavailable("EventBridge Scheduler"):
        services().event_bridge.delete(schedule_id)


def settle(tenant: str, schedule_id: str) -> None:
    """Have EventBridge fire a caller's schedule as the table says. Raises ``UnavailableError``."""
    with unavailable("DynamoDB"):
        kept = services().schedules.get(tenant, schedule_id)
    if kept is not None:
        _settle(kept)


def _words(schedule: Schedule) -> list[Any]:
    """Everything that a schedule says, as JSON has it."""
    bounds = [each and each.isoformat() for each in (schedule.start, schedule.end)]
    return [
        schedule.expression,
        schedule.timezone,
        *bounds,
        schedule.overlap,
        schedule.priority,
        dict(schedule.payload),
    ]


def _replay(existing: KeptSchedule, fingerprint: str | None, key: str) -> Scheduled:
    """The schedule that the key made. Its first request may have died before its last step."""
    if existing.fingerprint != fingerprint:
        raise IdempotencyConflictError(key)
    if any(existing.schedule.fire_times(clock.to_datetime(clock.now()))):
        _settle(existing)
    return Scheduled.of_kept(existing, replayed=True)


def _editable(app: CeleriacApp, tenant: str, schedule_id: str) -> KeptSchedule:
    """A schedule that a caller made.

    Raises ``ScheduleNotFoundError`` and ``DeclaredScheduleError``.
    """
    _refuse_declared(app, tenant, schedule_id)
    with unavailable("DynamoDB"):
        kept = services().schedules.get(tenant, schedule_id)
    if kept is None:
        raise ScheduleNotFoundError(schedule_id)
    return kept


def _refuse_declared(app: CeleriacApp, tenant: str, schedule_id: str) -> None:
    if tenant != app.settings.tenant:
        return
    for each in declared(app):
        if each.schedule_id == schedule_id:
            raise DeclaredScheduleError(schedule_id, each.where)


def _settle(kept: KeptSchedule) -> None:
    """Have EventBridge fire a schedule as the table says, also while others edit or delete it.

    edit A   item 2 ✓ ───────────────────────────── EventBridge 2 ✓ ── 2 is settled ✗: write 3
    edit B            item 3 ✓ ── EventBridge 3 ✓ ── 3 is settled ✓

    One that is over fires no more: its edit was cut off, and its time has passed since.
    """
    while True:
        over = not any(kept.schedule.fire_times(clock.to_datetime(clock.now())))
        with unavailable("EventBridge Scheduler"):
            if over:
                services().event_bridge.delete(kept.schedule_id)
            else:
                services().event_bridge.update(kept.schedule_id, kept.schedule, _known_as(kept))
        with unavailable("DynamoDB"):
            if services().schedules.settle(kept):
                return
            found = services().schedules.get(kept.tenant, kept.schedule_id)
        if found is None:
            with unavailable("EventBridge Scheduler"):
                services().event_bridge.delete(kept.schedule_id)
            return
        kept = found


def _known_as(kept: KeptSchedule) -> str:
    """What EventBridge calls it. A tenant's name has no slash."""
    return f"{kept.tenant}/{kept.schedule_id}"
