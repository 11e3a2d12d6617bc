"""A report on paper: Typst sets it, from a template that is ours and values that are only data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks.reports.charts import drawing
from tasks.reports.document import Column, KeyFigure, Report, Section, Value
from tasks.reports.formats import NO_BREAK_SPACE, Formats, clean, places_shown
from tasks.reports.labels import Labels
from tasks.reports.parameters import Language

HERE = Path(__file__).parent
# A table of more columns than this lies on its side.
MOST_UPRIGHT = 7


@dataclass(frozen=True, kw_only=True)
class Imprint:
    """Who asked for a report, when it was made, and in which language it is."""

    language: Language
    made_for: str
    made_at: datetime


def to_pdf(report: Report, imprint: Imprint, workdir: Path) -> bytes:
    """Set a report as tagged PDF. Typst may read nothing but the template and the fonts."""
    import typst

    content = _content(report, imprint)
    room = workdir / "typst"
    room.mkdir(exist_ok=True)
    template = room / "template.typ"
    shutil.copyfile(HERE / template.name, template)
    return typst.compile(
        template,
        root=room,
        font_paths=[HERE / "fonts"],
        ignore_system_fonts=True,
        format="pdf",
        # Every text in it is a string to the template, so none of it can be markup.
        sys_inputs={"report": json.dumps(content)},
        timestamp=imprint.made_at,
    )


def _content(report: Report, imprint: Imprint) -> dict[str, Any]:
    labels = Labels(imprint.language)
    formats = Formats(imprint.language, report.currency)
    made = labels("generated", when=f"{formats.moment(imprint.made_at)} UTC")
    return {
        "language": imprint.language.value,
        "title": clean(report.title),
        "period": period_line(report, labels, formats),
        "imprint": f"{made} {labels('for', who=clean(imprint.made_for))}",
        "page": labels("page", page="{page}", pages="{pages}"),
        "landscape": any(_is_wide(each) for each in report.sections),
        "nothing": report.nothing,
        "nothing_title": labels("empty_title"),
        "cards": [_card(each, labels, formats) for each in report.key_figures],
        "sections": [_section(each, formats) for each in report.sections if each.on_paper],
        "notes_title": labels("notes"),
        "notes": list(report.notes),
    }


def period_line(report: Report, labels: Labels, formats: Formats) -> str:
    """The days that a report covers, in words."""
    return formats.span(report.span) if report.span else labels("whole_file")


def _card(figure: KeyFigure, labels: Labels, formats: Formats) -> dict[str, Any]:
    change = figure.growth
    return {
        "label": clean(figure.label),
        "value": formats.headline(figure.value, figure.unit),
        "change": None if change is None else _arrow(change) + formats.share(change, signed=True),
        "since": labels("since_before"),
    }


def _arrow(change: Decimal) -> str:
    return "▲ " if change > 0 else "▼ " if change < 0 else ""


def _section(section: Section, formats: Formats) -> dict[str, Any]:
    table = section.table
    writers = [
        _writer(column, [row[index] for row in table.rows], formats)
        for index, column in enumerate(table.columns)
    ]
    return {
        "title": section.title,
        "note": section.note,
        "chart": drawing(section.chart, formats) if section.chart and table.rows else None,
        "columns": [_column(each, formats) for each in table.columns],
        "rows": [
            [
                {"text": write(value), "shade": _shade(column, value)}
                for column, write, value in zip(table.columns, writers, row, strict=True)
            ]
            for row in table.rows
        ],
    }


def _writer(column: Column, values: Sequence[Value], formats: Formats) -> Callable[[Value], str]:
    """How a column's cells are written: numbers of one column to the same place."""
    if column.shaded:
        return lambda value: formats.value(value, column.unit, places=0)
    if column.unit != "number":
        return lambda value: formats.value(value, column.unit)
    places = max((places_shown(value) for value in values), default=0)
    return lambda value: formats.value(value, column.unit, places=places)


def _shade(column: Column, value: Value) -> float:
    return float(value) if column.shaded and isinstance(value, Decimal) else 0.0


def _is_wide(section: Section) -> bool:
    full = [column for column in section.table.columns if not column.shaded]
    return len(full) > MOST_UPRIGHT


def _column(column: Column, formats: Formats) -> dict[str, Any]:
    sign = formats.currency_sign if column.unit == "money" else ""
    return {
        "label": clean(column.label) + (f",{NO_BREAK_SPACE}{sign}" if sign else ""),
        "text": column.unit in ("text", "step"),
        "narrow": column.shaded or column.unit == "step",
    }
