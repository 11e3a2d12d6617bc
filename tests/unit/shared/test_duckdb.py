"""The sandbox in which tables of callers are read."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from tasks.shared.duckdb import identifier, literal, opened

ENDLESS = "SELECT sum(hash(a * b)) FROM range(10000000) x(a), range(10000000) y(b)"

REFUSED = [
    "FROM read_csv('/etc/passwd')",
    "FROM read_csv('{work}/../other.csv')",
    "COPY (SELECT 1) TO '{work}/../new.csv'",
    "ATTACH '{work}/../new.db'",
    "FROM read_csv('https://example.com/a.csv')",
    "INSTALL httpfs",
    "LOAD excel",
    "SET memory_limit = '100GB'",
    "SET allowed_directories = ['/']",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET TimeZone = 'UTC'",
    "CREATE PERSISTENT SECRET (TYPE s3)",
    "FROM some_variable",
]


class TimeIsUpError(Exception):
    """What a worker's signal handler raises."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Let a signal handler raise ``TimeIsUpError`` after so many seconds."""

    def ring(*_: object) -> None:
        raise TimeIsUpError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory for the database, next to a file that it must not reach."""
    (tmp_path / "other.csv").write_text("a\n1\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "own.csv").write_text("a\n1\n")
    return work


@pytest.mark.parametrize("sql", REFUSED)
def test_a_database_reaches_its_own_directory_alone(work: Path, sql: str) -> None:
    """No other file, network, extension, setting or Python variable is reached, by whatever SQL."""
    some_variable = duckdb.sql("SELECT 1")  # a Python variable that DuckDB finds by its name

    with opened(work, "64MiB", "64MiB") as database:
        with pytest.raises(duckdb.Error, match=r"Permission|locked|Cannot|does not exist|disabled"):
            database.execute(sql.format(work=work))
        assert database.execute("FROM read_csv(?)", [f"{work}/own.csv"]) == [(1,)]
        database.execute(f"COPY (SELECT 2 AS a) TO {literal(f'{work}/made.csv')}")

    assert some_variable is not None
    assert (work / "made.csv").read_text() == "a\n2\n"
    assert not list(work.parent.glob("new*"))


def test_what_exceeds_its_memory_spills_to_its_directory(work: Path) -> None:
    """A table of several times its memory fits, and fails where no disk is left either."""
    noise = "CREATE TABLE noise AS SELECT sha256(range::VARCHAR) AS value FROM range(1_000_000)"

    with opened(work, "16MiB", "1GiB") as database:
        database.execute(noise)
        assert database.execute("SELECT count(value) FROM noise") == [(1_000_000,)]
    with opened(work, "16MiB", "1MiB") as database, pytest.raises(duckdb.OutOfMemoryException):
        database.execute(noise)


def test_times_are_of_the_zone_that_was_asked_for(work: Path) -> None:
    """A moment is shown as the clock of that zone shows it."""
    moment = "SELECT CAST(TIMESTAMPTZ '2026-01-01 12:00:00+00' AS VARCHAR)"

    with opened(work, "64MiB", "64MiB", "Asia/Tokyo") as database:
        assert database.execute(moment) == [("2026-01-01 21:00:00+09",)]


def test_a_long_query_ends_when_a_signal_says_so(work: Path) -> None:
    """What the signal's handler raises comes out at once, and the database remains usable."""
    started = time.monotonic()

    with opened(work, "64MiB", "64MiB") as database:
        with alarm(0.3), pytest.raises(TimeIsUpError):
            database.execute(ENDLESS)
        assert database.execute("SELECT 1") == [(1,)]

    assert time.monotonic() - started < 60


def test_a_stream_ends_when_a_signal_says_so(work: Path) -> None:
    """Fetching the rows of a stream is as interruptible as a query."""
    started = time.monotonic()

    with opened(work, "64MiB", "64MiB") as database, alarm(0.3), pytest.raises(TimeIsUpError):
        database.stream(ENDLESS)(1)

    assert time.monotonic() - started < 60


def test_a_stream_hands_out_all_rows_in_pieces(work: Path) -> None:
    """Each call returns the next rows, at most as many as asked for, and then none."""
    with opened(work, "64MiB", "64MiB") as database:
        fetch = database.stream("FROM range(5)")

        assert [fetch(2), fetch(2), fetch(2), fetch(2)] == [[(0,), (1,)], [(2,), (3,)], [(4,)], []]


@pytest.mark.parametrize("name", ["plain", "", "it's", 'a"b', "; DROP TABLE t; --", "имя"])
def test_names_and_texts_are_quoted(work: Path, name: str) -> None:
    """Any text can be a literal, and any but an empty one a column's name."""
    with opened(work, "64MiB", "64MiB") as database:
        assert database.execute(f"SELECT {literal(name)}") == [(name,)]
        if name:
            database.execute(f"CREATE TABLE t ({identifier(name)} INTEGER)")
            assert database.execute("DESCRIBE t")[0][0] == name
