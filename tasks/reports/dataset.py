"""A file's columns, in a database that can reach nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.reports.database import Database, Rows, opened_database, reading
from tasks.reports.errors import report_error
from tasks.reports.parameters import Parameters
from tasks.reports.source import Source, open_source


class DataSet:
    """The columns a report asked for, as table ``data`` with columns ``c0``, ``c1``, ….

    ``columns`` are the file's headers, in order: ``ci`` is the column under ``columns[i]``.
    """

    def __init__(self, database: Database, columns: list[str]) -> None:
        self.columns = columns
        self._database = database

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> Rows:
        """Run SQL of ours, with callers' values as arguments only."""
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

    def __init__(self, database: Database, source: Source, path: Path) -> None:
        self._database = database
        self._source = source
        self._path = path
        self.columns = source.columns

    def load(self, wanted: Sequence[int]) -> DataSet:
        """Read the wanted columns, then shut the database.

        Raises:
            PermanentError: ``broken-file``, ``empty-file`` or ``too-large``.
        """
        # A report that only counts rows wants no column; the rows are there all the same.
        chosen = sorted(set(wanted)) or [0]
        selected = ", ".join(f"{self._source.expressions[index]} AS c{index}" for index in chosen)
        with reading(self._path):
            self._database.execute(
                f"CREATE TABLE data AS SELECT {selected} FROM {self._source.relation}",
                self._source.arguments,
            )
        self._database.shut()
        data = DataSet(self._database, self.columns)
        if data.execute("SELECT count(*) FROM data")[0][0] == 0:
            raise report_error(
                "empty-file", "The file has a header and no rows under it. Nothing to report on."
            )
        return data


@contextmanager
def opened(path: Path, parameters: Parameters, workdir: Path) -> Iterator[Loader]:
    """A file in a database of its own, which may read only until ``Loader.load`` has.

    Raises:
        PermanentError: the file can't be read, or is too large.
    """
    with opened_database(parameters.time_zone, workdir) as database:
        with reading(path):
            source = open_source(database, path, parameters, workdir)
        yield Loader(database, source, path)
