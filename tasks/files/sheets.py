"""Writing an XLSX sheet row by row, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks.files import limits
from tasks.shared.faults import Fault

_BATCH = 1_000
# A cell's number is a double: 15 digits are exact, and more would change silently.
_EXACT = 10**15
# The first day that Excel can show.
_FIRST_YEAR = 1900


def write_sheet(
    path: Path,
    name: str,
    columns: Sequence[str],
    rows: int,
    fetch: Callable[[int], Sequence[Sequence[Any]]],
) -> None:
    """Write a workbook of one sheet to ``path``. ``fetch(n)`` returns the next rows, at most ``n``.

    Text stays text: a value that begins with ``=`` becomes no formula, and a URL no link. A value
    that a cell can't hold exactly (a long integer, a zoned time, infinity) is written as text.
    NaN is no value.

    Raises:
        PermanentError: ``too-many-rows``; or ``output-too-large``, as no cell's text is cut.
    """
    if rows >= limits.SHEET_ROWS or rows * len(columns) > limits.SHEET_CELLS:
        raise Fault.TOO_MANY_ROWS.error(
            f"{name!r} has {rows:,} rows of {len(columns):,} columns; a sheet may have "
            f"{limits.SHEET_ROWS - 1:,} rows and {limits.SHEET_CELLS:,} cells."
        )
    import xlsxwriter

    options = {
        "constant_memory": True,
        "tmpdir": str(path.parent),
        "strings_to_formulas": False,
        "strings_to_urls": False,
    }
    with xlsxwriter.Workbook(str(path), options) as book:
        formats = {
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            date: book.add_format({"num_format": "yyyy-mm-dd"}),
            clock: book.add_format({"num_format": "hh:mm:ss"}),
            timedelta: book.add_format({"num_format": "[h]:mm:ss"}),
        }
        sheet = book.add_worksheet("Data")
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for column, title in enumerate(columns):
            sheet.write_string(0, column, title, bold)
        number = 0
        while batch := fetch(_BATCH):
            for values in batch:
                number += 1
                for column, value in enumerate(values):
                    _write(sheet, number, column, value, formats)


def _write(sheet: Any, row: int, column: int, value: Any, formats: dict[type, Any]) -> None:
    match value:
        case None:
            return
        case float() if math.isnan(value):
            return
        case bool():
            sheet.write_boolean(row, column, value)
        case int() | Decimal() if -_EXACT < value < _EXACT and value == float(value):
            sheet.write_number(row, column, value)
        case float() if math.isfinite(value):
            sheet.write_number(row, column, _Whole(value))
        case datetime() | date() | clock() | timedelta() if _fits(value):
            sheet.write_datetime(row, column, value, formats[type(value)])
        case _:
            text = str(value)
            if len(text) > limits.SHEET_CELL_CHARACTERS:
                raise Fault.OUTPUT_TOO_LARGE.error(
                    f"Row {row:,} has a text of {len(text):,} characters; a cell holds "
                    f"{limits.SHEET_CELL_CHARACTERS:,}."
                )
            sheet.write_string(row, column, text)


class _Whole(float):
    """A double that XlsxWriter writes with all its digits, of which it writes 16 by itself."""

    def __format__(self, spec: str) -> str:
        return repr(float(self)).removesuffix(".0")


def _fits(value: date | clock | timedelta) -> bool:
    if isinstance(value, timedelta):
        return value >= timedelta(0)
    if getattr(value, "tzinfo", None) is not None:
        return False
    return getattr(value, "year", _FIRST_YEAR) >= _FIRST_YEAR
