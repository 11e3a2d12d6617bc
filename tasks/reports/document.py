"""A report as data. The PDF, the workbook and the JSON are three renderings of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from tasks.reports.period import Span, Step

Unit = Literal["money", "count", "number", "share", "text", "step"]
"""The way to write a value. A share of 0.25 is 25 %."""

Value = Decimal | int | float | str | Step | None
Plain = int | float | str | None


@dataclass(frozen=True)
class KeyFigure:
    """A headline number. ``growth`` is its change since the period before, as a share."""

    name: str
    label: str
    value: Value
    unit: Unit
    growth: Decimal | None = None


@dataclass(frozen=True)
class Column:
    name: str
    label: str
    unit: Unit
    shaded: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of values, each as long as ``columns``."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]


@dataclass(frozen=True)
class Series:
    label: str
    values: Sequence[Value]


@dataclass(frozen=True)
class Chart:
    """``columns`` stand side by side over time. ``bars`` lie below each other, one a name."""

    kind: Literal["columns", "bars"]
    categories: Sequence[Value]
    series: Sequence[Series]
    unit: Unit


@dataclass(frozen=True)
class Section:
    """Part of a report. ``name`` is its key among the figures, in any language."""

    name: str
    title: str
    table: Table
    chart: Chart | None = None
    note: str | None = None
    # False for a second view of numbers that another section shows on paper.
    on_paper: bool = True


@dataclass(frozen=True, kw_only=True)
class Report:
    title: str
    span: Span | None
    currency: str | None
    rows: int
    key_figures: Sequence[KeyFigure]
    sections: Sequence[Section]
    notes: Sequence[str]
    # The text that replaces the figures if no row of the file is in the period.
    nothing: str | None
    # The rows of the file that lack a required value, and the numbers of the first of them.
    left_out: int = 0
    left_out_rows: Sequence[int] = ()
    # Cells whose formula no program has computed.
    uncomputed: int = 0

    def figures(self) -> dict[str, Plain | list[dict[str, Plain]]]:
        """The numbers by name, ready for JSON: shares as fractions, steps as 2025-01."""
        figures: dict[str, Plain | list[dict[str, Plain]]] = {
            "rows": self.rows,
            "period_from": self.span.first.isoformat() if self.span else None,
            "period_to": self.span.last.isoformat() if self.span else None,
            "currency": self.currency,
        }
        for each in self.key_figures:
            figures[each.name] = plain(each.value, each.unit)
            if each.growth is not None:
                figures[f"{each.name}_growth"] = plain(each.growth, "share")
        for section in self.sections:
            figures[section.name] = [
                {
                    column.name: plain(value, column.unit)
                    for column, value in zip(section.table.columns, row, strict=True)
                }
                for row in section.table.rows
            ]
        return figures


Content = tuple[list[KeyFigure], list[Section], list[str]]
"""The content from a report type: key figures, sections and notes."""


def plain(value: Value, unit: Unit) -> Plain:
    """A value for JSON and for a workbook's cell."""
    if isinstance(value, Step):
        return value.key
    if isinstance(value, Decimal):
        return int(value) if unit == "count" else float(value)
    return value


def ratio(part: Value, whole: Value) -> Decimal | None:
    """``part / whole`` to six places, or None where it has no meaning."""
    if part is None or whole is None or not isinstance(part, int | Decimal):
        return None
    if not isinstance(whole, int | Decimal) or whole == 0:
        return None
    exact = Decimal(part) / Decimal(whole)
    return exact.quantize(Decimal("0.000001"), rounding=ROUND_HALF_EVEN)


def growth(now: Value, before: Value) -> Decimal | None:
    """The change since before, as a share of what was before; None if that was zero or less.

    No percentage describes the growth from a loss to a profit.
    """
    if not isinstance(before, int | Decimal) or before <= 0 or not isinstance(now, int | Decimal):
        return None
    return ratio(Decimal(now) - Decimal(before), before)
