"""Memory stays bounded, and is what a fresh process says it took."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from bench.files import make_photo, make_table
from celeriac.contract import PermanentError
from celeriac.testing.context import FakeContext
from tasks.generate_report import GenerateReport, generate_report
from tasks.process_file import ProcessFile, process_file
from tasks.shared.guard import ceiling

ROOT = Path(__file__).parents[3]
MIB = 2**20
SOFT_LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_DATA)


def peak_mib(case: str, path: Path) -> float:
    """The peak memory of a process that does a case of the bench to this file."""
    run = subprocess.run(
        [sys.executable, "-m", "bench.files", case, str(path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(run.stdout.split()[1])


def test_a_large_photograph_is_looked_at_in_little_memory(tmp_path: Path) -> None:
    """24 megapixels would be 96 MiB decoded; validating and a thumbnail need no such picture."""
    make_photo(tmp_path / "photo.jpg", 6_000, 4_000)

    assert peak_mib("50 MP JPEG: look and thumbnail", tmp_path / "photo.jpg") < 90


def test_a_large_photograph_is_converted_within_its_budget(tmp_path: Path) -> None:
    """Half a gigabyte for 24 megapixels: the picture once, and what the encoder takes."""
    make_photo(tmp_path / "photo.jpg", 6_000, 4_000)

    assert peak_mib("50 MP JPEG: all to WebP", tmp_path / "photo.jpg") < 512


def test_a_long_table_is_streamed(tmp_path: Path) -> None:
    """Ten times the rows take hardly more memory."""
    make_table(tmp_path / "short.csv", 20_000)
    make_table(tmp_path / "long.csv", 200_000)

    short, long = (
        peak_mib("2 M rows of CSV: to JSON lines", tmp_path / name)
        for name in ("short.csv", "long.csv")
    )

    assert long < short + 150
    assert long < 400


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is Linux's")
def test_memory_past_the_ceiling_is_a_fault_and_the_limits_come_back() -> None:
    """The operating system refuses the memory; the process goes on as before."""
    before = [resource.getrlimit(which) for which in SOFT_LIMITS]

    with pytest.raises(PermanentError) as raised, ceiling(memory=64 * MIB, output=MIB):
        bytearray(256 * MIB)

    assert raised.value.type == "too-much-memory"
    assert [resource.getrlimit(which) for which in SOFT_LIMITS] == before
    assert len(bytearray(256 * MIB)) == 256 * MIB


def test_a_file_that_takes_too_long_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt would take as long, in both task types that read files."""

    def slow(*_: object, **__: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr("tasks.process_file._apply", slow)
    monkeypatch.setattr("tasks.generate_report.make_report", slow)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    context = FakeContext(workdir=tmp_path, files={"k": tmp_path / "a.csv"})
    report = {"user_id": 1, "report_type": "sales", "file_key": "k"}

    with pytest.raises(PermanentError) as processed:
        process_file(ProcessFile.model_validate({"file_key": "k"}), context)
    with pytest.raises(PermanentError) as reported:
        generate_report(GenerateReport.model_validate(report), context)

    assert (processed.value.type, reported.value.type) == ("too-much-time", "too-much-time")


def test_a_reports_memory_is_bounded_by_the_operating_system_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library allocates for a report, the worker's other tasks keep their memory."""

    def greedy(*_: object, **__: object) -> None:
        bytearray(8 << 30)

    monkeypatch.setattr("tasks.generate_report.make_report", greedy)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    context = FakeContext(workdir=tmp_path, files={"k": tmp_path / "a.csv"})
    report = {"user_id": 1, "report_type": "sales", "file_key": "k"}

    with pytest.raises(PermanentError) as raised:
        generate_report(GenerateReport.model_validate(report), context)
    assert raised.value.type == "too-much-memory"


def test_output_past_the_ceiling_is_refused(tmp_path: Path) -> None:
    """A file can't grow past the limit, so that no result fills the worker's disk."""
    with pytest.raises(OSError, match="too large"), ceiling(memory=64 * MIB, output=MIB):
        (tmp_path / "out").write_bytes(bytes(2 * MIB))

    (tmp_path / "out").write_bytes(bytes(2 * MIB))
