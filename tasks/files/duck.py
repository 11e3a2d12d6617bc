"""A DuckDB that reaches one directory and nothing else, and keeps to its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.files import limits

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")


@contextmanager
def connected(directory: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that may read and write files in ``directory``, and spill there.

    No network, no other path, no extension, no change of these settings: whatever SQL or file it
    is given (duckdb.org/docs/stable/operations_manual/securing_duckdb/overview).
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": limits.TABLE_MEMORY,
            "max_temp_directory_size": limits.TABLE_SPILL,
            "temp_directory": str(directory.resolve() / "spill"),
            # Two of these processes share a vCPU, and each thread holds buffers.
            "threads": 1,
            "async_threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "enable_external_file_cache": False,
        },
    )
    with connection:
        # In this order: nothing can be allowed once access is off, nor changed once locked.
        connection.execute(f"SET allowed_directories = [{text(str(directory.resolve()))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Do work on a connection, such as ``execute`` or ``fetchall``, that a signal can end.

    What the signal's handler raises, be it for a time limit or a cancellation, ends the query and
    comes out. In the main thread DuckDB would look for signals only now and then, and raise a
    RuntimeError of its own instead.
    """
    with ThreadPoolExecutor(max_workers=1) as aside:
        running = aside.submit(work)
        try:
            return running.result()
        except BaseException:
            if not running.done():
                connection.interrupt()
            raise


def text(value: str) -> str:
    """A string as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
