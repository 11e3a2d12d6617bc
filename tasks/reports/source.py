"""Recognising a file's format and reading its header, without trusting its name."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.reports.parameters import Parameters
from tasks.shared.delimited import read_delimited, text_relation, too_many_columns
from tasks.shared.duckdb import Database, identifier, literal
from tasks.shared.encodings import bom_encoding, read_text, to_utf8
from tasks.shared.faults import Fault
from tasks.shared.jsonlines import read_json_lines
from tasks.shared.packages import is_workbook, other_document
from tasks.shared.signatures import (
    ENCRYPTED_PARQUET_MAGIC,
    OLE_MAGIC,
    PARQUET_MAGIC,
    check_office,
    check_parquet,
)
from tasks.shared.workbooks import Cell, Kind, SheetPart, Workbook, opened_workbook
from tasks.shared.zips import check_directory

MOST_COLUMNS = 500

NUMBER, MOMENT = "n", "d"
_KIND_LETTERS = {Kind.NUMBER: NUMBER, Kind.MOMENT: MOMENT}
_JSON_NUMBERS = "('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE')"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A relation that DuckDB can read: ``FROM {relation}``.

    ``columns`` are the file's own headers, in order; ``expressions`` read each of them. Text of the
    file stands there as quoted identifiers and literals alone.

    A cell of a column of text can be a number or a moment all the same, as in a workbook. ``kinds``
    are expressions that tell it: ``NUMBER``, ``MOMENT`` or another text; None if none can be.
    """

    relation: str
    columns: list[str]
    expressions: list[str]
    kinds: list[str | None]
    is_parquet: bool = False
    uncomputed: int = 0


def open_source(database: Database, path: Path, name: str, parameters: Parameters) -> Source:
    """Find out from the file's content which format it has, and which columns.

    The rows of CSV and XLSX are rewritten to a file next to ``path``.

    Raises:
        PermanentError: the file is of another format, empty, broken or too large.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip():
        raise Fault.EMPTY_FILE.error("The file is empty.", "Upload one with a header and rows.")
    rows = path.with_name(f"{path.name}.rows")
    if head.startswith((PARQUET_MAGIC, ENCRYPTED_PARQUET_MAGIC)):
        check_parquet(path, name)
        return _parquet(database, path, name)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _workbook(path, name, parameters.sheet, rows)
    if head.startswith(OLE_MAGIC):
        check_office(path, name)
        raise Fault.UNSUPPORTED_FORMAT.error(
            "The file is an old Office document.", "Save it as XLSX."
        )
    named = parameters.encoding or bom_encoding(head)
    if head.startswith(b"%PDF-") or (named is None and b"\x00" in head):
        raise Fault.UNSUPPORTED_FORMAT.error(
            "The file is not CSV, Parquet, JSON lines or XLSX.", "Save it as one of these."
        )
    encoding = read_text(path, name, parameters.encoding, guess=False).encoding
    with path.open(encoding=encoding) as text:
        start = text.read(4096).lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")):
        return _json_lines(path, name, encoding)
    read = read_delimited(path, name, encoding, rows, MOST_COLUMNS)
    return Source(
        relation=read.relation,
        columns=read.columns,
        expressions=[f"f{index}" for index in range(len(read.columns))],
        kinds=[None] * len(read.columns),
    )


def _parquet(database: Database, path: Path, name: str) -> Source:
    relation = f"read_parquet({literal(str(path))})"
    columns = [row[0] for row in database.execute(f"DESCRIBE SELECT * FROM {relation}")]
    if len(columns) > MOST_COLUMNS:
        raise too_many_columns(name, len(columns), MOST_COLUMNS)
    return Source(
        relation=relation,
        columns=columns,
        expressions=[identifier(column) for column in columns],
        kinds=[None] * len(columns),
        is_parquet=True,
    )


def _json_lines(path: Path, name: str, encoding: str) -> Source:
    if encoding not in ("ascii", "utf-8"):
        path = to_utf8(path, encoding, path.with_name(f"{path.name}.utf-8"))
    read = read_json_lines(path, name, MOST_COLUMNS)
    expressions: list[str] = []
    kinds: list[str | None] = []
    for column, type in read.types.items():
        quoted = identifier(column)
        mixed = type == "JSON"
        # As text, a value of JSON has no quotes.
        expressions.append(f"{quoted} ->> '$'" if mixed else quoted)
        kinds.append(
            f"CASE WHEN json_type({quoted}) IN {_JSON_NUMBERS} THEN '{NUMBER}' ELSE '' END"
            if mixed
            else None
        )
    return Source(
        relation=read.relation, columns=list(read.types), expressions=expressions, kinds=kinds
    )


def _workbook(path: Path, name: str, sheet: str | None, rows: Path) -> Source:
    _check_is_workbook(path, name)
    with opened_workbook(path, name) as book:
        read = book.rows(_sheet(book, sheet))
        texts: dict[int, str] = book.shared()

        def text(cell: Cell) -> str:
            return texts[int(cell.text)] if cell.kind is Kind.SHARED else cell.text

        header = next(read, None)
        if header is None:
            raise Fault.EMPTY_FILE.error(
                "The sheet is empty.", "Upload one whose first row names the columns."
            )
        titles = {cell.column: text(cell).strip() for cell in header}
        width = max((column for column, title in titles.items() if title), default=-1) + 1
        if width > MOST_COLUMNS:
            raise too_many_columns(name, width, MOST_COLUMNS)
        uncomputed = _copy(read, width, rows, text)
    return Source(
        relation=text_relation(rows, 2 * width),
        columns=[titles.get(column, "") for column in range(width)],
        expressions=[f"f{index}" for index in range(width)],
        kinds=[f"f{width + index}" for index in range(width)],
        uncomputed=uncomputed,
    )


def _check_is_workbook(path: Path, name: str) -> None:
    check_directory(path, name)
    try:
        with zipfile.ZipFile(path) as archive:
            if is_workbook(archive):
                return
            found = other_document(archive)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise Fault.TRUNCATED_FILE.error(f"{name!r} ends before its directory.") from error
    raise Fault.UNSUPPORTED_FORMAT.error(f"The file is {found}.", "Save it as XLSX or CSV.")


def _sheet(book: Workbook, wanted: str | None) -> SheetPart:
    """The sheet that the caller names, else the first that a reader of the workbook sees."""
    if wanted is None:
        return next((sheet for sheet in book.sheets if not sheet.hidden), book.sheets[0])
    found = next((sheet for sheet in book.sheets if sheet.name == wanted), None)
    if found is None:
        names = ", ".join(repr(sheet.name) for sheet in book.sheets[:50])
        raise Fault.MISSING_SHEET.error(f"The workbook has no sheet {wanted!r}; it has {names}.")
    return found


def _copy(read: Iterator[list[Cell]], width: int, rows: Path, text: Callable[[Cell], str]) -> int:
    """Write the rows as CSV: the texts of each, then their kinds. Return the uncomputed cells."""
    uncomputed = 0
    with rows.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        for row in read:
            texts, kinds = [""] * width, [""] * width
            for cell in row:
                uncomputed += cell.kind is Kind.UNCOMPUTED
                if cell.column < width:
                    texts[cell.column] = text(cell)
                    kinds[cell.column] = _KIND_LETTERS.get(cell.kind, "")
            writer.writerow(texts + kinds)
    return uncomputed
