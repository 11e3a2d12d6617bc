"""DuckDB within bounds: so much memory, no extensions, and an end when the task is told to end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reports.errors import report_error

if TYPE_CHECKING:
    import duckdb

# Two reports run side by side in a worker of 4 GiB (tasks/contract/queues.py).
MEMORY = "1GiB"
SPILL = "4GiB"
THREADS = 1

Rows = list[tuple[Any, ...]]


class Database:
    """A connection whose queries a signal can interrupt."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> Rows:
        """Run SQL of ours, with callers' values as arguments only.

        A query runs in a thread of its own. In the main one DuckDB 2.0 answers a signal whose
        handler raises with ``RuntimeError: Query interrupted``, and what was raised (the end of
        the task's time, or its cancellation) is lost.
        """
        query = self._thread.submit(self._run, sql, list(arguments))
        try:
            return query.result()
        except BaseException:
            self._connection.interrupt()
            raise

    def shut(self) -> None:
        """Reach no file and change no setting from now on."""
        self.execute("SET enable_external_access = false")
        self.execute("SET lock_configuration = true")

    def _run(self, sql: str, arguments: list[Any]) -> Rows:
        return self._connection.execute(sql, arguments).fetchall()


@contextmanager
def opened_database(time_zone: str, workdir: Path) -> Iterator[Database]:
    """A database in memory, in whose sessions times are local to ``time_zone``.

    What doesn't fit its memory spills to ``workdir``.

    Raises:
        PermanentError: ``too-large``, when memory and spill are used up.
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
        with ThreadPoolExecutor(1, "duckdb") as thread:
            database = Database(connection, thread)
            # SET takes no arguments; the parameters have checked that it is a zone's name.
            database.execute("SET TimeZone = '" + time_zone.replace("'", "''") + "'")
            yield database
    except duckdb.OutOfMemoryException:
        raise report_error(
            "too-large",
            f"The report needs more than its {MEMORY} of memory and {SPILL} of disk. "
            "Upload fewer rows or columns, or Parquet instead of text.",
        ) from None
    finally:
        connection.close()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever DuckDB can't do while it reads a caller's file is the file's fault.

    Raises:
        PermanentError: ``broken-file``.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise report_error(
            "broken-file", f"The file can't be read: {_first_lines(str(error), path)}"
        ) from None


def _first_lines(message: str, path: Path) -> str:
    """What DuckDB says is wrong, without its advice on its own options or our paths."""
    message = re.split(
        r"Possible (?:fix|solution)|LINE 1:|\n *file = ", message, flags=re.IGNORECASE
    )[0]
    # The header is row 1 of the file and not in what DuckDB reads.
    message = re.sub(r"on Line: (\d+)", lambda found: f"in row {int(found[1]) + 1}", message)
    message = re.sub(r'["\']?/\S*["\']?', repr(path.name), message)
    return " ".join(message.split())[:400]
