"""What a schedule must be to be kept: a payload that its type takes, times to come, and room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from celeriac import clock
from celeriac.app.factory import CeleriacApp
from celeriac.contract import Schedule
from celeriac.contract.schedule import ScheduleError
from celeriac.errors import QuotaExceededError, unavailable
from celeriac.storage.services import services

#: A schedule that has ended makes room some days later; one that is deleted, at once.
_TRY_AGAIN = timedelta(minutes=1)
#: A schedule's payload is in its item, which is read at each firing.
LARGEST_PAYLOAD = 64 * 1024


def with_payload(
    app: CeleriacApp,
    type_name: str,
    schedule: Schedule,
    payload: BaseModel | Mapping[str, Any] | None,
) -> Schedule:
    """The schedule with its payload, which was checked."""
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
    return replace(schedule, payload=content)


def from_now(schedule: Schedule) -> Schedule:
    """The schedule as it is kept: with a rate's start. Raises ``ScheduleError`` if it is over."""
    now = clock.to_datetime(clock.now())
    if isinstance(schedule.when, timedelta) and schedule.start is None:
        # AWS would fire it at once, and again at once after each edit.
        schedule = replace(schedule, start=now.replace(microsecond=0) + schedule.when)
    if not any(schedule.fire_times(now)):
        name, when = ("at", schedule.when) if schedule.kind == "at" else ("end", schedule.end)
        raise ScheduleError(
            name,
            f"{name} {when.isoformat() if isinstance(when, datetime) else when} is in the past",
            f"Give a time after {now.isoformat(timespec='seconds')}",
        )
    return schedule


def admit(app: CeleriacApp, tenant: str) -> None:
    """Refuse a schedule over ``schedules_per_tenant``.

    Requests at the same time may exceed it, by as many as they are.
    """
    limit = app.settings.schedules_per_tenant
    with unavailable("DynamoDB"):
        if services().schedules.count(tenant) < limit:
            return
    raise QuotaExceededError(
        "schedules_per_tenant",
        limit,
        f"The tenant {tenant!r} has {limit:,} schedules, as many as it may have. Delete some.",
        _TRY_AGAIN,
    )
