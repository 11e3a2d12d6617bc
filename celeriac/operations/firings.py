"""What happens when a schedule fires: a task, or an entry in its history that says why not.

EventBridge Scheduler calls at least once, perhaps late, perhaps twice at the same time. The task's
id is made of the schedule and the time, so each time has one task:

    call 1   no entry ── record ✓ ── message ✓ ── entry ✓
    call 2   no entry ── record ✗ exists: its message is sent again if it waits ── entry ✗ exists
    call 3   entry → the call is counted
    call 1   no entry ── record ✓ ── (dies)      EventBridge calls again: as call 2
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from celeriac import clock, states
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.clock import Millis
from celeriac.errors import QuotaExceededError, unavailable
from celeriac.operations import cancelling, scheduling
from celeriac.operations.schedule_tasks import RefusedError, submit_task
from celeriac.operations.scheduled import Scheduled, find
from celeriac.operations.submission import Submission
from celeriac.operations.waking import wake_for
from celeriac.records import Cancellation, TaskRecord, identifiers
from celeriac.storage.event_bridge import times_of
from celeriac.storage.firings import Firing, Outcome
from celeriac.storage.services import services
from celeriac.topology import FURTHEST_DUE

log = logging.getLogger(__name__)


def fire(
    schedule_id: str,
    scheduled_at: datetime,
    execution_id: str,
    *,
    times: str | None = None,
    app: CeleriacApp | None = None,
) -> None:
    """Do what a schedule is to do at one of its times. Doing it again is harmless.

    ``schedule_id`` is as EventBridge knows it: a caller's follows its tenant and a slash. ``times``
    are those that EventBridge fires by, as ``times_of`` has them. Wakes the queue's workers if it
    has none.

    Raises:
        UnavailableError: AWS didn't answer; it is to be fired again.
    """
    app = app or celery_app()
    tenant, _, own_id = schedule_id.rpartition("/")
    found = find(app, tenant or app.settings.tenant, own_id)
    if found is None:
        _not_there(tenant, own_id)
        return
    if times is not None and times != times_of(found.schedule):
        log.warning("schedule %s fires by the times before an edit: they are set right", own_id)
        scheduling.settle(found.tenant, own_id)
        if not found.schedule.fires_at(scheduled_at):
            return
    moment = int(scheduled_at.timestamp() * 1000)
    with unavailable("DynamoDB"):
        latest = services().firings.latest(
            found.tenant, own_id, limit=2, below=f"{moment + 1:013d}"
        )
    for each in latest:
        if each.scheduled_at == moment and not each.by_hand:
            _count_call(found, each)
            return
    firing = Firing(
        scheduled_at=moment,
        fired_at=clock.now(),
        outcome=Outcome.FIRED,
        last_task_id=latest[0].last_task_id if latest else None,
        execution_id=execution_id,
    )
    own_key = f"schedule {own_id} at {moment}"
    firing = _paused_or_skipped(found, firing, own_key) or _fired(app, found, firing, own_key)
    if not _note(app, found, firing):
        _complete(found, firing)


def _paused_or_skipped(found: Scheduled, firing: Firing, key: str) -> Firing | None:
    """The firing, if the schedule's pause or its overlap policy keeps it from submitting a task.

    call 1   record ✓ ── (dies)
    pause                        paused
    call 2                              record exists: not paused, but fired
    """
    detail = None
    running = _unfinished(firing.last_task_id) if found.schedule.overlap == "skip" else None
    if found.paused:
        outcome = Outcome.PAUSED
    elif running is not None:
        outcome = Outcome.SKIPPED
        detail = f"Task {running.task_id} has not ended: it is {running.state}."
    else:
        return None
    with unavailable("DynamoDB"):
        own = services().records.get(identifiers.derived_task_id(found.tenant, found.type, key))
    return None if own is not None else replace(firing, outcome=outcome, detail=detail)


def _fired(app: CeleriacApp, found: Scheduled, firing: Firing, key: str) -> Firing:
    """The task is submitted, or refused; the last one is cancelled before, if it is to be."""
    own_id, last = found.schedule_id, firing.last_task_id
    cancelled = None
    if found.schedule.overlap == "cancel":
        if _unfinished(last) is not None:
            assert last is not None  # noqa: S101 - for the type checker
            outcome, _ = cancelling.cancel(last, found.tenant)
            if outcome is not Cancellation.OVER:
                firing = replace(firing, cancelled_task_id=last)
        cancelled = last if _was_cancelled(last) else None
    try:
        submitted = submit_task(app, found, key, cancelled)
    except (RefusedError, QuotaExceededError) as refused:
        # Fired again it would fail again: of the code, the schedule, or the tenant's quota.
        log.error("schedule %s fires no task: %s", own_id, refused)  # noqa: TRY400
        return replace(firing, outcome=Outcome.REFUSED, detail=str(refused))
    record = submitted.record
    wake_for(record)
    firing = replace(firing, task_id=record.task_id, last_task_id=record.task_id)
    # A call that was cut off may have submitted it for this very time.
    if submitted.unique and (record.schedule_id != own_id or record.task_id == last):
        detail = f"{found.type} allows one such task, and this one was there."
        return replace(firing, outcome=Outcome.JOINED, detail=detail)
    return firing


def run(app: CeleriacApp, found: Scheduled, idempotency_key: str | None) -> Submission:
    """Submit a schedule's task now, because somebody asks for it.

    Raises ``RefusedError`` and what ``submit`` raises.
    """
    own_id, key = found.schedule_id, idempotency_key
    submitted = submit_task(app, found, None if key is None else f"schedule {own_id} run {key}")
    task_id = submitted.record.task_id
    # The task's own time, so that a repetition notes the same entry.
    moment = clock.now() if submitted.unique else submitted.record.created_at
    firing = Firing(
        scheduled_at=moment,
        fired_at=moment,
        outcome=Outcome.JOINED if submitted.unique else Outcome.FIRED,
        by_hand=True,
        task_id=task_id,
        last_task_id=task_id,
    )
    _note(app, found, firing)
    return submitted


def _not_there(tenant: str, own_id: str) -> None:
    """Remove from EventBridge what nobody has: a schedule whose making or deletion was cut off.

    Buried first, so that a request that is still making it fails instead of losing its firings.
    """
    if not tenant:
        log.warning("schedule %s fired, and the code declares it no longer", own_id)
        return
    with unavailable("DynamoDB"):
        buried = services().schedules.bury(tenant, own_id)
    if buried:
        log.warning("schedule %s fired, and is not there: it is removed", own_id)
        with unavailable("EventBridge Scheduler"):
            services().event_bridge.delete(own_id)


def _unfinished(task_id: str | None) -> TaskRecord | None:
    """The task, if it hasn't ended."""
    record = _record(task_id)
    return None if record is None or record.terminal else record


def _was_cancelled(task_id: str | None) -> bool:
    """Whether the task was cancelled, now or by a call for this time that was cut off."""
    record = _record(task_id)
    return record is not None and (
        record.cancel_requested_at is not None or record.state == states.REVOKED
    )


def _record(task_id: str | None) -> TaskRecord | None:
    if task_id is None:
        return None
    with unavailable("DynamoDB"):
        return services().records.get(task_id)


def _note(app: CeleriacApp, found: Scheduled, firing: Firing) -> bool:
    """Keep it for as long as a record is kept, counted from the next time; False if it was noted.

    The next firing looks for the last task, which may still wait or run by then.
    """
    now = clock.to_datetime(firing.fired_at)
    following = next(found.schedule.fire_times(now), now)
    needed_at = int(min(following, now + FURTHEST_DUE).timestamp() * 1000)
    expires_at = _seconds(needed_at + clock.millis(app.settings.record_ttl))
    with unavailable("DynamoDB"):
        return services().firings.note(found.tenant, found.schedule_id, firing, expires_at)


def _complete(found: Scheduled, firing: Firing) -> None:
    """Note a call that came while another one noted the same time."""
    if firing.task_id is not None:
        with unavailable("DynamoDB"):
            if services().firings.complete(found.tenant, found.schedule_id, firing):
                return
    _count_call(found, firing)


def _count_call(found: Scheduled, firing: Firing) -> None:
    with unavailable("DynamoDB"):
        services().firings.count_call(found.tenant, found.schedule_id, firing)


def _seconds(moment: Millis) -> int:
    return moment // 1000
