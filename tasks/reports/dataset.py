"""A file's columns, in a database that reaches no other directory than the file's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.reports.parameters import Parameters
from tasks.reports.source import Source, open_source
from tasks.shared import duckdb as sandbox
from tasks.shared.duckdb import Database, Rows
from tasks.shared.faults import Fault
from tasks.shared.signatures import PARQUET_MAGIC

# Two reports run side by side in a worker of 4 GiB (REPORTS in tasks/queues.py).
MEMORY = "1GiB"
SPILL = "4GiB"


class DataSet:
    """The columns a report asked for, as table ``data`` with columns ``c0``, ``c1``, ….

    ``columns`` are the file's headers, in order: ``ci`` is the column under ``columns[i]``.
    """

    def __init__(self, database: Database, source: Source) -> None:
        self.columns = source.columns
        self._kinds = source.kinds
        self._database = database

    def kind_of(self, index: int) -> str | None:
        """The column of ``data`` that tells the kind of each cell of a column, if there is one."""
        return None if self._kinds[index] is None else f"k{index}"

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> Rows:
        """Run our own SQL. Callers' values are arguments only."""
        return self._database.execute(sql, arguments)

    def type_of(self, index: int) -> str:
        """DuckDB's name of a column's type, as ``data`` has it."""
        rows = self.execute(
            "SELECT data_type FROM duckdb_columns() WHERE table_name = 'data' AND column_name = ?",
            [f"c{index}"],
        )
        return str(rows[0][0])


class Loader:
    """A file whose header is known and whose rows are not read yet."""

    def __init__(self, database: Database, source: Source, name: str) -> None:
        self._database = database
        self._source = source
        self._name = name
        self.columns = source.columns
        self.uncomputed = source.uncomputed

    def load(self, wanted: Sequence[int]) -> DataSet:
        """Read the wanted columns.

        Raises:
            PermanentError: ``malformed-table``, ``corrupt-file`` or ``empty-file``.
        """
        # A report that only counts rows names no column, but needs the rows.
        chosen = sorted(set(wanted)) or [0]
        source = self._source
        selected = [f"{source.expressions[index]} AS c{index}" for index in chosen] + [
            f"{kind} AS k{index}" for index in chosen if (kind := source.kinds[index])
        ]
        with sandbox.reading(self._name, parquet=source.is_parquet):
            self._database.execute(
                f"CREATE TABLE data AS SELECT {', '.join(selected)} FROM {source.relation}"
            )
        data = DataSet(self._database, source)
        if data.execute("SELECT count(*) FROM data")[0][0] == 0:
            raise Fault.EMPTY_FILE.error(
                "The file has a header and no rows under it.", "Upload one with rows."
            )
        return data


@contextmanager
def opened(path: Path, parameters: Parameters, name: str = "the file") -> Iterator[Loader]:
    """Open a file in a database of its own, which reaches the file's directory alone.

    Raises:
        PermanentError: the file can't be read, or the report needs too much memory.
    """
    import duckdb

    try:
        with sandbox.opened(path.parent, MEMORY, SPILL, parameters.time_zone) as database:
            with path.open("rb") as file:
                parquet = file.read(4) == PARQUET_MAGIC
            with sandbox.reading(name, parquet=parquet):
                source = open_source(database, path, name, parameters)
            yield Loader(database, source, name)
    except duckdb.OutOfMemoryException:
        raise Fault.TOO_MUCH_MEMORY.error(
            f"The report needs more than its {MEMORY} of memory and {SPILL} of disk.",
            "Upload fewer rows or columns, or Parquet instead of text.",
        ) from None
    except duckdb.Error as error:
        # The file is read: what fails now is our own SQL.
        raise Fault.INTERNAL_ERROR.error() from error
