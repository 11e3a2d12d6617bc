"""Recognising a file's format and reading its header, without trusting its name."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.contract import PermanentError
from tasks.reports.database import Database
from tasks.reports.errors import report_error
from tasks.reports.parameters import Parameters

MOST_COLUMNS = 500
LARGEST_UNPACKED = 1 << 30
# openpyxl keeps all shared strings in memory, several times their size in the file.
LARGEST_SHARED_STRINGS = 64 << 20
# Characters and records that are looked at to tell the delimiter.
SAMPLE = 1 << 16
SAMPLED_RECORDS = 20
DELIMITERS = (",", ";", "\t", "|")

csv.field_size_limit(1 << 20)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A relation that DuckDB can read: ``FROM {relation}`` with ``arguments``.

    ``columns`` are the file's own headers, in order; ``expressions`` read each of them. No text of
    the file stands in ``relation``, and in ``expressions`` only as quoted identifiers.
    """

    relation: str
    arguments: list[str]
    columns: list[str]
    expressions: list[str]


def open_source(database: Database, path: Path, parameters: Parameters, workdir: Path) -> Source:
    """See what the file is, by its content, and what columns it has.

    Raises:
        PermanentError: the file is of another format, empty, broken or too large.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip():
        raise report_error("empty-file", "The file is empty. Upload one with a header and rows.")
    if head.startswith(b"PAR1"):
        source = _described(database, "read_parquet(?)", path)
    elif head.startswith(b"PK\x03\x04"):
        source = _workbook(path, parameters.sheet, workdir / "sheet.csv")
    elif head.startswith(b"\xd0\xcf\x11\xe0"):
        raise report_error(
            "encrypted-file",
            "The workbook is protected by a password or in the old XLS format. "
            "Save it as XLSX without a password.",
        )
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        source = _described(
            database,
            "read_json(?, format='newline_delimited', sample_size=-1, maximum_depth=2)",
            path,
        )
    elif _is_binary(head, parameters.encoding):
        raise report_error(
            "unsupported-format",
            "The file is not CSV, Parquet, JSON lines or XLSX. Save it as one of these.",
        )
    else:
        source = _delimited(path, parameters.encoding, workdir / "body.csv")
    if len(source.columns) > MOST_COLUMNS:
        raise report_error(
            "too-large",
            f"The file has {len(source.columns)} columns; a report reads at most {MOST_COLUMNS}.",
        )
    return source


def quoted(identifier: str) -> str:
    """An SQL identifier that is only ever an identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def _is_binary(head: bytes, encoding: str) -> bool:
    return (
        b"\x00" in head and encoding != "utf-16" and not head.startswith((b"\xff\xfe", b"\xfe\xff"))
    )


def _described(database: Database, relation: str, path: Path) -> Source:
    arguments = [str(path)]
    rows = database.execute(f"DESCRIBE SELECT * FROM {relation}", arguments)
    columns = [row[0] for row in rows]
    return Source(
        relation=relation,
        arguments=arguments,
        columns=columns,
        expressions=[quoted(column) for column in columns],
    )


def _text_source(body: Path, columns: list[str], delimiter: str) -> Source:
    # Every value stays text until a role says what it is: DuckDB's guess would make the product
    # code 007 a 7. Column names are ours, so a header can't reach the SQL.
    names = [f"f{index}" for index in range(len(columns))]
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    return Source(
        relation=(
            "read_csv(?, auto_detect=false, header=false, delim=?, quote='\"', escape='\"', "
            f"columns={{{types}}})"
        ),
        arguments=[str(body), delimiter],
        columns=columns,
        expressions=names,
    )


def _delimited(path: Path, encoding: str, body: Path) -> Source:
    """Split the header off and leave the rows as UTF-8 with plain line ends.

    DuckDB 2.0 reads no rows, and says nothing, when a quoted header of a CRLF file holds a lone
    LF; and it refuses a file that mixes line ends.
    """
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        with path.open(encoding=codec) as text:
            delimiter = _delimiter(text.read(SAMPLE))
            text.seek(0)
            header = next(filter(None, csv.reader(text, delimiter=delimiter)), None)
            if header is None:
                raise report_error("empty-file", "The file has only blank lines.")
            with body.open("w", encoding="utf-8", newline="\n") as rows:
                shutil.copyfileobj(text, rows, 1 << 20)
    except UnicodeError as error:
        raise report_error(
            "wrong-encoding",
            f"The file is not {encoding} text ({error}). Save it as UTF-8, or name its encoding "
            "in parameters.encoding.",
        ) from None
    except csv.Error as error:
        raise report_error("broken-file", f"The header can't be read as CSV: {error}.") from None
    return _text_source(body, [name.strip() for name in header], delimiter)


def _delimiter(sample: str) -> str:
    """The mark that divides the first records into equally many cells, and most of them."""

    def score(mark: str) -> tuple[bool, int]:
        records = csv.reader(io.StringIO(sample), delimiter=mark)
        widths = [len(record) for record in islice(records, SAMPLED_RECORDS) if record] or [0]
        # The sample may end inside its last record.
        alike = len(set(widths[:-1] or widths)) == 1
        return alike and widths[0] > 1, widths[0]

    return max(DELIMITERS, key=score)


def _workbook(path: Path, sheet: str | None, body: Path) -> Source:
    with _readable_workbook(path) as workbook:
        if sheet is not None and sheet not in workbook.sheetnames:
            raise report_error(
                "missing-sheet",
                f"The workbook has no sheet {sheet!r}; it has "
                f"{', '.join(repr(name) for name in workbook.sheetnames[:50])}.",
            )
        worksheet = workbook[sheet] if sheet else workbook.worksheets[0]
        # The size a sheet claims to have is not to be trusted.
        worksheet.reset_dimensions()
        rows = (row for row in worksheet.iter_rows(values_only=True))
        header = next((row for row in rows if any(cell is not None for cell in row)), None)
        if header is None:
            raise report_error("empty-file", "The sheet is empty. Its first row names the columns.")
        columns = ["" if cell is None else _cell(cell).strip() for cell in header]
        while columns and not columns[-1]:
            columns.pop()
        width = min(len(columns), MOST_COLUMNS)
        with body.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for row in rows:
                cells = ["" if cell is None else _cell(cell) for cell in row[:width]]
                if any(cells):
                    writer.writerow(cells + [""] * (width - len(cells)))
    return _text_source(body, columns, ",")


@contextmanager
def _readable_workbook(path: Path) -> Iterator[Any]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        # Not the path: openpyxl judges it by its ending, and an upload need not have one.
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _check_unpacked_size(archive)
            workbook = openpyxl.load_workbook(
                file, read_only=True, data_only=True, keep_links=False
            )
            if not workbook.worksheets:
                raise report_error("broken-file", "The workbook has lost its sheets.")
            yield workbook
    except PermanentError:
        raise
    # openpyxl has no error of its own for a broken part: it lets through what it stumbles on.
    except (
        zipfile.BadZipFile,
        zlib.error,
        InvalidFileException,
        SyntaxError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise report_error(
            "broken-file",
            f"The file begins as XLSX and can't be read as one ({type(error).__name__}). "
            "Open it and save it again as XLSX.",
        ) from error


def _check_unpacked_size(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    if not any(part.filename == "xl/workbook.xml" for part in parts):
        raise report_error(
            "unsupported-format", "The file is a zip archive, not an XLSX workbook. Unpack it."
        )
    if sum(part.file_size for part in parts) > LARGEST_UNPACKED:
        raise report_error(
            "too-large",
            f"The workbook unpacks to more than {LARGEST_UNPACKED >> 20} MiB. Save it as CSV.",
        )
    strings = [part.file_size for part in parts if part.filename.endswith("sharedStrings.xml")]
    if sum(strings) > LARGEST_SHARED_STRINGS:
        raise report_error(
            "too-large",
            f"The workbook's texts unpack to more than {LARGEST_SHARED_STRINGS >> 20} MiB. "
            "Save it as CSV.",
        )


def _cell(value: Any) -> str:
    # Excel keeps every number as a float; 12.0 was typed as 12.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
