"""A report on paper: Typst sets it, from a template that is ours and values that are only data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.reports.charts import drawing
from tasks.reports.document import Column, KeyFigure, Report, Section, Value
from tasks.reports.formats import Formats, clean
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
    (workdir / "typst").mkdir(exist_ok=True)
    return typst.compile(
        (HERE / "template.typ").read_bytes(),
        root=workdir / "typst",
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
        "change": None if change is None else formats.share(change, signed=True),
        "since": labels("since_before"),
    }


def _section(section: Section, formats: Formats) -> dict[str, Any]:
    table = section.table
    return {
        "title": section.title,
        "note": section.note,
        "chart": drawing(section.chart, formats) if section.chart and table.rows else None,
        "landscape": len(table.columns) > MOST_UPRIGHT,
        "columns": [_column(each, formats) for each in table.columns],
        "rows": [_cells(table.columns, row, formats) for row in table.rows],
    }


def _column(column: Column, formats: Formats) -> dict[str, Any]:
    sign = formats.currency_sign if column.unit == "money" else ""
    return {
        "label": clean(column.label) + (f", {sign}" if sign else ""),
        "text": column.unit in ("text", "step"),
        "narrow": column.shaded or column.unit == "step",
    }


def _cells(columns: Sequence[Column], row: Sequence[Value], formats: Formats) -> list[Any]:
    return [
        {
            "text": formats.value(value, column.unit),
            "shade": float(value) if column.shaded and value is not None else 0,  # type: ignore[arg-type]
        }
        for column, value in zip(columns, row, strict=True)
    ]
