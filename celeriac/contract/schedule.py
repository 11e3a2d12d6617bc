"""When a task type runs by itself.

    @task(schedule=Schedule.cron("0 6 * * MON-FRI", timezone="Europe/Moscow"))
    def send_digest(payload: SendDigest, context: TaskContext) -> SentDigest: ...

EventBridge Scheduler fires schedules, so a schedule says only what that can say exactly.
docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from celeriac.contract import cron, rates, zones
from celeriac.contract.errors import ScheduleError
from celeriac.contract.places import short
from celeriac.contract.queues import HIGH, Priority
from celeriac.contract.rates import LONGEST_RATE, MINUTE

Overlap = Literal["allow", "skip", "cancel"]

__all__ = ["LONGEST_RATE", "MINUTE", "Overlap", "Schedule", "ScheduleError"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a task runs, and with which payload. Make one with ``cron``, ``rate`` or ``at``.

    ``start`` and ``end`` bound the times, both included. A time without an offset is one of
    ``timezone``; all are kept in UTC and in whole seconds: ``start`` is rounded up, ``end`` down.
    ``overlap`` says what to do if the last task of this schedule hasn't ended: run both
    (``allow``), none (``skip``), or cancel that one (``cancel``). A task of ``priority`` ``high``
    goes before the ``normal`` ones of its queue; unless given, Celery's ``task_default_priority``
    decides.

    Raises:
        ScheduleError: a ``ValueError`` that names the fault and the fix.
    """

    #: A cron expression, an interval, or the one time (UTC).
    when: str | timedelta | datetime
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    overlap: Overlap = "allow"
    priority: Priority | None = None
    payload: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def cron(
        cls,
        expression: str,
        *,
        timezone: str = "UTC",
        start: datetime | None = None,
        end: datetime | None = None,
        overlap: Overlap = "allow",
        priority: Priority | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """At the times of a cron expression of five fields, by the clock of a time zone.

        A time that the clock skips in spring is skipped. One that it shows twice in autumn counts
        once.
        """
        given: object = expression
        if not isinstance(given, str):
            raise _no_cron(given)
        return cls(
            when=expression,
            timezone=timezone,
            start=start,
            end=end,
            overlap=overlap,
            priority=priority,
            payload={} if payload is None else payload,
        )

    @classmethod
    def rate(
        cls,
        interval: timedelta,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        overlap: Overlap = "allow",
        priority: Priority | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """Each time an interval of whole minutes has passed, counted from ``start``.

        No change of a clock affects it: a day is 24 hours.
        """
        given: object = interval
        if not isinstance(given, timedelta):
            raise ScheduleError(
                "rate",
                f"rate {short(given)} is not a timedelta",
                "Write Schedule.rate(timedelta(minutes=5))",
            )
        return cls(
            when=interval,
            start=start,
            end=end,
            overlap=overlap,
            priority=priority,
            payload={} if payload is None else payload,
        )

    @classmethod
    def at(
        cls,
        moment: datetime,
        *,
        timezone: str = "UTC",
        priority: Priority | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """Once. A fraction of a second is rounded up. The schedule's own time zone is UTC."""
        given: object = moment
        if not isinstance(given, datetime):
            raise ScheduleError(
                "at",
                f"at {short(given)} is not a datetime",
                "Write Schedule.at(datetime(2027, 1, 31, 12, 0), timezone='Europe/Moscow')",
            )
        return cls(
            when=moment,
            timezone=timezone,
            priority=priority,
            payload={} if payload is None else payload,
        )

    def __post_init__(self) -> None:
        zone = zones.zone(self.timezone)
        for name in ("start", "end"):
            moment: object = getattr(self, name)
            if moment is not None:
                exact = zones.in_utc(name, moment, zone)
                whole = _rounded_up(exact) if name == "start" else exact.replace(microsecond=0)
                object.__setattr__(self, name, whole)
        when: object = self.when
        match when:
            case str():
                self._check_cron(when)
            case timedelta():
                rates.check(when)
            case datetime():
                object.__setattr__(self, "when", _rounded_up(zones.in_utc("at", when, zone)))
                # Where no time comes twice.
                object.__setattr__(self, "timezone", "UTC")
            case _:
                raise _no_cron(when)
        if self.overlap not in get_args(Overlap):
            raise ScheduleError(
                "overlap",
                f"overlap {short(self.overlap)} is none of {', '.join(get_args(Overlap))}",
                "Write overlap='skip' to run none while the last one runs",
            )
        if self.priority not in (None, *get_args(Priority)):
            raise ScheduleError(
                "priority",
                f"priority {short(self.priority)} is none of {', '.join(get_args(Priority))}",
                f"Write priority={HIGH!r} for tasks that go before others",
            )
        given: object = self.payload
        if not isinstance(given, Mapping):
            raise ScheduleError(
                "payload", f"payload {short(given)} is no mapping", "Write payload={'days': 7}"
            )
        self._check_bounds()

    @property
    def kind(self) -> Literal["cron", "rate", "at"]:
        """Which of the three it is."""
        match self.when:
            case str():
                return "cron"
            case timedelta():
                return "rate"
        return "at"

    @property
    def expression(self) -> str:
        """AWS's expression, read in ``timezone``: ``cron(…)``, ``rate(…)`` or ``at(…)``."""
        match self.when:
            case str(text):
                return cron.expression(text)
            case timedelta() as interval:
                return rates.expression(interval)
            case moment:
                return f"at({moment.replace(tzinfo=None).isoformat(timespec='seconds')})"

    def fire_times(self, after: datetime) -> Iterator[datetime]:
        """The times (UTC) strictly after an aware time, as AWS documents them.

        A rate without ``start`` is counted from ``after``, since AWS counts it from its creation.
        """
        after = after.astimezone(UTC)
        for moment in self._unbounded(after):
            if moment > (self.end or zones.BEYOND):
                return
            if moment > after and (self.start is None or moment >= self.start):
                yield moment

    def fires_at(self, moment: datetime) -> bool:
        """Whether this aware time is one of its times."""
        return next(self.fire_times(moment - MINUTE), None) == moment

    def _unbounded(self, after: datetime) -> Iterator[datetime]:
        """Times from about ``after`` or ``start`` on."""
        match self.when:
            case str(text):
                return self._by_the_clock(text, after)
            case timedelta() as interval:
                return rates.times(interval, after, self.start)
            case moment:
                return iter((moment,))

    def _by_the_clock(self, text: str, after: datetime) -> Iterator[datetime]:
        """Times of a clock that is put forward and back.

        gap      01:59 → 03:00            02:30 never comes: skipped
        overlap  01:30 … 01:59 → 01:00 … 01:30    01:30 comes twice: the first counts
        """
        zone = ZoneInfo(self.timezone)
        if self.start is not None:
            after = max(after, self.start - timedelta(seconds=1))
        for wall in cron.wall_times(text, after.astimezone(zone).replace(tzinfo=None, fold=0)):
            moment = wall.replace(tzinfo=zone).astimezone(UTC)
            if moment.astimezone(zone).replace(tzinfo=None) == wall:
                yield moment

    def _check_cron(self, text: str) -> None:
        try:
            cron.check(text)
        except cron.CronError as error:
            raise ScheduleError("cron", error.fault, error.fix) from None

    def _check_bounds(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ScheduleError(
                "end",
                f"start {self.start.isoformat()} is not before end {self.end.isoformat()}",
                "Give an end after the start",
            )
        if self.kind == "at" and (self.start or self.end):
            raise ScheduleError(
                "start" if self.start else "end",
                "a schedule at one time has no start or end",
                "Leave them out",
            )
        if self.end is not None and not any(self.fire_times((self.start or zones.FIRST) - MINUTE)):
            raise ScheduleError(
                "end",
                f"no time of this schedule is before its end {self.end.isoformat()}",
                "Give a later end",
            )


def _rounded_up(moment: datetime) -> datetime:
    """In whole seconds, which are all that EventBridge Scheduler knows."""
    return (moment + timedelta(microseconds=999_999)).replace(microsecond=0)


def _no_cron(value: object) -> ScheduleError:
    return ScheduleError(
        "cron",
        f"cron {short(value)} is not a string",
        "Write Schedule.cron('0 6 * * MON-FRI')",
    )
