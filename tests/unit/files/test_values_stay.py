"""A value that can be read in two ways stays as it is, or the caller says how to read it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import duckdb
import openpyxl
import pytest

from celeriac.contract import PermanentError
from tasks.files import tables

from .conftest import Run
from .test_tables import from_csv, from_jsonl, to_parquet

Process = Callable[..., Run]


def lines(process: Process, content: str, **convert: Any) -> list[Any]:
    """The rows of a CSV file as JSON lines."""
    return from_jsonl(process("a.csv", content, convert={"format": "jsonl", **convert}).content)


@pytest.mark.parametrize(
    "values",
    [
        ["01.02.25", "02.02.25"],
        ["01/02/2025", "03/04/2025"],
        ["2025-01-02", "02.01.2025"],
        ["2025/01/02"],
        ["Jan 2 2025"],
        ["20250102", "x"],
        ["1E5", "2E7"],
        ["1e-5"],
        ["007"],
        ["+49"],
        ["-0"],
        ["1,5", "2,5"],
        ["1.234.567"],
        ["1,234"],
        ["1.1", "1.10"],
        [".5"],
        ["5."],
        ["0x10"],
        ["1_000"],
        ["12345678901234567890"],
        ["0.1234567890123456"],
        ["2025-02-30"],
        ["2025-01-01T00:00:00+03:00"],
        ["inf"],
        ["t", "f"],
        ["yes", "no"],
        ["12:30"],
        ["1 000"],
        [" 1"],
    ],
)
def test_what_can_be_read_in_two_ways_stays_text(process: Process, values: list[str]) -> None:
    """No date, number or truth is made of a value whose writer may have meant another one."""
    content = "x,y\n" + "".join(f'"{value}",1\n' for value in values)

    assert [row["x"] for row in lines(process, content)] == values


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["1", "-20", "0"], [1, -20, 0]),
        (["1.5", "2", "1000000.0"], [1.5, 2, 1000000.0]),
        (["1.10", "1.20"], [1.1, 1.2]),
        (["true", "False"], [True, False]),
        (["2025-01-02", "2025-12-31"], ["2025-01-02", "2025-12-31"]),
        (["2025-01-01T00:00:00"], ["2025-01-01 00:00:00"]),
        (["2025-01-01T00:00:00Z"], ["2025-01-01 00:00:00+00"]),
        (["1", "NaN", ""], [1, None, None]),
        (["NaN"], [None]),
    ],
)
def test_what_can_be_read_in_one_way_has_its_type(
    process: Process, values: list[str], read: list[Any]
) -> None:
    """Numbers as programs write them and ISO dates are numbers and dates."""
    content = "x,y\n" + "".join(f"{value},1\n" for value in values)

    assert [row["x"] for row in lines(process, content)] == read


def test_all_rows_decide_a_type(process: Process) -> None:
    """Not the first thousands: they may have no value, or values of another kind."""
    rows = ["x,y,z"] + [",1,a"] * 5_000 + ["7,1,1"] + ["8,word,2"]

    assert lines(process, "\n".join(rows) + "\n")[-1] == {"x": 8, "y": "word", "z": "2"}


def test_the_caller_says_how_dates_and_numbers_are_written(process: Process) -> None:
    """With a format, 01.02.2025 is a day; with a decimal comma, 1,5 is a number."""
    rows = lines(
        process, "d;n\n01.02.2025;1,5\n28.02.2025;2\n", date_format="%d.%m.%Y", decimal_mark=","
    )

    assert rows == [{"d": "2025-02-01", "n": 1.5}, {"d": "2025-02-28", "n": 2}]


def test_csv_to_csv_keeps_every_character(process: Process) -> None:
    """Codes, prices and dates come out as they went in, unless types are asked for."""
    content = "a,b,c\n1E5,1.50,007\n01.02.25,2.25,\n"

    made = process("a.csv", content, convert={"format": "csv"}).content
    inferred = process("a.csv", content, convert={"format": "csv", "types": "infer"}).content

    assert from_csv(made) == from_csv(content.encode())
    assert from_csv(inferred)[1] == ["1E5", "1.5", "007"]


def test_json_lines_of_several_kinds_stay_what_they_are(process: Process) -> None:
    """A number and a text in one column are both themselves; in CSV each is its text."""
    content = '{"x": 1001, "y": 1}\n{"x": "A-1", "y": 2.5}\n{"x": true, "y": null}\n'

    again = from_jsonl(process("a.jsonl", content, convert={"format": "jsonl"}).content)
    flat = from_csv(process("a.jsonl", content, convert={"format": "csv"}).content)

    assert again == [{"x": 1001, "y": 1}, {"x": "A-1", "y": 2.5}, {"x": True, "y": None}]
    assert flat[1:] == [["1001", "1.0"], ["A-1", "2.5"], ["true", ""]]


def test_json_text_that_looks_like_a_date_stays_text(process: Process) -> None:
    """JSON says what is text: no date, number or id is made of it."""
    content = '{"d": "2025-01-02", "u": "00000000-0000-0000-0000-000000000001", "n": "007"}\n'
    table = process("a.jsonl", content, extract_metadata=True, validate=True).metadata.table

    assert table is not None
    assert {column.type for column in table.columns} == {"VARCHAR"}


@pytest.mark.parametrize("number", ["12345678901234567890123", "9007199254740993"])
def test_long_integers_of_json_lines_are_not_rounded(process: Process, number: str) -> None:
    """An integer that a double can't hold stays exact, next to fractions too."""
    content = f'{{"x": {number}}}\n{{"x": 1.5}}\n'

    flat = from_csv(process("a.jsonl", content, convert={"format": "csv"}).content)

    assert flat[1:] == [[number], ["1.5"]]


def test_not_a_number_is_no_value_in_json(process: Process, tmp_path: Any) -> None:
    """JSON has no words for NaN and infinity, whatever file they come from."""
    content = to_parquet("SELECT unnest(['nan'::DOUBLE, 'inf'::DOUBLE, 1.5]) AS x", tmp_path)

    made = process("a.parquet", content, convert={"format": "jsonl"}).content

    assert [json.loads(line, parse_constant=pytest.fail) for line in made.splitlines()] == [
        {"x": None},
        {"x": "inf"},
        {"x": 1.5},
    ]


def test_not_a_number_among_json_numbers_is_no_value(process: Process) -> None:
    """Programs write NaN into JSON lines; among texts or in a list, it makes the line no JSON."""
    made = process("a.jsonl", '{"x": NaN}\n{"x": 2.5}\n', convert={"format": "jsonl"}).content

    assert from_jsonl(made) == [{"x": None}, {"x": 2.5}]
    for line in ('{"x": [NaN]}', '{"x": {"y": Infinity}}', '{"x": "a"}\n{"x": NaN}'):
        with pytest.raises(PermanentError, match="NaN or Infinity") as raised:
            process("a.jsonl", line + "\n", validate=True)
        assert raised.value.type == "malformed-table"


def test_not_a_number_is_an_empty_cell(process: Process) -> None:
    """A sheet has no NaN either."""
    content = process("a.csv", "x,y\nNaN,1\n1.5,2\n", convert={"format": "xlsx"}).content

    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert [cell.value for cell in sheet["A"]] == ["x", None, 1.5]


def test_a_zoned_time_becomes_a_sheet(process: Process) -> None:
    """A sheet has no zones, so the time is text."""
    content = process("a.csv", "t,n\n2025-01-01T00:00:00Z,1\n", convert={"format": "xlsx"}).content

    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    assert [cell.value for cell in sheet[2]] == ["2025-01-01 00:00:00+00", 1]


@pytest.mark.parametrize(
    "content",
    [
        "a,b\r\n1,2\n3,4\r\n",
        "a,b\n1,2\n\n3,4\n\n",
        "sep=;\r\na;b\r\n1;2\r\n3;4\r\n",
        '"sep=\t"\na\tb\n1\t2\n3\t4',
        "\ufeffa,b\n1,2\n3,4\n",
        "a,b\r1,2\r3,4\r",
        "\n\na,b\n1,2\n   \n3,4\n",
    ],
)
def test_good_tables_are_read_as_people_save_them(process: Process, content: str) -> None:
    """Mixed line ends, blank lines, Excel's mark for the delimiter and a byte order mark."""
    rows = process("a.csv", content, validate=True, convert={"format": "jsonl"}).content

    assert from_jsonl(rows) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_blank_lines_are_counted(process: Process) -> None:
    """What is left out is said."""
    table = process("a.csv", "a,b\n\n1,2\n\n", extract_metadata=True).metadata.table

    assert table is not None
    assert (table.rows, table.blank_lines) == (1, 2)


def test_a_missing_value_alone_in_its_row_is_a_row(process: Process) -> None:
    """It isn't written as a blank line, which readers leave out."""
    made = process("a.jsonl", '{"x": 1}\n{"x": null}\n', convert={"format": "csv"}).content

    assert process("b.csv", made, extract_metadata=True).metadata.table.rows == 2  # type: ignore[union-attr]


def test_columns_without_a_name_of_their_own_get_one(process: Process) -> None:
    """Names that are missing, or equal but for their case, are told apart."""
    rows = lines(process, "a,A,,a_1\n1,2,3,4\n")

    assert rows == [{"a": 1, "A_1": 2, "column2": 3, "a_1_1": 4}]


def test_a_fault_of_ours_never_blames_the_file(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that no file can cause is an internal error, not a malformed table."""

    def broken(*_: object) -> None:
        raise duckdb.InvalidInputException("Required module 'pytz' failed to import")

    monkeypatch.setattr(tables, "found_types", broken)
    with pytest.raises(PermanentError) as raised:
        process("a.csv", "a,b\n1,2\n", extract_metadata=True)
    assert raised.value.type == "internal-error"


def test_a_line_of_millions_of_marks_is_counted_first(process: Process) -> None:
    """25 MiB of commas are too many columns, found in a megabyte of them."""
    with pytest.raises(PermanentError) as raised:
        process("a.csv", "a,b\n" + "," * 25_000_000 + "\n", validate=True)
    assert raised.value.type == "too-many-columns"


def test_json_lines_of_ever_new_names_end_soon(process: Process) -> None:
    """A megabyte of names is no table, and costs no schema of so many columns."""
    content = "\n".join(
        json.dumps({f"{row}-{column}": 1 for column in range(50)}) for row in range(1_000)
    )
    with pytest.raises(PermanentError) as raised:
        process("a.jsonl", content, validate=True)
    assert raised.value.type == "too-many-columns"


def test_json_lines_may_be_named_json(process: Process) -> None:
    """Many programs name them so, and each line is JSON."""
    run = process("a.json", '{"a": 1}\n{"a": 2}\n', validate=True, extract_metadata=True)

    assert run.metadata.content_type == "application/x-ndjson"


def test_a_json_array_is_named(process: Process) -> None:
    """It isn't JSON lines, and the detail says so in our words."""
    with pytest.raises(PermanentError, match="a JSON array, not JSON lines"):
        process("a.jsonl", '[{"a": 1},\n{"a": 2}]', validate=True)


@pytest.mark.parametrize(
    "line",
    [
        r'{"x": "\ud800"}',
        r'{"\udfff": 1}',
        '{"x": 1}\r{"x": 2}',
        '{"x": 1}\n\u00a0\n{"x": 2}',
        '{"x": 1, "x": 2}',
        '{"x": 1} {"x": 2}',
        '{"x": 1,}',
        "{'x': 1}",
        '{"x": 01}',
        '{"x": "a\tb"}',
    ],
)
def test_a_line_that_is_no_json_is_named(process: Process, line: str) -> None:
    """What two parsers of JSON may read differently is refused by ours, with the line."""
    with pytest.raises(PermanentError, match=r"line \d") as raised:
        process("a.jsonl", line + "\n", validate=True, convert={"format": "csv"})
    assert raised.value.type == "malformed-table"


def test_a_pair_of_surrogates_is_a_character(process: Process) -> None:
    """Escapes of JSON may need two for one character."""
    rows = process("a.jsonl", r'{"x": "\ud83d\ude00"}' + "\n", convert={"format": "csv"}).content

    assert from_csv(rows) == [["x"], ["😀"]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_wide_text_without_its_mark_is_read_if_it_is_named(process: Process, encoding: str) -> None:
    """The sender's word is needed, since such text looks like binary data."""
    content = "a,b\n1,é\n".encode(encoding)

    run = process("a.csv", content, encoding=encoding, validate=True, convert={"format": "jsonl"})

    assert from_jsonl(run.content) == [{"a": 1, "b": "é"}]
