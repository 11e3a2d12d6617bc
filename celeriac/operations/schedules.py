"""Schedules that are there: look at them, pause them, run them now, see what they fired.

    from celeriac import schedules

    schedules.pause(schedule_id)

A schedule that code declares is deployed with it. The table holds only whether it is paused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice

from celeriac import clock
from celeriac.app.declared import declared
from celeriac.app.declared_schedule import PREFIXES, DeclaredSchedule
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.errors import UnavailableError, unavailable
from celeriac.operations import firings, scheduled, scheduling
from celeriac.operations.scheduled import Scheduled, ScheduleNotFoundError
from celeriac.operations.submission import Submission
from celeriac.storage.firings import Firing
from celeriac.storage.services import services

log = logging.getLogger(__name__)

#: How many of the next fire times are shown.
SHOWN_TIMES = 5


def find(
    schedule_id: str, tenant: str | None = None, *, app: CeleriacApp | None = None
) -> Scheduled:
    """A tenant's schedule.

    If an edit of it was cut off, EventBridge is given its times again.

    Raises:
        ScheduleNotFoundError: this tenant has no such schedule.
        ScheduleUnreadableError: what is kept of it is damaged, or a newer version wrote it.
        UnavailableError: DynamoDB can't be reached.
    """
    app = app or celery_app()
    found = scheduled.find(app, tenant or app.settings.tenant, schedule_id)
    if found is None:
        raise ScheduleNotFoundError(schedule_id)
    if not found.settled:
        try:
            scheduling.settle(found.tenant, schedule_id)
        except UnavailableError as error:
            log.warning("schedule %s may fire by its times before an edit: %s", schedule_id, error)
    return found


def list_all(
    tenant: str | None = None,
    *,
    limit: int | None = None,
    after: str | None = None,
    app: CeleriacApp | None = None,
) -> list[Scheduled]:
    """A tenant's schedules: those that code declares, then those that callers made.

    Each in the order of their ids, which begin with the time of their making unless an idempotency
    key made them. At most ``limit``, of those that follow the one with the id ``after``.

    Raises ``UnavailableError``.
    """
    app = app or celery_app()
    tenant = tenant or app.settings.tenant
    in_code = after is None or after.startswith(PREFIXES)
    own: list[DeclaredSchedule] = []
    if in_code and tenant == app.settings.tenant:
        own = sorted(declared(app), key=lambda each: each.schedule_id)
        own = [each for each in own if after is None or each.schedule_id > after][:limit]
    found: list[Scheduled] = []
    with unavailable("DynamoDB"):
        for each in own:
            paused = services().schedules.paused(tenant, each.schedule_id)
            found.append(Scheduled.of_code(each, tenant, paused=paused))
        room = None if limit is None else limit - len(own)
        if room != 0:
            kept = services().schedules.of(tenant, limit=room, after=None if in_code else after)
            found += map(Scheduled.of_kept, kept)
    return found


def next_times(found: Scheduled) -> list[datetime]:
    """The next five times (UTC) at which a schedule fires; none while it is paused."""
    if found.paused:
        return []
    return [*islice(found.schedule.fire_times(clock.to_datetime(clock.now())), SHOWN_TIMES)]


def history(
    schedule_id: str,
    tenant: str | None = None,
    *,
    limit: int = 20,
    below: str | None = None,
    app: CeleriacApp | None = None,
) -> list[Firing]:
    """What a schedule has fired, newest first: at most ``limit``, below the key ``below``.

    Raises ``ScheduleNotFoundError`` and ``UnavailableError``.
    """
    found = find(schedule_id, tenant, app=app)
    with unavailable("DynamoDB"):
        return services().firings.latest(found.tenant, schedule_id, limit=limit, below=below)


def statuses(firings: Iterable[Firing]) -> dict[str, str]:
    """The states of firings' tasks now, by id. One whose record has expired is left out.

    Raises ``UnavailableError``.
    """
    ids = [each.task_id for each in firings if each.task_id is not None]
    if not ids:
        return {}
    with unavailable("DynamoDB"):
        return {each: found.state for each, found in services().records.get_many(ids).items()}


def pause(
    schedule_id: str, tenant: str | None = None, *, app: CeleriacApp | None = None
) -> Scheduled:
    """Have a schedule's times pass without a task, until it is resumed.

    Raises ``ScheduleNotFoundError`` and ``UnavailableError``.
    """
    return _set_paused(schedule_id, tenant, app, paused=True)


def resume(
    schedule_id: str, tenant: str | None = None, *, app: CeleriacApp | None = None
) -> Scheduled:
    """End a pause. Times that have passed meanwhile are not made up for.

    Raises ``ScheduleNotFoundError`` and ``UnavailableError``.
    """
    return _set_paused(schedule_id, tenant, app, paused=False)


def run_now(
    schedule_id: str,
    tenant: str | None = None,
    *,
    idempotency_key: str | None = None,
    app: CeleriacApp | None = None,
) -> Submission:
    """Submit a task of a schedule now, paused or not, and whether or not its last one runs.

    Repeating this with the same ``idempotency_key`` gives the same task.

    Raises:
        ScheduleNotFoundError: this tenant has no such schedule.
        RefusedError: its payload is no longer valid, or its type is gone.
        and what ``submit`` raises.
    """
    app = app or celery_app()
    return firings.run(app, find(schedule_id, tenant, app=app), idempotency_key)


def _set_paused(
    schedule_id: str, tenant: str | None, app: CeleriacApp | None, *, paused: bool
) -> Scheduled:
    found = find(schedule_id, tenant, app=app)
    with unavailable("DynamoDB"):
        there = services().schedules.pause(
            found.tenant, schedule_id, paused=paused, declared=found.code is not None
        )
    if not there:
        raise ScheduleNotFoundError(schedule_id)
    return replace(found, paused=paused)
