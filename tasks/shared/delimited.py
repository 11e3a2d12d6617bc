"""The one reader of CSV: a header, and rows rewritten in one plain dialect for DuckDB.

RFC 4180 with any common delimiter and line end. Python's reader is strict and counts lines, so that
a bad row is named as an editor shows it; DuckDB then reads a file that has no surprises left.
"""

from __future__ import annotations

import csv
import errno
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from celeriac import PermanentError
from tasks.shared.duckdb import literal
from tasks.shared.faults import Fault
from tasks.shared.limits import TABLE_LINE_BYTES

DELIMITERS = (",", ";", "\t", "|")
# The delimiter is found from so many characters and records.
_SAMPLE = 1 << 16
_SAMPLED_RECORDS = 20
# Excel's own first line, which names the delimiter.
_NAMED_DELIMITER = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*')

csv.field_size_limit(TABLE_LINE_BYTES)


@dataclass(frozen=True)
class Delimited:
    """A CSV file as read. ``rows`` is a copy without header that ``relation`` reads.

    ``columns`` are the header's names as written. ``blank_lines`` were left out of ``rows``.
    """

    columns: list[str]
    delimiter: str
    rows: Path
    count: int
    blank_lines: int

    @property
    def relation(self) -> str:
        """SQL that reads the rows as the text columns ``f0``, ``f1``, …."""
        return text_relation(self.rows, len(self.columns))


def text_relation(rows: Path, width: int) -> str:
    """SQL that reads a file of ``csv.writer`` with CRLF, all columns as text."""
    types = ", ".join(f"'f{index}': 'VARCHAR'" for index in range(width))
    return (
        f"read_csv({literal(str(rows))}, auto_detect = false, header = false, delim = ',', "
        f"quote = '\"', escape = '\"', comment = '', new_line = '\\r\\n', parallel = false, "
        f"max_line_size = {16 * TABLE_LINE_BYTES}, columns = {{{types}}})"
    )


def read_delimited(
    path: Path, name: str, encoding: str, rows: Path, most_columns: int
) -> Delimited:
    """Read a CSV file that is known to be in ``encoding``, and write its rows to ``rows``.

    Raises:
        PermanentError: ``empty-file``, ``malformed-table``, ``too-many-columns`` or
            ``file-too-large``.
    """
    with path.open(encoding=encoding, newline="") as text:
        delimiter = _delimiter(text)
        lines = _Lines(text, name, delimiter, most_columns)
        try:
            records = _records(csv.reader(lines, delimiter=delimiter, strict=True), lines)
            columns = next(records, None)
            if columns is None:
                raise Fault.EMPTY_FILE.error(f"{name!r} has only blank lines.")
            if len(columns) > most_columns:
                raise too_many_columns(name, len(columns), most_columns)
            count = _copy(records, lines, name, columns, rows)
        except csv.Error as error:
            raise Fault.MALFORMED_TABLE.error(f"{name!r}: line {lines.number}: {error}.") from None
    return Delimited([each.strip() for each in columns], delimiter, rows, count, lines.blank)


def too_many_columns(name: str, found: int, allowed: int) -> PermanentError:
    """The fault of a table that is too wide."""
    return Fault.TOO_MANY_COLUMNS.error(f"{name!r} has {found:,} columns; {allowed:,} are allowed.")


def distinct_names(columns: list[str]) -> list[str]:
    """A name for each column, none twice in any case: ``column0`` for none, ``a_1`` for another."""
    taken: set[str] = set()
    names = []
    for index, column in enumerate(columns):
        wanted = column or f"column{index}"
        name, number = wanted, 0
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


class _Lines(Iterator[str]):
    """The lines of a text, none longer than a record may be. ``number`` counts from 1."""

    def __init__(self, text: TextIO, name: str, delimiter: str, most_columns: int) -> None:
        self._text = text
        self._name = name
        self._delimiter = delimiter
        self._most_columns = most_columns
        self.number = 0
        self.blank = 0
        self.of_record = 0
        if _NAMED_DELIMITER.fullmatch(first := _first_line(text)):
            text.seek(0)
            text.readline()
            self.number = 1
        else:
            text.seek(0)
        self._has_mark = first.startswith("\ufeff")

    def __next__(self) -> str:
        line = self._text.readline(TABLE_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        if self._has_mark:
            line, self._has_mark = line.removeprefix("\ufeff"), False
        self.number += 1
        self.of_record += len(line)
        if self.of_record > TABLE_LINE_BYTES:
            if (marks := line.count(self._delimiter)) >= self._most_columns:
                raise too_many_columns(self._name, marks + 1, self._most_columns)
            raise Fault.MALFORMED_TABLE.error(
                f"{self._name!r}: the record at line {self.number} is longer than "
                f"{TABLE_LINE_BYTES:,} characters, or its quote doesn't close."
            )
        return line


def _records(reader: Iterator[list[str]], lines: _Lines) -> Iterator[list[str]]:
    """The records that aren't blank lines. Spaces alone can be a value only in a single column."""
    width = 0
    for record in reader:
        lines.of_record = 0
        if not record or (len(record) == 1 != width and record[0].isspace()):
            lines.blank += 1
        else:
            width = width or len(record)
            yield record


def _copy(
    records: Iterator[list[str]], lines: _Lines, name: str, columns: list[str], rows: Path
) -> int:
    width, count = len(columns), 0
    try:
        with rows.open("w", encoding="utf-8", newline="") as file:
            # With CRLF as its line end, the writer puts quotes around a lone CR or LF too.
            writer = csv.writer(file, lineterminator="\r\n")
            for record in records:
                if len(record) != width:
                    raise Fault.MALFORMED_TABLE.error(
                        f"{name!r}: line {lines.number} has {len(record)} values for "
                        f"{width} columns."
                    )
                writer.writerow(record)
                count += 1
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise Fault.FILE_TOO_LARGE.error(f"{name!r} is too large as UTF-8.") from error
        raise
    return count


def _first_line(text: TextIO) -> str:
    text.seek(0)
    return text.readline(_SAMPLE)


def _delimiter(text: TextIO) -> str:
    """The mark that splits the first records into equally many cells, and into the most."""
    first = _first_line(text)
    if named := _NAMED_DELIMITER.fullmatch(first.removeprefix("\ufeff")):
        return named[1]
    sample = first + text.read(_SAMPLE)

    def score(mark: str) -> tuple[bool, int]:
        records = csv.reader(io.StringIO(sample, newline=""), delimiter=mark)
        widths = [
            len(record)
            for record in islice(records, _SAMPLED_RECORDS)
            if record and not (len(record) == 1 and record[0].isspace())
        ] or [0]
        # The sample may end inside its last record.
        alike = len(set(widths[:-1] or widths)) == 1
        return alike and widths[0] > 1, widths[0]

    return max(DELIMITERS, key=score)
