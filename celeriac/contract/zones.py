"""Time zones, and what their clocks show."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from celeriac.contract.errors import ScheduleError
from celeriac.contract.places import short

#: Folders and files of the time zone database that are no zones of IANA.
_NO_ZONES = ("posix", "right", "localtime", "posixrules", "Factory")
#: AWS's cron knows the years 1970 to 2199.
FIRST = datetime(1970, 1, 2, tzinfo=UTC)
BEYOND = datetime(2199, 12, 31, tzinfo=UTC)


def zone(name: object) -> ZoneInfo:
    """The time zone of this IANA name. Raises ``ScheduleError`` with near names."""
    if isinstance(name, str) and name.partition("/")[0] not in _NO_ZONES:
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            pass  # unknown; a path out of the database; a folder of it
    near = _near(name) if isinstance(name, str) else ()
    raise ScheduleError(
        "timezone",
        f"there is no time zone {short(name)}",
        f"Did you mean {' or '.join(near)}"
        if near
        else "Use an IANA name, such as 'Europe/Moscow'",
        near,
    )


def _near(name: str) -> tuple[str, ...]:
    """Similar names; a city finds its zone."""
    wanted = name[:100].lower().replace(" ", "_")
    zones = sorted(available_timezones() - set(_NO_ZONES))
    spelled = {each.lower(): each for each in zones}
    cities = {each.lower().rpartition("/")[2]: each for each in zones}
    found = [
        *([spelled[wanted]] if wanted in spelled else ()),
        *(spelled[each] for each in difflib.get_close_matches(wanted, spelled, n=3)),
        *(
            cities[each]
            for each in difflib.get_close_matches(wanted.rpartition("/")[2], cities, n=3)
        ),
    ]
    return tuple(dict.fromkeys(found))[:3]


def in_utc(name: str, moment: object, zone: ZoneInfo) -> datetime:
    """A time in UTC. One without an offset is of the zone's clock, which may never show it."""
    if not isinstance(moment, datetime):
        raise ScheduleError(
            name, f"{name} {short(moment)} is not a datetime", "Write datetime(2027, 1, 31, 12, 0)"
        )
    if not FIRST.year <= moment.year < BEYOND.year:
        raise ScheduleError(
            name,
            f"{name} {moment.isoformat()} is out of range",
            f"Give a time from {FIRST.year} to {BEYOND.year - 1}",
        )
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    found = moment.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None, fold=0) != moment.replace(fold=0):
        raise ScheduleError(
            name,
            f"{name} {moment.isoformat()} never comes in {zone.key}, whose clock skips it",
            f"Give another time, such as {found.astimezone(zone).replace(tzinfo=None).isoformat()}",
        )
    return found
