"""One upload fails with one error type, whichever task type reads it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import duckdb
import openpyxl
import pytest

from celeriac import PermanentError
from celeriac.testing.context import FakeContext
from tasks.generate_report import GenerateReport, generate_report
from tasks.process_file import ProcessFile, process_file

GOOD = b"date,amount\n2024-01-01,1\n2024-01-02,2\n"


def parquet(tmp_path: Path) -> bytes:
    path = tmp_path / "made.parquet"
    duckdb.execute(f"COPY (SELECT DATE '2024-01-01' AS date, 1 AS amount) TO '{path}'")
    return path.read_bytes()


def encrypted_parquet(tmp_path: Path) -> bytes:
    return b"PARE" + parquet(tmp_path)[4:-4] + b"PARE"


def workbook() -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["date", "amount"])
    book.active.append(["2024-01-01", 1])
    book.save(file)
    return file.getvalue()


def office(stream: str) -> bytes:
    return bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600) + stream.encode("utf-16-le") + bytes(600)


CASES: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "no bytes": ("a.csv", lambda _: b"", "empty-file"),
    "text of another encoding": (
        "a.csv",
        lambda _: "дата,сумма\n2024-01-01,1\n".encode("cp1251"),
        "unknown-encoding",
    ),
    "a row too long": ("a.csv", lambda _: GOOD + b"2024-01-03,3,4\n", "malformed-table"),
    "a quote that never closes": ("a.csv", lambda _: GOOD + b'2024-01-03,"3\n', "malformed-table"),
    "JSON lines cut short": (
        "a.jsonl",
        lambda _: b'{"date": "2024-01-01", "amount": 1}\n{"date": "2024-',
        "malformed-table",
    ),
    "too many columns": (
        "a.csv",
        lambda _: b",".join(b"c%d" % n for n in range(2_001)) + b"\n" + b"," * 2_000 + b"\n",
        "too-many-columns",
    ),
    "Parquet cut short": ("a.parquet", lambda tmp: parquet(tmp)[:-1], "truncated-file"),
    "Parquet with noise for data": (
        "a.parquet",
        lambda tmp: b"PAR1" + b"\xff" * 60 + parquet(tmp)[-8:],
        "corrupt-file",
    ),
    "encrypted Parquet": ("a.parquet", encrypted_parquet, "encrypted-file"),
    "a workbook cut short": ("a.xlsx", lambda _: workbook()[:2_000], "truncated-file"),
    "a workbook under a password": ("a", lambda _: office("EncryptedPackage"), "encrypted-file"),
    "an old workbook": ("a", lambda _: office("Workbook"), "unsupported-format"),
    "an executable": ("a", lambda _: b"\x7fELF\x02\x01\x01" + bytes(60), "unsupported-format"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_upload_has_one_error_type(tmp_path: Path, case: str) -> None:
    """``process-file`` and ``generate-report`` call what is wrong with a file by the same name."""
    name, content, expected = CASES[case]
    path = tmp_path / name
    path.write_bytes(content(tmp_path))
    workdir = tmp_path / "work"
    workdir.mkdir()
    context = FakeContext(workdir=workdir, files={f"files/1/{name}": path})
    file = ProcessFile.model_validate(
        {
            "file_key": f"files/1/{name}",
            "operations": {"validate": True},
            "encoding": "utf-8" if name == "a.csv" else None,
        }
    )
    report = GenerateReport.model_validate(
        {"user_id": "u-17", "report_type": "sales", "file_key": f"files/1/{name}"}
    )

    with pytest.raises(PermanentError) as processed:
        process_file(file, context)
    with pytest.raises(PermanentError) as reported:
        generate_report(report, context)

    assert (processed.value.type, reported.value.type) == (expected, expected)
