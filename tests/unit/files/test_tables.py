from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import duckdb
import pytest

from .conftest import FIXTURES, Run

Process = Callable[..., Run]

PEOPLE = [
    ("007", "Smith, Ann", "1990-01-02", 10.5),
    ("008", "Анна", "1991-02-03", -2.25),
    ("009", '=1+1 "x"', "1992-12-31", 1000000.0),
]


def from_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def from_jsonl(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.decode().splitlines()]


def from_parquet(content: bytes, folder: Path) -> tuple[list[tuple[str, str]], list[Any]]:
    """Names with types, and rows."""
    path = folder / "made.parquet"
    path.write_bytes(content)
    with duckdb.connect() as connection:
        found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        columns = [(each[0], str(each[1])) for each in found.description]
        return columns, found.fetchall()


def from_xlsx(content: bytes) -> list[list[str | None]]:
    """The cells of the only sheet as XlsxWriter wrote them: text inline, numbers bare."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = ET.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    return [
        [
            next(
                (part.text for part in cell.iter() if part.tag in (space + "t", space + "v")), None
            )
            for cell in row
        ]
        for row in sheet.iter(space + "row")
    ]


def to_parquet(sql: str, folder: Path) -> bytes:
    path = folder / "source.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def test_metadata_of_csv_names_columns_types_and_rows(process: Process) -> None:
    """Types are found from all the rows; numbers with leading zeros are text."""
    found = process("people.csv", validate=True, extract_metadata=True).metadata

    assert found.content_type == "text/csv"
    assert found.table is not None
    assert [(each.name, each.type) for each in found.table.columns] == [
        ("id", "VARCHAR"),
        ("name", "VARCHAR"),
        ("born", "DATE"),
        ("amount", "DOUBLE"),
    ]
    assert (found.table.rows, found.table.delimiter, found.table.encoding) == (3, ",", "utf-8")


def test_a_value_at_the_end_decides_the_type_too(process: Process) -> None:
    """A column of a hundred thousand numbers and one word is text."""
    content = "a,b\n" + "1,2\n" * 100_000 + "word,2\n"
    run = process("a.csv", content, validate=True, extract_metadata=True, convert={"format": "csv"})

    assert run.metadata.table is not None
    assert [each.type for each in run.metadata.table.columns] == ["VARCHAR", "BIGINT"]
    assert from_csv(run.content)[-1] == ["word", "2"]


def test_csv_becomes_json_lines(process: Process) -> None:
    """A row is an object; names, order and types stay."""
    rows = from_jsonl(process("people.csv", convert={"format": "jsonl"}).content)

    assert [tuple(row.values()) for row in rows] == PEOPLE
    assert list(rows[0]) == ["id", "name", "born", "amount"]


def test_csv_becomes_parquet(process: Process, tmp_path: Path) -> None:
    """Dates are dates there and numbers numbers."""
    columns, rows = from_parquet(
        process("people.csv", convert={"format": "parquet"}).content, tmp_path
    )

    assert columns == [
        ("id", "VARCHAR"),
        ("name", "VARCHAR"),
        ("born", "DATE"),
        ("amount", "DOUBLE"),
    ]
    assert [(a, b, c.isoformat(), d) for a, b, c, d in rows] == PEOPLE


def test_csv_becomes_xlsx_without_formulas(process: Process) -> None:
    """What begins with = stays text; dates become Excel's days since 1900."""
    content = process("people.csv", convert={"format": "xlsx"}).content

    assert from_xlsx(content)[0] == ["id", "name", "born", "amount"]
    assert from_xlsx(content)[3] == ["009", '=1+1 "x"', "33969", "1000000"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


def test_an_xlsx_made_here_is_read_here(process: Process) -> None:
    """Its metadata has the columns, the types and the rows of the CSV it came from."""
    content = process("people.csv", convert={"format": "xlsx"}).content

    (sheet,) = (
        process("made.xlsx", content, validate=True, extract_metadata=True).metadata.sheets or []
    )

    assert [(each.name, each.type) for each in sheet.columns] == [
        ("id", "text"),
        ("name", "text"),
        ("born", "date"),
        ("amount", "number"),
    ]
    assert sheet.rows == 3


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_there_and_back_again(process: Process, format: str) -> None:
    """CSV through another format is the same rows as CSV."""
    there = process("people.csv", convert={"format": format}).content

    back = process(f"there.{format}", there, validate=True, convert={"format": "csv"}).content

    rows = from_csv(back)
    assert rows[0] == ["id", "name", "born", "amount"]
    assert [(a, b, c, float(d)) for a, b, c, d in rows[1:]] == PEOPLE


def test_text_types_leave_every_value_as_written(process: Process) -> None:
    """Neither 1.50 nor an empty field nor a date changes."""
    content = "a,b,c\n1.50,,01/02/2024\n2,x,\n"
    rows = from_jsonl(
        process("a.csv", content, convert={"format": "jsonl", "types": "text"}).content
    )

    assert rows == [{"a": "1.50", "b": "", "c": "01/02/2024"}, {"a": "2", "b": "x", "c": ""}]


def test_nested_json_becomes_json_text_in_flat_formats(process: Process) -> None:
    """A list or an object in a cell of CSV is JSON that can be read again."""
    content = (
        '{"id": 1, "tags": ["a", "b"], "at": {"x": 1}}\n{"id": 2, "tags": [], "at": {"x": 2}}\n'
    )
    rows = from_csv(process("a.jsonl", content, convert={"format": "csv"}).content)

    assert [json.loads(cell) for cell in rows[1]] == [1, ["a", "b"], {"x": 1}]
    assert [json.loads(cell) for cell in rows[2]] == [2, [], {"x": 2}]


def test_parquet_keeps_nesting_as_json_lines(process: Process, tmp_path: Path) -> None:
    """JSON lines need no flattening."""
    content = to_parquet("SELECT range AS id, {'x': [range, 2]} AS at FROM range(3)", tmp_path)

    run = process("a.parquet", content, extract_metadata=True, convert={"format": "jsonl"})

    assert from_jsonl(run.content) == [{"id": n, "at": {"x": [n, 2]}} for n in range(3)]
    assert run.metadata.table is not None
    assert run.metadata.table.rows == 3


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_found(process: Process, delimiter: str) -> None:
    """By the first line, whatever marks stand inside quotes."""
    content = f'"a,,,,"{delimiter}b\n1{delimiter}2\n'
    run = process("a.csv", content, extract_metadata=True, convert={"format": "csv"})

    assert run.metadata.table is not None
    assert run.metadata.table.delimiter == delimiter
    assert from_csv(run.content) == [["a,,,,", "b"], ["1", "2"]]


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16", "utf-8-sig", "koi8-r"])
def test_other_encodings_become_utf_8(process: Process, encoding: str) -> None:
    """Recognised by a mark or by their letters."""
    text = "имя,город\nАнна Петрова,Санкт-Петербург\nБорис Иванов,Нижний Новгород\n"
    content = process("a.csv", text.encode(encoding), convert={"format": "csv"}).content

    assert content.decode() == text


def test_a_named_encoding_is_believed(process: Process) -> None:
    """Four letters are too few to recognise an encoding by, and enough if it is said."""
    run = process(
        "a.csv", "имя\nЖора\n".encode("cp866"), encoding="cp866", convert={"format": "jsonl"}
    )

    assert from_jsonl(run.content) == [{"имя": "Жора"}]


def test_lines_that_look_like_comments_are_rows(process: Process) -> None:
    """Nothing in a CSV file is skipped."""
    rows = from_csv(process("a.csv", "#id,b\n#1,2\n# 3,4\n", convert={"format": "csv"}).content)

    assert rows == [["#id", "b"], ["#1", "2"], ["# 3", "4"]]


def test_numbers_too_long_for_a_cell_become_text(process: Process) -> None:
    """A sheet's number has 15 certain digits; more are kept as text, not rounded."""
    content = process(
        "a.jsonl", '{"n": 1234567890123456789, "x": 1}\n', convert={"format": "xlsx"}
    ).content

    assert from_xlsx(content)[1] == ["1234567890123456789", "1"]


def test_a_table_is_packed_by_gzip(process: Process) -> None:
    """The same file gives the same bytes, which unpack to it."""
    import gzip

    first, second = (process("people.csv", compress=True) for _ in range(2))

    assert first.content == second.content
    assert gzip.decompress(first.content) == (FIXTURES / "people.csv").read_bytes()
    assert first.result.artifacts[0].content_type == "application/gzip"
