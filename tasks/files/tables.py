"""Tables: CSV, JSON lines and Parquet, rewritten by DuckDB as a stream."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from tasks.files import limits
from tasks.files.inference import Reading, found_types
from tasks.files.kinds import CSV, JSONL, PARQUET, XLSX
from tasks.files.metadata import Column, FileMetadata, TableMetadata
from tasks.files.operations import Convert, ExtractMetadata, Validate
from tasks.files.sheets import write_sheet
from tasks.files.source import Output, Source
from tasks.shared.delimited import Delimited, distinct_names, read_delimited, too_many_columns
from tasks.shared.duckdb import Database, identifier, literal, opened, reading
from tasks.shared.encodings import Text, read_text, to_utf8
from tasks.shared.faults import Fault
from tasks.shared.jsonlines import JsonLines, read_json_lines
from tasks.shared.signatures import check_parquet

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
# The types whose values a sheet's cell can hold. Others become text.
_OF_CELLS = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN|VARCHAR|DATE|TIME|TIMESTAMP"
)


class TableSource(Source):
    """A table. Its database is opened, and its columns are found, on first use."""

    def decode(self, wanted: Validate) -> None:
        _ = self._columns, self._rows
        if self.kind is PARQUET:
            # count(*) alone would read no column; a hash of the row reads them all.
            with self._reading():
                self._database.execute(
                    f"SELECT bit_xor(hash(every)) FROM {self._relation} AS every"  # noqa: S608
                )

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        found.table = TableMetadata(
            columns=[Column(name=name, type=type) for name, type in self._columns.items()],
            rows=self._rows,
            blank_lines=self._delimited.blank_lines if self.kind is CSV else 0,
            delimiter=self._delimited.delimiter if self.kind is CSV else None,
            encoding=None if self.kind is PARQUET else self._text.encoding,
        )
        return found

    def convert(self, wanted: Convert) -> Output:
        if wanted.format not in _CONTENT_TYPES:
            return super().convert(wanted)
        path = self.output_path(wanted.format)
        rows = self._rows
        select, names = self._selected(wanted), self._names
        with self._reading():
            if wanted.format == "xlsx":
                # This query comes last, since another one would end its stream.
                fetch = self._database.stream(select)
                write_sheet(path, self.name, names, rows, fetch)
            else:
                options = _COPY_OPTIONS[wanted.format]
                self._database.execute(f"COPY ({select}) TO {literal(str(path))} ({options})")
        return Output(path.name, path, _CONTENT_TYPES[wanted.format])

    @cached_property
    def _database(self) -> Database:
        sandbox = opened(self.made.parent, limits.TABLE_MEMORY, limits.TABLE_SPILL, "UTC")
        return self.closing.enter_context(sandbox)

    @cached_property
    def _text(self) -> Text:
        return read_text(self.path, self.name, self.encoding)

    @cached_property
    def _readable(self) -> Path:
        """The file in UTF-8."""
        if self._text.encoding in ("ascii", "utf-8"):
            return self.path
        return to_utf8(self.path, self._text.encoding, self.made / "utf-8")

    @cached_property
    def _delimited(self) -> Delimited:
        return read_delimited(
            self.path, self.name, self._text.encoding, self.made / "rows", limits.TABLE_COLUMNS
        )

    @cached_property
    def _json_lines(self) -> JsonLines:
        return read_json_lines(self._readable, self.name, limits.TABLE_COLUMNS)

    @cached_property
    def _columns(self) -> dict[str, str]:
        """The type of each column, by name."""
        if self.kind is CSV:
            return self._types_as_usual
        if self.kind is JSONL:
            return self._json_lines.types
        with self._reading():
            described = self._database.execute(f"DESCRIBE SELECT * FROM {self._relation}")  # noqa: S608
        if len(described) > limits.TABLE_COLUMNS:
            raise too_many_columns(self.name, len(described), limits.TABLE_COLUMNS)
        return {name: type for name, type, *_ in described}

    @property
    def _names(self) -> list[str]:
        if self.kind is CSV:
            return distinct_names(self._delimited.columns)
        return list(self._columns)

    @cached_property
    def _types_as_usual(self) -> dict[str, str]:
        return self._types(Reading())

    def _types(self, written: Reading) -> dict[str, str]:
        """The type of each column of CSV, by name."""
        names = self._names
        with self._reading():
            types = found_types(self._database, self._relation, len(names), written)
        return dict(zip(names, types, strict=True))

    @cached_property
    def _rows(self) -> int:
        if self.kind is CSV:
            rows = self._delimited.count
        elif self.kind is JSONL:
            rows = self._json_lines.count
        else:
            with self._reading():
                ((rows,),) = self._database.execute(f"SELECT count(*) FROM {self._relation}")  # noqa: S608
        if rows > limits.TABLE_ROWS:
            raise Fault.TOO_MANY_ROWS.error(
                f"{self.name!r} has {rows:,} rows; {limits.TABLE_ROWS:,} are allowed."
            )
        return int(rows)

    @property
    def _relation(self) -> str:
        """The table function that reads the rows, as SQL. Every path in it is a literal."""
        if self.kind is CSV:
            return self._delimited.relation
        if self.kind is JSONL:
            return self._json_lines.relation
        return f"read_parquet({literal(str(self.path))})"

    def _selected(self, wanted: Convert) -> str:
        """The rows as the format can hold them, as SQL. Every name in it is an identifier."""
        if self.kind is not CSV:
            columns = {name: (identifier(name), type) for name, type in self._columns.items()}
        elif wanted.types == "text" or (wanted.types is None and wanted.format == "csv"):
            # DuckDB reads an empty field as NULL, but as text it is empty text.
            columns = {
                name: (f"coalesce(f{index}, '')", "VARCHAR")
                for index, name in enumerate(self._names)
            }
        else:
            written = Reading(wanted.decimal_mark, wanted.date_format)
            types = self._types_as_usual if written == Reading() else self._types(written)
            columns = {
                name: (written.sql(f"f{index}", type), type)
                for index, (name, type) in enumerate(types.items())
            }
        selected = [
            f"{_held(column, type, wanted.format)} AS {identifier(name)}"
            for name, (column, type) in columns.items()
        ]
        if wanted.format == "csv" and len(selected) == 1:
            # A row of one missing value would be a blank line, which readers leave out.
            ((name, (column, type)),) = columns.items()
            held = f"CAST({_held(column, type, 'csv')} AS VARCHAR)"
            selected = [f"coalesce({held}, '') AS {identifier(name)}"]
        return f"SELECT {', '.join(selected)} FROM {self._relation}"  # noqa: S608

    def _reading(self) -> AbstractContextManager[None]:
        if self.kind is PARQUET:
            check_parquet(self.path, self.name)
        return reading(self.name, parquet=self.kind is PARQUET)


def _held(column: str, type: str, format: str) -> str:
    """A column as SQL, in a type that the format can hold without a change."""
    if type == "JSON" and format != "jsonl":
        return f"{column} ->> '$'"
    if format == "jsonl":
        if type in ("DOUBLE", "FLOAT"):
            # JSON has no words for these.
            return (
                f"CASE WHEN isnan({column}) THEN NULL WHEN isinf({column}) "
                f"THEN to_json(CAST({column} AS VARCHAR)) ELSE to_json({column}) END"
            )
        return column
    if format in ("csv", "xlsx") and _NESTED.search(type):
        return f"CAST(to_json({column}) AS VARCHAR)"
    if format == "xlsx" and not _OF_CELLS.fullmatch(type):
        return f"CAST({column} AS VARCHAR)"
    return column
