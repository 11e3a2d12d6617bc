"""A report as an XLSX workbook: a summary, and a sheet for each table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reports.document import Report, Section, Unit, Value, plain
from tasks.reports.labels import Labels
from tasks.reports.locale import Formats
from tasks.reports.parameters import Language
from tasks.reports.pdf import period_line

if TYPE_CHECKING:
    import xlsxwriter
    import xlsxwriter.worksheet

_NUMBER_FORMATS: dict[Unit, str] = {
    "money": "#,##0.00",
    "count": "#,##0",
    "number": "#,##0.######",
    "share": "0.0%",
}
# Spreadsheet programs read these as the beginning of a formula.
_FORMULA_MARKS = ("=", "+", "-", "@")
LONGEST_CELL = 32_767


def to_workbook(report: Report, language: Language, path: Path) -> None:
    """Write a report's numbers to ``path``. Text stays text, even if it looks like a formula."""
    import xlsxwriter

    labels = Labels(language)
    book = xlsxwriter.Workbook(path, {"constant_memory": False})
    try:
        book.set_properties({"title": report.title})
        writer = _Writer(book, Formats(language, report.currency))
        writer.summary(report, labels)
        for section in report.sections:
            writer.section(section)
    finally:
        book.close()


class _Writer:
    def __init__(self, book: xlsxwriter.Workbook, formats: Formats) -> None:
        self._book = book
        self._formats = formats
        self._bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        self._title = book.add_format({"bold": True, "font_size": 16})
        # After an edit of the cell, Excel treats it as if typed with an apostrophe: as text.
        self._literal = book.add_format({"quote_prefix": True})
        self._numbers = {
            unit: book.add_format({"num_format": pattern})
            for unit, pattern in _NUMBER_FORMATS.items()
        }

    def summary(self, report: Report, labels: Labels) -> None:
        sheet = self._book.add_worksheet(labels("summary"))
        sheet.set_column(0, 0, 34)
        sheet.set_column(1, 1, 22)
        sheet.set_column(2, 2, 12)
        self._text(sheet, 0, 0, report.title, self._title)
        self._text(sheet, 1, 0, period_line(report, labels, self._formats))
        row = 3
        if report.nothing:
            self._text(sheet, row, 0, labels("empty_title"), self._bold)
            self._text(sheet, row + 1, 0, report.nothing)
            row += 3
        sheet.write_string(row, 0, labels("key_figures"), self._bold)
        sheet.write_string(row, 1, report.currency or "", self._bold)
        sheet.write_string(row, 2, labels("growth"), self._bold)
        for figure in report.key_figures:
            row += 1
            self._text(sheet, row, 0, figure.label)
            self._cell(sheet, row, 1, figure.value, figure.unit)
            self._cell(sheet, row, 2, figure.growth, "share")
        row += 1
        for note in report.notes:
            row += 1
            self._text(sheet, row, 0, note)

    def section(self, section: Section) -> None:
        sheet = self._book.add_worksheet(section.title[:31])
        table = section.table
        for index, column in enumerate(table.columns):
            self._text(sheet, 0, index, column.label, self._bold)
            texts = [len(self._formats.value(row[index], column.unit)) for row in table.rows]
            sheet.set_column(index, index, min(50, max([12, *texts]) + 2))
        for number, values in enumerate(table.rows, 1):
            for index, (column, value) in enumerate(zip(table.columns, values, strict=True)):
                self._cell(sheet, number, index, value, column.unit)
        sheet.freeze_panes(1, 1)
        if table.rows:
            sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)

    def _cell(
        self, sheet: xlsxwriter.worksheet.Worksheet, row: int, column: int, value: Value, unit: Unit
    ) -> None:
        written = plain(value, unit)
        if written is None:
            return
        if isinstance(written, str):
            self._text(sheet, row, column, written)
        else:
            sheet.write_number(row, column, written, self._numbers.get(unit))

    def _text(
        self,
        sheet: xlsxwriter.worksheet.Worksheet,
        row: int,
        column: int,
        text: str,
        style: Any = None,
    ) -> None:
        if text.lstrip().startswith(_FORMULA_MARKS):
            style = style or self._literal
        sheet.write_string(row, column, text[:LONGEST_CELL], style)
