"""The days a report covers, and the steps it is divided into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from tasks.reports.parameters import Granularity
from tasks.shared.faults import Fault

# On a page, more bars than this can't be distinguished.
MOST_STEPS = 400
_DAY = timedelta(days=1)
_MONTHS = {Granularity.MONTH: 1, Granularity.QUARTER: 3, Granularity.YEAR: 12}


@dataclass(frozen=True, order=True)
class Step:
    """One step of a time axis, by its first day."""

    first: date
    granularity: Granularity

    @property
    def last(self) -> date:
        return next_step(self.first, self.granularity) - _DAY

    @property
    def key(self) -> str:
        """The name of a step among the figures: 2025-01-31, 2025-W05, 2025-01, 2025-Q1 or 2025."""
        if self.granularity is Granularity.DAY:
            return self.first.isoformat()
        if self.granularity is Granularity.WEEK:
            year, week, _ = self.first.isocalendar()
            return f"{year}-W{week:02}"
        if self.granularity is Granularity.MONTH:
            return f"{self.first:%Y-%m}"
        if self.granularity is Granularity.QUARTER:
            return f"{self.first.year}-Q{(self.first.month + 2) // 3}"
        return str(self.first.year)


@dataclass(frozen=True)
class Span:
    """Days from ``first`` to ``last``, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def previous(self) -> Span:
        """The span just before: as many whole months if this one is whole months, else days."""
        last = self.first - _DAY
        if self.first.day == 1 and (self.last + _DAY).day == 1:
            months = _month_number(self.last) - _month_number(self.first) + 1
            return Span(_add_months(self.first, -months), last)
        return Span(self.first - timedelta(days=self.days), last)

    def steps(self, granularity: Granularity) -> list[Step]:
        """The steps that the span touches.

        Raises:
            PermanentError: ``too-many-periods``.
        """
        steps = []
        first = start_of_step(self.first, granularity)
        while first <= self.last:
            steps.append(Step(first, granularity))
            if len(steps) > MOST_STEPS:
                raise Fault.TOO_MANY_PERIODS.error(
                    f"The span from {self.first} to {self.last} has more than {MOST_STEPS} steps "
                    f"of a {granularity.value}."
                )
            first = next_step(first, granularity)
        return steps

    def cuts_a_step(self, granularity: Granularity) -> bool:
        """Whether the first or the last step is only partly inside the span."""
        steps = self.steps(granularity)
        return steps[0].first != self.first or steps[-1].last != self.last


def start_of_step(day: date, granularity: Granularity) -> date:
    """The first day of the step that a day is in, as with DuckDB's ``date_trunc``."""
    if granularity is Granularity.DAY:
        return day
    if granularity is Granularity.WEEK:
        return day - timedelta(days=day.weekday())
    length = _MONTHS[granularity]
    return _add_months(day.replace(day=1), -((day.month - 1) % length))


def next_step(step: date, granularity: Granularity) -> date:
    """The first day of the step after the one that begins on ``step``."""
    if granularity is Granularity.DAY:
        return step + _DAY
    if granularity is Granularity.WEEK:
        return step + timedelta(days=7)
    return _add_months(step, _MONTHS[granularity])


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1


def _add_months(first_of_month: date, months: int) -> date:
    year, month = divmod(_month_number(first_of_month) + months, 12)
    return date(year, month + 1, 1)
