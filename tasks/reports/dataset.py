"""A file's columns in a DuckDB that can reach nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reports.errors import report_error
from tasks.reports.parameters import Parameters
from tasks.reports.source import Source, open_source

if TYPE_CHECKING:
    import duckdb

# Two reports run side by side in a worker of 4 GiB (tasks/contract/queues.py).
MEMORY = "1GiB"
SPILL = "4GiB"
THREADS = 1


class DataSet:
    """The columns a report asked for, as table ``data`` with columns ``c0``, ``c1``, ….

    ``columns`` are the file's headers, in order: ``ci`` is the column under ``columns[i]``.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
        self.columns = columns
        self._connection = connection

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run SQL of ours, with callers' values as arguments only."""
        return self._connection.execute(sql, list(arguments)).fetchall()

    def type_of(self, index: int) -> str:
        """DuckDB's name of a column's type, as ``data`` has it."""
        rows = self.execute(
            "SELECT data_type FROM duckdb_columns() WHERE table_name = 'data' AND column_name = ?",
            [f"c{index}"],
        )
        return str(rows[0][0])


@contextmanager
def opened(path: Path, parameters: Parameters, workdir: Path) -> Iterator[Loader]:
    """A DuckDB in memory that may read this one file, until ``Loader.load`` shuts the door.

    Raises:
        PermanentError: the file can't be read, or is too large.
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "allow_community_extensions": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "max_temp_directory_size": SPILL,
            "memory_limit": MEMORY,
            "python_enable_replacements": "false",
            "temp_directory": str(workdir / "spill"),
            "threads": str(THREADS),
        },
    )
    try:
        # Reading a time with its zone needs the zone the report is in.
        connection.execute("SET TimeZone = '" + parameters.time_zone.replace("'", "''") + "'")
        with _file_errors(path):
            source = open_source(connection, path, parameters, workdir)
        with _memory_errors():
            yield Loader(connection, source, path)
    finally:
        connection.close()


class Loader:
    """A file whose header is known and whose rows are not read yet."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> None:
        self._connection = connection
        self._source = source
        self._path = path
        self.columns: list[str] = source.columns

    def load(self, wanted: Sequence[int]) -> DataSet:
        """Read the wanted columns, then let the database reach no file and change no setting."""
        # A file of one unused column still has rows to count.
        chosen = sorted(set(wanted)) or [0]
        selected = ", ".join(f"{self._source.expressions[index]} AS c{index}" for index in chosen)
        with _memory_errors(), _file_errors(self._path):
            self._connection.execute(
                f"CREATE TABLE data AS SELECT {selected} FROM {self._source.relation}",
                self._source.arguments,
            )
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        data = DataSet(self._connection, self.columns)
        if data.execute("SELECT count(*) FROM data")[0][0] == 0:
            raise report_error(
                "empty-file", "The file has a header and no rows under it. Nothing to report on."
            )
        return data


@contextmanager
def _memory_errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise report_error(
            "too-large",
            f"The report needs more than its {MEMORY} of memory and {SPILL} of disk. "
            "Upload fewer rows or columns, or Parquet instead of text.",
        ) from None


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    import duckdb

    try:
        yield
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException) as error:
        raise report_error(
            "broken-file", f"The file can't be read: {_first_lines(str(error), path)}"
        ) from None


def _first_lines(message: str, path: Path) -> str:
    """What DuckDB says is wrong, without its advice on its own options or our paths."""
    message = message.split("Possible fix", maxsplit=1)[0].split("LINE 1:", maxsplit=1)[0]
    # The header is row 1 of the file and not in what DuckDB reads.
    message = re.sub(r"on Line: (\d+)", lambda found: f"in row {int(found[1]) + 1}", message)
    message = message.replace(str(path.parent) + "/", "")
    return " ".join(message.split())[:400]
