"""DuckDB in a sandbox: one directory, bounded memory, and queries that a signal can interrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.shared.faults import Fault

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
Rows = list[tuple[Any, ...]]


class Database:
    """An open database. Its queries run in a thread of their own.

    In the main thread, DuckDB checks for signals only now and then. It then raises a
    ``RuntimeError`` of its own in place of what the signal's handler raised. Here, what the handler
    raises (the end of the task's time, or its cancellation) ends the query and comes out.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> Rows:
        """Run SQL and return all rows. ``arguments`` stand for its question marks.

        Raises:
            duckdb.Error: the SQL, or the file it reads, is faulty or out of bounds.
        """
        return self._interruptibly(
            lambda: self._connection.execute(sql, list(arguments)).fetchall()
        )

    def stream(self, sql: str) -> Callable[[int], Rows]:
        """Run SQL and return a function: ``fetch(n)`` returns the next rows, at most ``n``.

        The next query on this database ends the stream.
        """
        found = self._interruptibly(lambda: self._connection.execute(sql))
        return lambda count: self._interruptibly(partial(found.fetchmany, count))

    def _interruptibly(self, work: Callable[[], T]) -> T:
        running = self._thread.submit(work)
        try:
            return running.result()
        except BaseException:
            if not running.done():
                self._connection.interrupt()
            raise


@contextmanager
def opened(
    directory: Path, memory: str, spill: str, time_zone: str | None = None
) -> Iterator[Database]:
    """A database in memory that may read and write files in ``directory``, and spill there.

    It reaches no network, no other path, no Python variable and no extension. Its settings are
    locked. This holds for any SQL and any file
    (duckdb.org/docs/stable/operations_manual/securing_duckdb/overview).

    Args:
        directory: the only directory within reach.
        memory: its memory, in DuckDB's notation: ``"384MiB"``.
        spill: the disk space for what exceeds its memory, in the same notation.
        time_zone: the zone in which it reads and shows times, such as ``"Europe/Paris"``.
    """
    import duckdb

    directory = directory.resolve()
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory,
            "temp_directory": str(directory / "spill"),
            # Two task processes share a vCPU, and each thread holds buffers.
            "threads": 1,
            "async_threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "enable_external_file_cache": False,
            "python_enable_replacements": False,
        },
    )
    with connection, ThreadPoolExecutor(1, "duckdb") as thread:
        database = Database(connection, thread)
        # DuckDB 2.0 doesn't keep this limit if it is among the options of connect().
        database.execute(f"SET max_temp_directory_size = {literal(spill)}")
        if time_zone is not None:
            database.execute(f"SET TimeZone = {literal(time_zone)}")
        # In this order: without access no directory can be allowed, and a lock ends all changes.
        database.execute(f"SET allowed_directories = [{literal(str(directory))}]")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        yield database


@contextmanager
def reading(name: str, *, parquet: bool) -> Iterator[None]:
    """Turn DuckDB's errors while it reads a file into faults, without paths of this machine.

    Our readers have read text to its end before. So only Parquet can still be at fault here.

    Raises:
        PermanentError: ``corrupt-file``, ``too-much-memory``, ``output-too-large`` or, for what no
            file causes, ``internal-error``.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise Fault.TOO_MUCH_MEMORY.error(f"{name!r} is too wide or too deep.") from error
    except duckdb.Error as error:
        if "File too large" in str(error):
            raise Fault.OUTPUT_TOO_LARGE.error() from error
        # These are about our SQL or this machine, whatever the file holds.
        ours = (duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.PermissionException)
        if parquet and (
            isinstance(error, duckdb.InvalidInputException) or not isinstance(error, ours)
        ):
            raise Fault.CORRUPT_FILE.error(f"{name!r} breaks the rules of Parquet.") from error
        raise Fault.INTERNAL_ERROR.error() from error


def literal(value: str) -> str:
    """A string as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name as an SQL identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'
