"""A report on paper. Typst sets it from our own template; values are only data."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks.reports.charts import drawing
from tasks.reports.document import Column, KeyFigure, Report, Section, Value
from tasks.reports.glyphs import MARK, folders, marked, unshown
from tasks.reports.labels import Labels
from tasks.reports.locale import (
    LONGEST_WORD,
    NO_BREAK_SPACE,
    Formats,
    clean,
    places_shown,
)
from tasks.reports.parameters import Language

HERE = Path(__file__).parent
# A table of more columns than this is set in landscape.
MOST_UPRIGHT = 7
# One of more columns is set smaller.
MOST_AT_FULL_SIZE = 9
# A table that would be smaller (pt) is set in landscape too.
SMALLEST_UPRIGHT = 6.5
# The width of a page between its margins (pt), and of a digit or a letter (of the size).
PAGE_UPRIGHT, PAGE_WIDE = 493, 739
CHARACTER_WIDTH = 0.64


@dataclass(frozen=True, kw_only=True)
class Imprint:
    """The reader of a report, the time it was made, and its language."""

    language: Language
    made_for: str
    made_at: datetime


def to_pdf(report: Report, imprint: Imprint, workdir: Path) -> bytes:
    """Set a report as tagged PDF. Typst may read the template and the fonts only."""
    import typst

    content = marked(_content(report, imprint))
    room = workdir / "typst"
    room.mkdir(exist_ok=True)
    template = room / "template.typ"
    shutil.copyfile(HERE / template.name, template)
    return typst.compile(
        template,
        root=room,
        font_paths=folders(),
        ignore_system_fonts=True,
        format="pdf",
        # Each text is a string to the template, so it can't be markup.
        sys_inputs={"report": json.dumps(content)},
        timestamp=imprint.made_at,
    )


def unshown_note(report: Report, imprint: Imprint) -> str | None:
    """A note for the reader if the page has characters that no font shows."""
    missing = sorted(unshown(_content(report, imprint)))
    if not missing:
        return None
    return Labels(imprint.language)("unshown", count=len(missing), mark=MARK)


def _content(report: Report, imprint: Imprint) -> dict[str, Any]:
    labels = Labels(imprint.language)
    formats = Formats(imprint.language, report.currency)
    sections = [_section(each, formats) for each in report.sections if each.on_paper]
    made = labels("generated", when=f"{formats.moment(imprint.made_at)} UTC")
    return {
        "language": imprint.language.value,
        "title": clean(report.title),
        "period": period_line(report, labels, formats),
        "imprint": f"{made} {labels('for', who=clean(imprint.made_for))}",
        "page": labels("page", page="{page}", pages="{pages}"),
        "landscape": any(each["is_wide"] for each in sections),
        "nothing": report.nothing,
        "nothing_title": labels("empty_title"),
        "cards": [_card(each, labels, formats) for each in report.key_figures],
        "sections": sections,
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
    rows = [[write(value) for write, value in zip(writers, row, strict=True)] for row in table.rows]
    columns = [_column(each, formats) for each in table.columns]
    for index, column in enumerate(columns):
        column["characters"] = _characters(column, [row[index] for row in rows])
    characters = [column["characters"] for column in columns]
    wide = _is_wide(section) or _size(characters, PAGE_UPRIGHT) < SMALLEST_UPRIGHT
    return {
        "title": section.title,
        "size": _size(characters, PAGE_WIDE if wide else PAGE_UPRIGHT),
        "is_wide": wide,
        "note": section.note,
        "chart": drawing(section.chart, formats) if section.chart and table.rows else None,
        "columns": columns,
        "rows": [
            [
                {"text": text, "shade": _shade(column, value)}
                for column, text, value in zip(table.columns, texts, row, strict=True)
            ]
            for texts, row in zip(rows, table.rows, strict=True)
        ],
    }


def _characters(column: dict[str, Any], texts: Sequence[str]) -> int:
    """The characters that a column must have room for. Numbers never wrap, names do."""
    longest = max(map(_longest_word, [*texts, column["label"]]), default=0)
    return min(longest, LONGEST_WORD) if column["text"] else max([longest, *map(len, texts)])


def _size(characters: Sequence[int], room: float) -> float:
    """The size (pt) at which columns of so many characters fit into the width of a page."""
    many = len(characters) > MOST_AT_FULL_SIZE
    padding = len(characters) * (2 * (3.5 if many else 6) + 1)
    return min(7.5 if many else 8.5, (room - padding) / (max(sum(characters), 1) * CHARACTER_WIDTH))


def _longest_word(text: str) -> int:
    return max(map(len, re.split(r"[ \u200b\n-]", text)), default=0)


def _writer(column: Column, values: Sequence[Value], formats: Formats) -> Callable[[Value], str]:
    """The texts of a column's cells: all its numbers have the same number of decimals."""
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
