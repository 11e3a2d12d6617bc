"""Tables: CSV, JSON lines and Parquet, read and rewritten by DuckDB as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import PermanentError
from tasks.files import duck, limits
from tasks.files.badlines import bad_csv_row, bad_json_line
from tasks.files.faults import Fault
from tasks.files.kinds import CSV, JSONL, PARQUET, XLSX
from tasks.files.metadata import Column, FileMetadata, TableMetadata
from tasks.files.operations import Convert, ExtractMetadata, Validate
from tasks.files.sheets import write_sheet
from tasks.files.source import Output, Source
from tasks.files.texts import Text, read_text, to_utf8

if TYPE_CHECKING:
    import duckdb

_COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER",
    "jsonl": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
_CONTENT_TYPES = {
    "csv": CSV.content_type,
    "jsonl": JSONL.content_type,
    "parquet": PARQUET.content_type,
    "xlsx": XLSX.content_type,
}
_NESTED = re.compile(r"^(STRUCT|MAP|UNION|VARIANT)\b|\]$")
# What is asked of sniff_csv.
_SNIFFED = ("Columns", "DateFormat", "TimestampFormat")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class TableSource(Source):
    """A table. The database is opened, and the columns found, when they are first asked for."""

    def decode(self, wanted: Validate) -> None:
        # count(*) alone reads no column; a hash of the row reads them all.
        with self._reading():
            _ = self._columns
            self._fetch(self._select("bit_xor(hash(every))"))
        _ = self._rows

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        found.table = TableMetadata(
            columns=[Column(name=name, type=type) for name, type in self._columns.items()],
            rows=self._rows,
            delimiter=self._delimiter if self.kind is CSV else None,
            encoding=None if self.kind is PARQUET else self._text.encoding,
        )
        return found

    def convert(self, wanted: Convert) -> Output:
        if wanted.format not in _CONTENT_TYPES:
            return super().convert(wanted)
        path = self.output_path(wanted.format)
        rows = self._rows
        select = self._select(self._selected(wanted), wanted.types)
        with self._reading():
            if wanted.format == "xlsx":
                # Last, since another query would end this one's stream.
                found = self._database.execute(select)
                fetch = partial(self._fetch_next, found)
                write_sheet(path, self.name, list(self._columns), rows, fetch)
            else:
                options = _COPY_OPTIONS[wanted.format]
                self._fetch(f"COPY ({select}) TO {duck.text(str(path))} ({options})")
        return Output(path.name, path, _CONTENT_TYPES[wanted.format])

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        return self.closing.enter_context(duck.connected(self.made.parent))

    @cached_property
    def _text(self) -> Text:
        return read_text(self.path, self.name, self.encoding)

    @cached_property
    def _readable(self) -> Path:
        """The file as DuckDB reads it: in UTF-8."""
        if self.kind is PARQUET or self._text.encoding in ("ascii", "utf-8"):
            return self.path
        return to_utf8(self.path, self._text.encoding, self.made / "utf-8")

    @cached_property
    def _delimiter(self) -> str:
        """The mark most used in the first line, outside quotes; a comma if there is none."""
        with self._readable.open(encoding="utf-8") as file:
            line = _QUOTED.sub("", file.readline(limits.TABLE_LINE_BYTES))
        return max((",", ";", "\t", "|"), key=line.count)

    @cached_property
    def _columns(self) -> dict[str, str]:
        """The type of each column, by name."""
        with self._reading():
            if self.kind is CSV:
                columns = {each["name"]: each["type"] for each in self._dialect["Columns"]}
            else:
                described = self._fetch(f"DESCRIBE {self._select('*')}")
                columns = {name: type for name, type, *_ in described}
        if len(columns) > limits.TABLE_COLUMNS:
            raise Fault.TOO_MANY_COLUMNS.error(
                f"{self.name!r} has {len(columns):,} columns; {limits.TABLE_COLUMNS:,} are allowed."
            )
        return columns

    @cached_property
    def _rows(self) -> int:
        with self._reading():
            ((rows,),) = self._fetch(self._select("count(*)"))
        if rows > limits.TABLE_ROWS:
            raise Fault.TOO_MANY_ROWS.error(
                f"{self.name!r} has {rows:,} rows; {limits.TABLE_ROWS:,} are allowed."
            )
        return int(rows)

    @cached_property
    def _dialect(self) -> dict[str, Any]:
        """What DuckDB finds of a CSV file: only types are left to find, by reading all rows."""
        file = duck.text(str(self._readable))
        names = ", ".join(_SNIFFED)
        ((*values,),) = self._fetch(
            f"SELECT {names} FROM sniff_csv({file}, {self._csv_rules}, sample_size = -1)"  # noqa: S608
        )
        return dict(zip(_SNIFFED, values, strict=True))

    @property
    def _csv_rules(self) -> str:
        """RFC 4180, with the delimiter that the file has; nothing skipped, padded or guessed."""
        return (
            f"delim = {duck.text(self._delimiter)}, quote = '\"', escape = '\"', comment = '', "
            f"header = true, skip = 0, strict_mode = true, null_padding = false, "
            f"ignore_errors = false, max_line_size = {limits.TABLE_LINE_BYTES}"
        )

    def _table(self, types: str = "infer") -> str:
        """The table function that reads the file, as SQL."""
        file = duck.text(str(self._readable))
        match self.kind.name:
            case PARQUET.name:
                return f"read_parquet({file})"
            case JSONL.name:
                return (
                    f"read_json({file}, format = 'newline_delimited', records = true, "
                    f"sample_size = -1, maximum_object_size = {limits.TABLE_LINE_BYTES})"
                )
        columns = ", ".join(
            f"{duck.text(name)}: {duck.text('VARCHAR' if types == 'text' else type)}"
            for name, type in self._columns.items()
        )
        formats = "".join(
            f", {option} = {duck.text(self._dialect[found])}"
            for option, found in (
                ("dateformat", "DateFormat"),
                ("timestampformat", "TimestampFormat"),
            )
            if self._dialect[found]
        )
        return (
            f"read_csv({file}, auto_detect = false, columns = {{{columns}}}, {self._csv_rules}"
            f"{formats})"
        )

    def _selected(self, wanted: Convert) -> str:
        """The columns as SQL; a format without nesting gets nested values as JSON text."""
        flat = wanted.format in ("csv", "xlsx")
        selected = []
        for name, type in self._columns.items():
            column = duck.identifier(name)
            if flat and _NESTED.search(type):
                selected.append(f"CAST(to_json({column}) AS VARCHAR) AS {column}")
            elif self.kind is CSV and wanted.types == "text":
                # An empty field is read as NULL, but as text it is an empty text.
                selected.append(f"coalesce({column}, '') AS {column}")
            else:
                selected.append(column)
        return ", ".join(selected)

    def _select(self, what: str, types: str = "infer") -> str:
        # duck quotes every name and path in it.
        return f"SELECT {what} FROM {self._table(types)} AS every"  # noqa: S608

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        database = self._database
        return duck.interruptible(database, lambda: database.execute(sql).fetchall())

    def _fetch_next(self, found: duckdb.DuckDBPyConnection, count: int) -> list[tuple[Any, ...]]:
        return duck.interruptible(self._database, lambda: found.fetchmany(count))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what DuckDB raises into the fault it stands for, without paths of this machine."""
        import duckdb

        self._check_parquet()
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise Fault.TOO_MUCH_MEMORY.error(f"{self.name!r} is too wide or too deep.") from error
        except duckdb.IOException as error:
            raise self._io_fault(error) from error
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise self._fault() from error

    def _check_parquet(self) -> None:
        if self.kind is not PARQUET:
            return
        with self.path.open("rb") as file:
            start = file.read(4)
            file.seek(-min(4, self.size), 2)
            end = file.read(4)
        if b"PARE" in (start, end):
            raise Fault.ENCRYPTED_FILE.error(f"{self.name!r} is encrypted Parquet.")
        if end != b"PAR1" or self.size < len(b"PAR1....PAR1"):
            raise Fault.TRUNCATED_FILE.error(f"{self.name!r} ends without Parquet's footer.")

    def _fault(self) -> PermanentError:
        if self.kind is PARQUET:
            return Fault.CORRUPT_FILE.error(f"{self.name!r} breaks the rules of Parquet.")
        if self.kind is CSV:
            bad = bad_csv_row(self._readable, self._delimiter)
        else:
            bad = bad_json_line(self._readable)
        return Fault.MALFORMED_TABLE.error(f"{self.name!r}: {bad}")

    def _io_fault(self, error: Exception) -> PermanentError:
        if "File too large" in str(error):
            return Fault.OUTPUT_TOO_LARGE.error(
                f"The result is larger than {limits.OUTPUT_BYTES:,} bytes."
            )
        return self._fault()
