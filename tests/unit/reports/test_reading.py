"""The same rows give the same figures from every format, encoding and way of writing numbers."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import openpyxl
import pytest

from celeriac.contract import PermanentError

from .conftest import Make, write_csv

ROWS = [
    {"date": "2024-01-31", "amount": "1234.5", "product": "007"},
    {"date": "2024-02-29", "amount": "-0.1", "product": "Чай; «зелёный»"},
    {"date": "2024-02-01", "amount": "", "product": 'say "hi"\nand bye'},
    {"date": "2024-03-01", "amount": "0.3", "product": ""},
]


def sums(made_figures: dict[str, list[dict[str, object]]]) -> dict[object, object]:
    return {row["product"]: row["revenue"] for row in made_figures["by_product"]}


EXPECTED = {"007": 1234.5, "Чай; «зелёный»": -0.1, "(not given)": 0.3}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_csv_with_any_common_delimiter(
    make: Make, tmp_path: Path, delimiter: str, line_end: str
) -> None:
    """Quotes, line breaks in a cell and leading zeros survive, whatever separates the cells."""
    path = write_csv(tmp_path / "data", ROWS, delimiter=delimiter, lineterminator=line_end)
    assert sums(make("sales", path).figures) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "windows-1251"])
def test_csv_in_other_encodings(make: Make, tmp_path: Path, encoding: str) -> None:
    """A byte order mark is no part of the first header; other encodings are named by the caller."""
    path = tmp_path / "data"
    path.write_bytes("дата;сумма;товар\n2024-01-31;5;Чай\n".encode(encoding))
    named = {"encoding": encoding} if encoding != "utf-8-sig" else {}
    assert sums(make("sales", path, **named).figures) == {"Чай": 5}


def test_a_header_with_a_line_break_loses_no_row(make: Make, tmp_path: Path) -> None:
    """A quoted header over two lines, in a file with mixed line ends, is one header."""
    path = tmp_path / "data"
    path.write_bytes(b'\r\n"date","amount","two\nlines"\r\n2024-01-31,5,x\n2024-02-01,6,y\r\n')
    assert make("sales", path).figures["revenue"] == 11


def test_json_lines(make: Make, tmp_path: Path) -> None:
    """Numbers, texts and nulls of JSON are what they are; nested values don't get in the way."""
    rows = [
        {**row, "amount": float(row["amount"]) if row["amount"] else None, "nested": {"a": [1]}}
        for row in ROWS
    ]
    path = tmp_path / "data"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert sums(make("sales", path).figures) == EXPECTED


def test_parquet(make: Make, tmp_path: Path) -> None:
    """Typed columns are read as they are."""
    path = tmp_path / "data"
    write_csv(tmp_path / "rows.csv", ROWS)
    duckdb.execute(
        f"COPY (SELECT date::DATE AS date, amount::DECIMAL(10, 2) AS amount, product FROM "
        f"read_csv('{tmp_path / 'rows.csv'}', all_varchar=true)) TO '{path}' (FORMAT parquet)"
    )
    assert sums(make("sales", path).figures) == EXPECTED


def test_workbook(make: Make, tmp_path: Path) -> None:
    """Dates, numbers and texts of a sheet are read, below blank rows, from the sheet named."""
    book = openpyxl.Workbook()
    book.active.append(["something", "else"])
    sheet = book.create_sheet("Data")
    sheet.append([])
    sheet.append(["date", "amount", "product"])
    for row in ROWS:
        amount = float(row["amount"]) if row["amount"] else None
        sheet.append([date.fromisoformat(row["date"]), amount, row["product"] or None])
    sheet.append([])
    path = tmp_path / "data"
    book.save(path)
    assert sums(make("sales", path, sheet="Data").figures) == EXPECTED
    with pytest.raises(PermanentError, match="it has 'Sheet', 'Data'") as caught:
        make("sales", path, sheet="data2")
    assert caught.value.type == "missing-sheet"


def test_times_fall_on_the_day_they_have_in_the_reports_zone(make: Make, tmp_path: Path) -> None:
    """Half past eleven in London is the next day in Moscow; a time without a zone stays put."""
    path = tmp_path / "data"
    path.write_text(
        "date,amount\n2024-01-31T23:30:00Z,1\n2024-01-31T23:30:00+03:00,2\n2024-01-31 23:30:00,4\n"
    )
    moscow = make("sales", path, time_zone="Europe/Moscow").figures["by_period"]
    assert [row["revenue"] for row in moscow] == [6, 1]
    london = make("sales", path, time_zone="Europe/London").figures["by_period"]
    assert [row["revenue"] for row in london] == [7]


def test_parquet_times_with_a_zone_move_too(make: Make, tmp_path: Path) -> None:
    """A typed instant falls on the day it has in the report's zone."""
    path = tmp_path / "data"
    moment = datetime(2024, 1, 31, 23, 30, tzinfo=UTC).isoformat()
    duckdb.execute(
        f"COPY (SELECT TIMESTAMPTZ '{moment}' AS date, 5 AS amount) TO '{path}' (FORMAT parquet)"
    )
    figures = make("sales", path, time_zone="Asia/Tokyo").figures
    assert [row["period"] for row in figures["by_period"]] == ["2024-02"]


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1234.5", ".", 1234.5),
        ("1,234.5", ".", 1234.5),
        ("1 234.5", ".", 1234.5),
        ("1\u00a0234\u202f567", ".", 1234567),
        ("1e3", ".", 1000),
        ("+.5", ".", 0.5),
        ("1234,5", ",", 1234.5),
        ("1.234,5", ",", 1234.5),
        ("1.234", ",", 1234),
        ("-1 234 567,89", ",", -1234567.89),
    ],
)
def test_numbers_as_people_write_them(
    make: Make, tmp_path: Path, text: str, mark: str, value: float
) -> None:
    """Groups of three and the decimal mark that the caller names are understood."""
    path = write_csv(tmp_path / "data", [{"date": "2024-01-01", "amount": text}])
    assert make("sales", path, decimal_mark=mark).figures["revenue"] == value


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("12,5", "."),
        ("1,23,456", "."),
        ("12.5", ","),
        ("1_000", "."),
        ("0x10", "."),
        ("nan", "."),
        ("inf", "."),
        ("$5", "."),
        ("#N/A", "."),
        ("1e300", "."),
    ],
)
def test_what_is_no_number_is_refused_and_quoted(make: Make, text: str, mark: str) -> None:
    """A cell is never guessed at: the error names the column, the row and the cell."""
    rows = [{"date": "2024-01-01", "amount": each} for each in ["1", "2", text]]
    with pytest.raises(PermanentError) as caught:
        make("sales", rows, decimal_mark=mark)
    assert caught.value.type == "wrong-type"
    assert "column 'amount'" in caught.value.detail
    assert f"{text!r} in data row 3" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2024-02-29", None),
        ("29.02.2024", None),
        ("29.02.2024 23:59", None),
        ("2024-02-29T23:59:59.999999", None),
        ("02/29/2024", "%m/%d/%Y"),
        ("29-Feb-24", "%d-%b-%y"),
    ],
)
def test_dates_as_people_write_them(make: Make, text: str, pattern: str | None) -> None:
    """ISO and dotted dates are understood, others with the pattern that the caller gives."""
    options = {"date_format": pattern} if pattern else {}
    made = make("sales", [{"date": text, "amount": "1"}], granularity="day", **options)
    assert made.figures["by_period"][0]["period"] == "2024-02-29"


@pytest.mark.parametrize(
    "text", ["2024-02-30", "02/03/2024", "45678", "20240229", "infinity", "epoch", "0001-01-01"]
)
def test_what_is_no_date_is_refused_and_quoted(make: Make, text: str) -> None:
    """Month-first dates, serial numbers and days that don't exist are not guessed at."""
    with pytest.raises(PermanentError) as caught:
        make("sales", [{"date": text, "amount": "1"}])
    assert caught.value.type == "wrong-type"
    assert repr(text) in caught.value.detail
    assert "date_format" in caught.value.detail
