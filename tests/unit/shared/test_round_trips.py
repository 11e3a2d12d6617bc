"""A table written in a format and read back is the same cells, whatever stands in them."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac import PermanentError
from celeriac.testing.context import FakeContext
from tasks.process_file import ProcessFile, process_file
from tasks.shared.delimited import read_delimited
from tasks.shared.duckdb import opened
from tasks.shared.faults import Fault
from tasks.shared.jsonlines import read_json_lines
from tasks.shared.workbooks import Kind, opened_workbook

# Text as people and programs write it: numbers and dates in all manners, marks, quotes, line ends.
PIECES = [
    *("1", "007", "1.5", "1.50", "1,5", "1E5", "-0", "01.02.2025", "2025-01-02", "true", "NaN"),
    *("2025-01-01T00:00:00Z", "null", "é", "東京", "😀", "=1+1", "#", "'", '"', '""', ",", ";"),
    *("\t", "|", "\n", "\r\n", "\r", "\\", " ", "a", "sep=;", "_x0041_", "{", "[", "$", "%"),
]
WRITABLE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
texts = st.one_of(
    st.sampled_from(PIECES),
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
    st.text(WRITABLE, max_size=12),
)
tables = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=12)
)
numbers = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.booleans(),
    st.none(),
    texts,
)
QUICK = settings(max_examples=60, deadline=None)


def converted(content: bytes, name: str, format: str, **options: Any) -> bytes:
    """The file that process-file makes of another one."""
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / name).write_bytes(content)
        context = FakeContext(workdir=folder, files={f"files/1/{name}": folder / name})
        convert = {"format": format, **options}
        process_file(
            ProcessFile.model_validate(
                {
                    "file_key": f"files/1/{name}",
                    "encoding": "utf-8",
                    "operations": {"convert": convert},
                }
            ),
            context,
        )
        (made,) = context.artifacts.values()
        return made.content


def as_csv(rows: list[list[str]], **dialect: Any) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, **dialect)
    writer.writerow([f"c{index}" for index in range(len(rows[0]))])
    writer.writerows(rows)
    return buffer.getvalue().encode()


@QUICK
@given(
    rows=tables,
    delimiter=st.sampled_from(",;\t|"),
    ends=st.sampled_from(["\r\n", "\n"]),
)
def test_the_cells_of_csv_are_its_texts(rows: list[list[str]], delimiter: str, ends: str) -> None:
    """Each cell as text is what was written, in any dialect."""
    content = as_csv(rows, delimiter=delimiter, lineterminator=ends, quoting=csv.QUOTE_ALL)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "in"
        path.write_bytes(content)
        read = read_delimited(path, "in", "utf-8", Path(directory) / "rows", 100)
        with opened(Path(directory), "64MiB", "64MiB") as database:
            names = ", ".join(f"coalesce(f{index}, '')" for index in range(len(rows[0])))
            found = database.execute(f"SELECT {names} FROM {read.relation}")

    assert [list(row) for row in found] == rows
    assert (read.delimiter, read.count) == (delimiter, len(rows))


@QUICK
@given(rows=tables)
def test_csv_to_csv_and_back_is_the_same(rows: list[list[str]]) -> None:
    """No text changes on its way, as types are asked for by nobody."""
    made = converted(as_csv(rows, quoting=csv.QUOTE_ALL), "a.csv", "csv")

    read = list(csv.reader(io.StringIO(made.decode(), newline="")))
    assert read[1:] == rows


@QUICK
@given(values=st.lists(texts, min_size=1, max_size=6))
def test_a_type_is_given_only_to_what_reads_back_the_same(values: list[str]) -> None:
    """A number, truth or date that CSV's text became is written back as it stood, or nearly so.

    A number may lose zeros that say nothing: all values of the column have the same decimals.
    """
    rows = [[value, "x"] for value in values]
    content = as_csv(rows, quoting=csv.QUOTE_ALL)
    made = converted(content, "a.csv", "jsonl").decode().splitlines()

    for value, line in zip(values, made, strict=True):
        read = json.loads(line, parse_float=Decimal)["c0"]
        match read:
            case bool():
                assert value.lower() == str(read).lower()
            case int():
                assert value == str(read)
            case Decimal():
                assert re.fullmatch(r"-?\d+(\.\d+)?", value)
                assert Decimal(value) == read
            case None:
                assert value in ("", "NaN")
            case str() if value != read:
                assert re.match(r"\d{4}-\d\d-\d\d[T ]", value)


@QUICK
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=10))
def test_json_lines_keep_each_value(rows: list[tuple[Any, Any]]) -> None:
    """Numbers, truths, nulls and texts in one column stay what they are."""
    content = "".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in rows).encode()

    made = converted(content, "a.jsonl", "jsonl").decode().splitlines()

    read = [tuple(json.loads(line).values()) for line in made]
    assert [tuple(map(kind_and_value, row)) for row in read] == [
        tuple(map(kind_and_value, row)) for row in rows
    ]


def kind_and_value(value: Any) -> tuple[str, Any]:
    """JSON has one kind of number: 1 and 1.0 are the same."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return ("number" if number else type(value).__name__), value


@QUICK
@given(rows=tables, format=st.sampled_from(["jsonl", "parquet"]))
def test_texts_survive_other_formats(rows: list[list[str]], format: str) -> None:
    """CSV as text through JSON lines or Parquet is the same CSV."""
    there = converted(as_csv(rows, quoting=csv.QUOTE_ALL), "a.csv", format, types="text")
    back = converted(there, f"a.{format}", "csv")

    assert list(csv.reader(io.StringIO(back.decode(), newline="")))[1:] == rows


@QUICK
@given(
    rows=st.lists(
        st.lists(
            st.one_of(
                st.text(WRITABLE, min_size=1, max_size=12),
                st.sampled_from([each for each in PIECES if "\r" not in each]),
                st.integers(-(10**14), 10**14),
                st.floats(-1e9, 1e9, allow_nan=False).map(lambda each: round(each, 3)),
                st.booleans(),
            ),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=8,
    ),
    constant=st.booleans(),
)
def test_the_cells_of_a_workbook_are_what_was_written(
    rows: list[list[Any]], constant: bool
) -> None:
    """Texts, numbers and truths come back as themselves, shared or inline."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a.xlsx"
        options = {"constant_memory": constant, "strings_to_urls": False}
        with xlsxwriter.Workbook(str(path), options) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                for column, value in enumerate(row):
                    match value:
                        case bool():
                            sheet.write_boolean(number, column, value)
                        case int() | float():
                            sheet.write_number(number, column, value)
                        case _:
                            sheet.write_string(number, column, value)
        with opened_workbook(path, "a.xlsx") as opened_book:
            shared = opened_book.shared()
            read = [
                [
                    shared[int(cell.text)] if cell.kind is Kind.SHARED else plain(cell)
                    for cell in row
                ]
                for row in opened_book.rows(opened_book.sheets[0])
            ]

    assert read == rows


def plain(cell: Any) -> Any:
    match cell.kind:
        case Kind.NUMBER:
            return float(cell.text)
        case Kind.BOOLEAN:
            return cell.text == "true"
        case _:
            return cell.text


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.binary(max_size=300), texts.map(str.encode)))
def test_no_bytes_end_in_anything_but_a_fault(content: bytes) -> None:
    """Whatever a file named as a table holds, the readers read it or name what is wrong."""
    known = {fault.type for fault in Fault} - {Fault.INTERNAL_ERROR.type}
    for name in ("a.csv", "a.jsonl", "a.xlsx", "a.parquet"):
        with TemporaryDirectory() as directory:
            folder = Path(directory)
            (folder / name).write_bytes(content)
            context = FakeContext(workdir=folder, files={f"files/1/{name}": folder / name})
            try:
                process_file(ProcessFile.model_validate({"file_path": f"files/1/{name}"}), context)
            except PermanentError as error:
                assert error.type in known  # noqa: PT017 - not failing is right too


@QUICK
@given(
    lines=st.lists(st.dictionaries(st.text(WRITABLE, max_size=5), numbers, max_size=4), max_size=6)
)
def test_names_of_json_are_columns(lines: list[dict[str, Any]]) -> None:
    """Any name is a column's, and a line may lack it; or the fault says which names clash."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "in"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        try:
            read = read_json_lines(path, "in", 100)
        except PermanentError as error:
            assert error.type in ("malformed-table", "empty-file")  # noqa: PT017 - or it is read
            return
        with opened(Path(directory), "64MiB", "64MiB") as database:
            ((count,),) = database.execute(f"SELECT count(*) FROM {read.relation}")
            database.execute(f"SELECT * FROM {read.relation}")

    assert count == len(lines)


@QUICK
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_sheet_made_here_has_every_digit(value: float) -> None:
    """A double in XLSX is the same double, not one of 16 digits."""
    content = json.dumps({"x": value}) + "\n"
    made = converted(content.encode(), "a.jsonl", "xlsx")
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a.xlsx"
        path.write_bytes(made)
        with opened_workbook(path, "a.xlsx") as book:
            _, (cell,) = book.rows(book.sheets[0])

    assert (cell.kind, float(cell.text)) == (Kind.NUMBER, value)
