"""Make, edit and delete schedules, in the table and in EventBridge Scheduler.

The table says what a schedule is; EventBridge Scheduler fires it. Neither is written with the
other, so each step can be repeated, and a crash between two leaves nothing that fires wrongly:

    create   EventBridge ✓ ── (dies)             its first firing finds no item, and removes it
             EventBridge ✓ ── item ✓
    edit     item ✓ ── (dies)                    the old times fire the new payload; edit again
             item ✓ ── EventBridge ✓ ── item is still this version?  no → write EventBridge again
    delete   item ✓ ── (dies)                    its next firing finds no item, and removes it
             item ✓ ── EventBridge ✓
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from celeriac import clock
from celeriac.app.declared import declared
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.contract import Schedule
from celeriac.contract.schedule import ScheduleError
from celeriac.errors import UnavailableError, unavailable
from celeriac.operations.scheduled import (
    DeclaredScheduleError,
    Scheduled,
    ScheduleNotFoundError,
)
from celeriac.records import identifiers
from celeriac.storage.schedules import KeptSchedule, with_expiry
from celeriac.storage.services import services

#: A schedule's payload is in its item, which is read at each firing.
LARGEST_PAYLOAD = 64 * 1024


def create(
    type_name: str,
    schedule: Schedule,
    *,
    payload: BaseModel | Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    tenant: str | None = None,
    app: CeleriacApp | None = None,
) -> Scheduled:
    """Have a task type run by itself from now on.

    Args:
        type_name: the task type's name, or one of its aliases.
        schedule: when. A rate without ``start`` fires first after one interval.
        payload: what each task is submitted with; the schedule's own unless given.
        tags: words to find its tasks by in listings.
        tenant: whose schedule it is; the setting ``CELERIAC_TENANT`` unless given.
        app: the app whose catalogue has the type; the app of this process unless given.

    Raises:
        UnknownTaskTypeError: there is no such type.
        pydantic.ValidationError: the payload isn't valid.
        ScheduleError: it would never fire, or its payload is too large.
        UnavailableError: AWS didn't take it; no task will be submitted.
    """
    app = app or celery_app()
    schedule = _checked(app, type_name, schedule, payload)
    kept = KeptSchedule(
        schedule_id=identifiers.new_task_id(),
        tenant=tenant or app.settings.tenant,
        type=app.catalogue[type_name].name,
        schedule=schedule,
        tags=tuple(tags),
        created_at=clock.now(),
    )
    kept = with_expiry(kept, app.settings.record_ttl)
    with unavailable("EventBridge Scheduler"):
        services().event_bridge.create(kept.schedule_id, schedule, _known_as(kept))
    with unavailable("DynamoDB"):
        if not services().schedules.create(kept):
            # Our first write, whose answer was lost; or it has fired before it was written.
            found = services().schedules.get(kept.tenant, kept.schedule_id)
            if found is None:
                raise UnavailableError("EventBridge Scheduler")
    return Scheduled.of_kept(kept)


def edit(
    schedule_id: str,
    tenant: str | None = None,
    *,
    schedule: Schedule | None = None,
    payload: BaseModel | Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    app: CeleriacApp | None = None,
) -> Scheduled:
    """Change what is given of a schedule that a caller made. Its payload stays unless one is given.

    Raises:
        ScheduleNotFoundError: this tenant has no such schedule.
        DeclaredScheduleError: code declares it.
        and what ``create`` raises.
    """
    app = app or celery_app()
    tenant = tenant or app.settings.tenant
    before = _editable(app, tenant, schedule_id)
    changed = schedule or before.schedule
    if payload is None:
        payload = changed.payload or before.schedule.payload
    after = replace(
        before,
        schedule=_checked(app, before.type, changed, payload),
        tags=before.tags if tags is None else tuple(tags),
        version=before.version + 1,
    )
    after = with_expiry(after, app.settings.record_ttl)
    with unavailable("DynamoDB"):
        if not services().schedules.replace(after):
            # Edited or deleted meanwhile: what is there now decides.
            _editable(app, tenant, schedule_id)
            raise UnavailableError("DynamoDB")
    _settle(after)
    return Scheduled.of_kept(after)


def delete(schedule_id: str, tenant: str | None = None, *, app: CeleriacApp | None = None) -> None:
    """Remove a schedule that a caller made. Its tasks stay as they are.

    Raises ``ScheduleNotFoundError``, ``DeclaredScheduleError`` and ``UnavailableError``.
    """
    app = app or celery_app()
    tenant = tenant or app.settings.tenant
    _editable(app, tenant, schedule_id)
    with unavailable("DynamoDB"):
        services().schedules.delete(tenant, schedule_id)
    with unavailable("EventBridge Scheduler"):
        services().event_bridge.delete(schedule_id)


def _checked(
    app: CeleriacApp,
    type_name: str,
    schedule: Schedule,
    payload: BaseModel | Mapping[str, Any] | None,
) -> Schedule:
    """The schedule as it is kept: with a payload that was checked, and a rate's start."""
    payloads = app.catalogue[type_name].payloads
    model = payloads.read(dict(schedule.payload) if payload is None else payload)
    # As it was given: a default may be another each time.
    content = model.model_dump(mode="json", exclude_unset=True)
    if len(json.dumps(content)) > LARGEST_PAYLOAD:
        raise ScheduleError(
            "payload",
            f"the payload of a schedule has at most {LARGEST_PAYLOAD // 1024} KiB",
            "Upload large data with POST /files, and pass its key",
        )
    now = clock.to_datetime(clock.now())
    start = schedule.start
    if isinstance(schedule.when, timedelta) and start is None:
        # AWS would fire it at once, and again at once after each edit.
        start = now.replace(microsecond=0) + schedule.when
    kept = replace(schedule, payload=content, start=start)
    if not any(kept.fire_times(now)):
        name, when = ("at", kept.when) if kept.kind == "at" else ("end", kept.end)
        raise ScheduleError(
            name,
            f"{name} {when.isoformat() if isinstance(when, datetime) else when} is in the past",
            f"Give a time after {now.isoformat(timespec='seconds')}",
        )
    return kept


def _editable(app: CeleriacApp, tenant: str, schedule_id: str) -> KeptSchedule:
    """A schedule that a caller made.

    Raises ``ScheduleNotFoundError`` and ``DeclaredScheduleError``.
    """
    if tenant == app.settings.tenant:
        for each in declared(app):
            if each.schedule_id == schedule_id:
                raise DeclaredScheduleError(schedule_id, each.where)
    with unavailable("DynamoDB"):
        kept = services().schedules.get(tenant, schedule_id)
    if kept is None:
        raise ScheduleNotFoundError(schedule_id)
    return kept


def _settle(kept: KeptSchedule) -> None:
    """Have EventBridge fire a schedule as the table says, also while others edit or delete it.

    edit A   item 2 ✓ ─────────────────────────── EventBridge 2 ✓ ── item is 3: write 3
    edit B            item 3 ✓ ── EventBridge 3 ✓ ── item is 3 ✓
    """
    while True:
        with unavailable("EventBridge Scheduler"):
            services().event_bridge.update(kept.schedule_id, kept.schedule, _known_as(kept))
        with unavailable("DynamoDB"):
            found = services().schedules.get(kept.tenant, kept.schedule_id)
        if found is None:
            with unavailable("EventBridge Scheduler"):
                services().event_bridge.delete(kept.schedule_id)
            return
        if found.version == kept.version:
            return
        kept = found


def _known_as(kept: KeptSchedule) -> str:
    """What EventBridge calls it. A tenant's name has no slash."""
    return f"{kept.tenant}/{kept.schedule_id}"
