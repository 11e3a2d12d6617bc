"""The database of a report reaches its file's directory and nothing else."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import duckdb
import pytest

from tasks.reports.dataset import MEMORY, opened
from tasks.reports.parameters import Parameters

FORBIDDEN = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '{workdir}/other.csv'",
    "COPY data TO '{workdir}/out.csv'",
    "ATTACH '{workdir}/other.db'",
    "INSTALL httpfs",
    "LOAD excel",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "CREATE PERSISTENT SECRET (TYPE s3)",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_the_database_of_a_report_is_shut(tmp_path: Path, sql: str) -> None:
    """No other file, no extension and no setting can be reached, even by SQL of our own."""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    path = tmp_path / "fetched" / "data.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    with opened(path, Parameters()) as loader:
        data = loader.load([0])
        with pytest.raises(duckdb.Error):
            data.execute(sql.format(workdir=tmp_path))
        assert data.execute("SELECT c0 FROM data") == [("1",)]


def test_memory_and_threads_are_bounded(tmp_path: Path) -> None:
    """The database takes one core and its share of the worker's memory."""
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n")
    with opened(path, Parameters()) as loader:
        found: dict[str, str] = dict(
            loader.load([0]).execute(
                "SELECT name, value FROM duckdb_settings() "
                "WHERE name IN ('threads', 'memory_limit')"
            )
        )
    assert found == {"threads": "1", "memory_limit": MEMORY.replace("GiB", ".0 GiB")}


class TimeIsUp(Exception):
    """What a worker's signal handler raises."""


def test_the_end_of_a_tasks_time_reaches_it_in_the_middle_of_a_query(tmp_path: Path) -> None:
    """A signal ends an endless query, and the task sees what the handler raised."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n")
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with opened(path, Parameters()) as loader:
            data = loader.load([0])
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(TimeIsUp):
                data.execute(
                    "SELECT sum(a.range * b.range) FROM range(9000000) a, range(9000000) b"
                )
            assert data.execute("SELECT count(*) FROM data") == [(1,)]
    finally:
        signal.signal(signal.SIGALRM, before)
