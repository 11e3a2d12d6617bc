"""A schedule that a caller made, and its item in the table.

Another version may have written an item, and an item may be damaged: one that isn't exactly a
schedule is refused, so that nothing fires by a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac import clock
from celeriac.clock import Millis
from celeriac.contract import Schedule
from celeriac.contract.places import short
from celeriac.errors import CeleriacError
from celeriac.topology import SCHEDULES_OF


class ScheduleUnreadableError(CeleriacError):
    """What is kept of a schedule is damaged, or a newer version wrote it."""

    def __init__(self, tenant: str, schedule_id: str, why: Exception) -> None:
        super().__init__(
            f"The schedule {schedule_id!r} of the tenant {tenant!r} can't be read "
            f"({type(why).__name__}: {why}). Deploy the version that wrote it, or delete it."
        )
        self.tenant = tenant
        self.schedule_id = schedule_id


@dataclass(frozen=True, kw_only=True)
class KeptSchedule:
    """A schedule that a caller made. Each edit and each pause raises ``version``."""

    schedule_id: str
    tenant: str
    type: str
    schedule: Schedule
    created_at: Millis
    tags: tuple[str, ...] = ()
    paused: bool = False
    version: int = 1
    #: Whether EventBridge is known to fire by this version's times.
    settled: bool = True
    #: Of the request that made it, if that had an idempotency key.
    fingerprint: str | None = None
    #: When its item is removed, in seconds since 1970: some time after its last firing.
    expires_at: int | None = None


def with_expiry(kept: KeptSchedule, ttl: timedelta) -> KeptSchedule:
    """The schedule with the time at which its item may go, if it has a last firing."""
    when = kept.schedule.when
    last = when if isinstance(when, datetime) else kept.schedule.end
    return replace(kept, expires_at=None if last is None else int((last + ttl).timestamp()))


def key_of(tenant: str, schedule_id: str) -> dict[str, str]:
    return {"pk": f"{SCHEDULES_OF}{tenant}", "sk": schedule_id}


def item_of(kept: KeptSchedule) -> dict[str, Any]:
    schedule = kept.schedule
    when: str | int = 0
    match schedule.when:
        case str(text):
            when = text
        case timedelta() as interval:
            when = clock.millis(interval)
        case moment:
            when = _millis(moment)
    return {
        **key_of(kept.tenant, kept.schedule_id),
        "type": kept.type,
        "kind": schedule.kind,
        "when": when,
        "timezone": schedule.timezone,
        "start": None if schedule.start is None else _millis(schedule.start),
        "end": None if schedule.end is None else _millis(schedule.end),
        "overlap": schedule.overlap,
        "priority": schedule.priority,
        "payload": json.dumps(dict(schedule.payload)),
        "tags": list(kept.tags),
        "paused": kept.paused,
        "created_at": kept.created_at,
        "version": kept.version,
        "settled": kept.settled,
        "fingerprint": kept.fingerprint,
        "expires_at": kept.expires_at,
    }


def kept_of(item: dict[str, Any]) -> KeptSchedule:
    """The schedule of an item. Raises ``ScheduleUnreadableError``."""
    tenant, schedule_id = item["pk"].removeprefix(SCHEDULES_OF), item["sk"]
    try:
        return KeptSchedule(
            schedule_id=schedule_id,
            tenant=tenant,
            type=_value(item, "type", str),
            schedule=Schedule(
                when=_when(item),
                timezone=item["timezone"],
                start=_moment(item.get("start")),
                end=_moment(item.get("end")),
                overlap=item["overlap"],
                priority=item.get("priority"),
                payload=json.loads(item["payload"]),
            ),
            created_at=_millis(clock.to_datetime(_value(item, "created_at", int))),
            tags=tuple(_value({"tags": each}, "tags", str) for each in _value(item, "tags", list)),
            paused=_value(item, "paused", bool),
            version=_value(item, "version", int),
            settled=item.get("settled", True),
            fingerprint=item.get("fingerprint"),
            expires_at=item.get("expires_at"),
        )
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise ScheduleUnreadableError(tenant, schedule_id, error) from error


def _value(item: Mapping[str, Any], name: str, kind: type) -> Any:
    """An attribute. Raises ``KeyError``, and ``TypeError`` for one of another kind."""
    if type(item[name]) is not kind:
        raise TypeError(f"{name} is {short(item[name])}")
    return item[name]


def _when(item: Mapping[str, Any]) -> str | timedelta | datetime:
    match item["kind"]:
        case "cron":
            return str(_value(item, "when", str))
        case "rate":
            return timedelta(milliseconds=_value(item, "when", int))
        case "at":
            return clock.to_datetime(_value(item, "when", int))
    raise ValueError(f"kind is {short(item['kind'])}")


def _millis(moment: datetime) -> Millis:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _moment(millis: Millis | None) -> datetime | None:
    return None if millis is None else clock.to_datetime(millis)
