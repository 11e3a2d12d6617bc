"""Files broken on purpose: each a clear error of a stable type."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import openpyxl
import pytest
import xlsxwriter

from celeriac.contract import PermanentError
from tasks.shared.faults import Fault

from .conftest import Make


def parquet(path: Path) -> bytes:
    duckdb.execute(
        "COPY (SELECT DATE '2024-01-01' AS date, range AS amount FROM range(20000)) "
        f"TO '{path}' (FORMAT parquet)"
    )
    return path.read_bytes()


def workbook(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def without(content: bytes, part: str) -> bytes:
    """A workbook that lacks one of its parts."""
    return rezipped(content, lambda name, data: None if name == part else data)


def rezipped(content: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, data)
    return file.getvalue()


def scrambled(content: bytes, part: bytes) -> bytes:
    """A workbook with bytes changed in the compressed data of one part."""
    start = content.index(part) + len(part) + 20
    return (
        content[:start]
        + bytes(byte ^ 0xFF for byte in content[start : start + 9])
        + content[start + 9 :]
    )


GOOD = b"date,amount\n2024-01-01,1\n2024-01-02,2\n"
SHEET = workbook([["date", "amount"], ["2024-01-01", 1]])
ROW = json.dumps({"date": "2024-01-01", "amount": 1}).encode()

TEXT_CASES = {
    "nothing at all": (b"", "empty-file"),
    "blank lines": (b"\n\n  \n", "empty-file"),
    "only commas' worth of header": (b"date,amount\n", "empty-file"),
    "a header without line end": (b"date,amount", "empty-file"),
    "a row with a cell too many": (GOOD + b"2024-01-03,3,4\n", "malformed-table"),
    "a row with a cell too few": (GOOD + b"2024-01-03\n", "malformed-table"),
    "a quote that never closes": (GOOD + b'2024-01-03,"3\n', "malformed-table"),
    "text after a closed quote": (GOOD + b'"2024-01-03"x,3\n', "malformed-table"),
    "a header whose quote never closes": (b'"date,amount\n' + b"x" * (2 << 20), "malformed-table"),
    "Windows-1251 called UTF-8": ("дата,сумма\n".encode("cp1251") + GOOD, "unknown-encoding"),
    "a UTF-8 character cut in half": (GOOD + "2024-01-03,é".encode()[:-1], "unknown-encoding"),
    "far too many columns": (b",".join(b"c%d" % n for n in range(501)) + b"\n", "too-many-columns"),
    "JSON lines cut short": (ROW + b"\n" + ROW[:-5], "malformed-table"),
    "a JSON array": (b"[" + ROW + b",\n" + ROW + b"]", "malformed-table"),
    "a JSON array of numbers": (b"[1, 2]", "malformed-table"),
    "HTML called a table": (b"<html><body>Not found</body></html>", None),
    "an executable": (b"\x7fELF\x02\x01\x01\x00\x00\x00", "unsupported-format"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\x00", "unsupported-format"),
    "a gzipped CSV": (gzip.compress(GOOD, mtime=0), "unsupported-format"),
    "an old workbook": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "unsupported-format",
    ),
    "a workbook cut short": (SHEET[: len(SHEET) // 2], "truncated-file"),
    "a workbook without its sheet": (without(SHEET, "xl/worksheets/sheet1.xml"), "corrupt-file"),
    "a workbook without its list of sheets": (
        without(SHEET, "xl/workbook.xml"),
        "corrupt-file",
    ),
    "a workbook whose sheet is no XML": (
        rezipped(SHEET, lambda name, data: data[:90] if "sheet1" in name else data),
        "corrupt-file",
    ),
    "a workbook with a flipped byte": (
        scrambled(SHEET, b"xl/worksheets/sheet1.xml"),
        "corrupt-file",
    ),
    "a workbook with nothing in it": (workbook([]), "empty-file"),
    "a workbook with a header only": (workbook([["date", "amount"]]), "empty-file"),
    "a zip that is no workbook": (zipped("a.csv", GOOD), "unsupported-format"),
}


@pytest.mark.parametrize("case", TEXT_CASES)
def test_a_broken_file_is_a_clear_error(make: Make, tmp_path: Path, case: str) -> None:
    """What can't be read fails for good, with a type and a sentence that shows no path of ours."""
    content, expected = TEXT_CASES[case]
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        make("sales", path)
    assert caught.value.type in {fault.type for fault in Fault}
    if expected:
        assert caught.value.type == expected
    assert str(tmp_path) not in caught.value.detail
    assert "strict_mode" not in caught.value.detail
    assert len(caught.value.detail) > 20


@pytest.mark.parametrize("kept", [4, 100, 0.5, -1])
def test_parquet_cut_short_is_truncated(make: Make, tmp_path: Path, kept: float) -> None:
    """A Parquet file that lost its end, or most of itself, is called truncated."""
    content = parquet(tmp_path / "good.parquet")
    length = int(len(content) * kept) if 0 < kept < 1 else int(kept)
    path = tmp_path / "upload"
    path.write_bytes(content[:length])
    with pytest.raises(PermanentError) as caught:
        make("sales", path)
    assert caught.value.type == "truncated-file"
    assert str(tmp_path) not in caught.value.detail


def test_parquet_with_scrambled_pages_is_broken(make: Make, tmp_path: Path) -> None:
    """Data that contradicts the file's own footer is noticed."""
    content = bytearray(parquet(tmp_path / "good.parquet"))
    content[4:400] = b"\xff" * 396
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        make("sales", path)
    assert caught.value.type == "corrupt-file"


def test_the_row_that_is_broken_is_told(make: Make, tmp_path: Path) -> None:
    """A row of the wrong length is found by the number an editor shows."""
    path = tmp_path / "upload"
    path.write_bytes(GOOD + b"2024-01-03,3,4\n")
    with pytest.raises(PermanentError, match="line 4 has 3 values for 2 columns"):
        make("sales", path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(make: Make, tmp_path: Path) -> None:
    """A workbook that unpacks to gigabytes is refused, whichever part of it does."""
    path = tmp_path / "upload"
    for part in ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/workbook.xml", "<workbook/>")
            with archive.open(part, "w", force_zip64=True) as file:
                for _ in range(1 << 10):
                    file.write(bytes(1 << 20))
                file.write(b"\x00")
        assert path.stat().st_size < 2 << 20
        with pytest.raises(PermanentError) as caught:
            make("sales", path)
        assert caught.value.type == "zip-bomb"


def test_a_cell_at_the_far_corner_takes_no_memory(make: Make, tmp_path: Path) -> None:
    """A sheet of two cells a million rows apart is a sheet of two cells."""
    content = rezipped(
        SHEET,
        lambda name, data: (
            data.replace(
                b"</sheetData>",
                b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>',
            )
            if "sheet1" in name
            else data
        ),
    )
    path = tmp_path / "upload"
    path.write_bytes(content)
    assert make("sales", path).figures["revenue"] == 1


def test_a_sheet_that_lies_about_its_size_is_read_whole(make: Make, tmp_path: Path) -> None:
    """Rows beyond the size that a sheet claims to have are rows all the same."""
    content = workbook([["date", "amount"], ["2024-01-01", 1], ["2024-01-02", 2]])
    path = tmp_path / "upload"
    path.write_bytes(
        rezipped(
            content,
            lambda name, data: data.replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1:B2"'),
        )
    )
    assert make("sales", path).figures["revenue"] == 3


def test_a_billion_laughs_are_refused(make: Make, tmp_path: Path) -> None:
    """Entities that multiply in a sheet's XML end in an error, not in memory."""
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    bomb = f"<?xml version='1.0'?><!DOCTYPE x [{entities}]><worksheet>&m;</worksheet>".encode()
    path = tmp_path / "upload"
    path.write_bytes(rezipped(SHEET, lambda name, data: bomb if "sheet1" in name else data))
    with pytest.raises(PermanentError) as caught:
        make("sales", path)
    assert caught.value.type == "decompression-bomb"


def test_a_workbook_of_another_program_is_read(make: Make, tmp_path: Path) -> None:
    """XLSX as XlsxWriter writes it, with its strings apart, is read like openpyxl's."""
    path = tmp_path / "upload"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["date", "amount"])
    sheet.write_row(1, 0, ["2024-01-01", 2.5])
    book.close()
    assert make("sales", path).figures["revenue"] == 2.5


def test_too_many_steps_are_refused(make: Make) -> None:
    """Days over several years don't fit on a page, so the caller picks longer steps."""
    rows = [{"date": "2020-01-01", "amount": "1"}, {"date": "2024-01-01", "amount": "1"}]
    with pytest.raises(PermanentError, match="coarser granularity") as caught:
        make("sales", rows, granularity="day")
    assert caught.value.type == "too-many-periods"


def test_a_report_that_needs_too_much_memory_says_so(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory and disk are bounded, and running into the bound is the caller's news."""
    monkeypatch.setattr("tasks.reports.dataset.MEMORY", "8MiB")
    monkeypatch.setattr("tasks.reports.dataset.SPILL", "1MiB")
    rows = [
        {"date": "2024-01-01", "amount": "1", "product": f"{number:0200}"}
        for number in range(60_000)
    ]
    with pytest.raises(PermanentError) as caught:
        make("sales", rows)
    assert caught.value.type == "too-much-memory"


def test_figures_too_large_for_a_result_are_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of a megabyte make tables that no result can hold, and the error says so."""
    monkeypatch.setattr("tasks.generate_report.FIGURES_BYTES", 100_000)
    rows = [
        {"date": "2024-01-01", "amount": "1", "product": f"{number}" + "x" * 2_000}
        for number in range(100)
    ]
    with pytest.raises(PermanentError, match="Group by shorter texts") as caught:
        make("sales", rows)
    assert caught.value.type == "output-too-large"
