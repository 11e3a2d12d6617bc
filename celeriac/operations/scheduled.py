"""A schedule as callers see it and as it fires, whether code declares it or a caller made it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from celeriac import clock
from celeriac.app.declared import declared
from celeriac.app.declared_schedule import DeclaredSchedule
from celeriac.app.factory import CeleriacApp
from celeriac.contract import Schedule
from celeriac.errors import CeleriacError, IdempotencyConflictError, unavailable
from celeriac.storage.schedule_items import KeptSchedule
from celeriac.storage.services import services


class ScheduleNotFoundError(CeleriacError):
    """This tenant has no such schedule."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"There is no schedule {schedule_id!r}.")
        self.schedule_id = schedule_id


class DeclaredScheduleError(CeleriacError):
    """A schedule is declared in code, and can be changed only there."""

    def __init__(self, schedule_id: str, where: str) -> None:
        super().__init__(
            f"The schedule {schedule_id!r} is declared at {where}. Change it there and deploy, or "
            "pause it."
        )
        self.schedule_id = schedule_id
        self.where = where


class ScheduleDeletedError(IdempotencyConflictError):
    """The schedule that the idempotency key made is deleted."""

    def __init__(self, key: str) -> None:
        CeleriacError.__init__(
            self,
            f"The schedule that a request with the Idempotency-Key {key!r} made is deleted. "
            "Use a new key for a new one.",
        )
        self.key = key


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A schedule, and the task type that it submits. ``code`` is its declaration, if it has one.

    ``replayed`` means that it had been made before, under the same idempotency key. One that isn't
    ``settled`` is being edited: EventBridge may fire by its times before.
    """

    schedule_id: str
    tenant: str
    type: str
    schedule: Schedule
    tags: tuple[str, ...] = ()
    paused: bool = False
    created_at: datetime | None = None
    code: DeclaredSchedule | None = None
    replayed: bool = False
    settled: bool = True

    @classmethod
    def of_kept(cls, kept: KeptSchedule, *, replayed: bool = False) -> Scheduled:
        """One that a caller made."""
        return cls(
            schedule_id=kept.schedule_id,
            tenant=kept.tenant,
            type=kept.type,
            schedule=kept.schedule,
            tags=kept.tags,
            paused=kept.paused,
            created_at=clock.to_datetime(kept.created_at),
            replayed=replayed,
            settled=kept.settled,
        )

    @classmethod
    def of_code(cls, code: DeclaredSchedule, tenant: str, *, paused: bool) -> Scheduled:
        """One that code declares."""
        return cls(
            schedule_id=code.schedule_id,
            tenant=tenant,
            type=code.type,
            schedule=code.schedule,
            paused=paused,
            code=code,
        )


def find(app: CeleriacApp, tenant: str, schedule_id: str) -> Scheduled | None:
    """A tenant's schedule. The deployment's own tenant has those that code declares.

    Raises ``UnavailableError``.
    """
    code = None
    if tenant == app.settings.tenant:
        code = next((each for each in declared(app) if each.schedule_id == schedule_id), None)
    with unavailable("DynamoDB"):
        if code is not None:
            paused = services().schedules.paused(tenant, schedule_id)
            return Scheduled.of_code(code, tenant, paused=paused)
        kept = services().schedules.get(tenant, schedule_id)
    return None if kept is None else Scheduled.of_kept(kept)
