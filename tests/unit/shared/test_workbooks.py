"""The one reader of workbooks: each cell is what its program wrote, or is counted and said."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from celeriac.contract import PermanentError
from celeriac.testing.context import FakeContext
from tasks.files.metadata import Sheet
from tasks.generate_report import GeneratedReport, GenerateReport, generate_report
from tasks.process_file import ProcessFile, process_file
from tasks.shared.workbooks import Kind, opened_workbook

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
STRICT_RELATIONS = "http://purl.oclc.org/ooxml/officeDocument/relationships"
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override '
    'PartName="/xl/{part}" ContentType="application/vnd.openxmlformats-officedocument.'
    'spreadsheetml.sheet.main+xml"/></Types>'
)
HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>date</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>amount</t></is></c></row>'
)
FIRST = (
    '<row r="2"><c r="A2" t="inlineStr"><is><t>2024-01-01</t></is></c>'
    '<c r="B2"><v>{amount}</v></c></row>'
)


def xlsx(
    rows: str,
    *,
    part: str = "workbook.xml",
    main: str = MAIN,
    relations: str = RELATIONS,
    properties: str = "",
    parts: dict[str, str] | None = None,
    sheets: str = '<sheet name="S" sheetId="1" r:id="r1"/>',
) -> bytes:
    """A workbook written by hand."""
    entries = {
        "[Content_Types].xml": TYPES.format(part=part),
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r1" '
        f'Type="{relations}/officeDocument" Target="xl/{part}"/></Relationships>',
        f"xl/{part}": f'<workbook xmlns="{main}" xmlns:r="{relations}">{properties}'
        f"<sheets>{sheets}</sheets></workbook>",
        f"xl/_rels/{part}.rels": f'<Relationships xmlns="{PACKAGE}">'
        f'<Relationship Id="r1" Type="{relations}/worksheet" Target="worksheets/s.xml"/>'
        f'<Relationship Id="r2" Type="{relations}/styles" Target="styles.xml"/>'
        f'<Relationship Id="r3" Type="{relations}/sharedStrings" Target="sharedStrings.xml"/>'
        f'<Relationship Id="r4" Type="{relations}/worksheet" Target="worksheets/s2.xml"/>'
        "</Relationships>",
        "xl/worksheets/s.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData>'
        "</worksheet>",
        **(parts or {}),
    }
    return zipped(entries)


def zipped(entries: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(book: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., GeneratedReport]:
    def make(content: bytes, report_type: str = "sales", **parameters: Any) -> GeneratedReport:
        return run(tmp_path, content, report_type, **parameters)

    return make


def run(tmp_path: Path, content: bytes, report_type: str, **parameters: Any) -> GeneratedReport:
    (tmp_path / "a.xlsx").write_bytes(content)
    context = FakeContext(workdir=tmp_path, files={"k": tmp_path / "a.xlsx"})
    payload = {
        "user_id": 7,
        "report_type": report_type,
        "file_key": "k",
        "parameters": parameters,
    }
    return generate_report(GenerateReport.model_validate(payload), context)


def sheets_of(tmp_path: Path, content: bytes) -> list[Sheet]:
    (tmp_path / "a.xlsx").write_bytes(content)
    context = FakeContext(workdir=tmp_path, files={"files/1/a.xlsx": tmp_path / "a.xlsx"})
    result = process_file(ProcessFile.model_validate({"file_key": "files/1/a.xlsx"}), context)
    assert result.metadata is not None
    return result.metadata.sheets or []


def cells(tmp_path: Path, content: bytes) -> list[list[tuple[Kind, str]]]:
    (tmp_path / "a.xlsx").write_bytes(content)
    with opened_workbook(tmp_path / "a.xlsx", "a.xlsx") as book:
        texts = book.shared()
        return [
            [
                (Kind.TEXT, texts[int(cell.text)])
                if cell.kind is Kind.SHARED
                else (cell.kind, cell.text)
                for cell in row
            ]
            for row in book.rows(book.sheets[0])
        ]


Report = Callable[..., GeneratedReport]


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize(
    ("number", "value"),
    [("1.234", 1.234), ("1234", 1234), ("1E-3", 0.001), ("-0.5", -0.5), ("12.0", 12)],
)
def test_a_number_is_itself_whatever_the_decimal_mark(
    report: Report, mark: str, number: str, value: float
) -> None:
    """The mark is for numbers written as text: a cell's number has none."""
    made = report(xlsx(HEADER + FIRST.format(amount=number)), decimal_mark=mark)

    assert made.figures["revenue"] == value


def test_a_text_among_numbers_is_read_by_the_mark(report: Report) -> None:
    """Both kinds may stand in one column."""
    text = FIRST.replace('<c r="B2"><v>{amount}</v></c>', '<c t="str"><v>1.234,5</v></c>')

    made = report(xlsx(HEADER + FIRST.format(amount="1.25") + text), decimal_mark=",")

    assert made.figures["revenue"] == 1235.75


def test_a_date_is_itself_whatever_the_date_format(report: Report) -> None:
    """The format is for dates written as text."""
    book = openpyxl.Workbook()
    book.active.append(["date", "amount"])
    book.active.append([date(2024, 2, 1), 1])
    book.active.append(["03/01/2024", 2])

    made = report(saved(book), date_format="%m/%d/%Y")

    assert [row["period"] for row in made.figures["by_period"]] == ["2024-02", "2024-03"]  # type: ignore[union-attr, index]


def test_a_number_is_no_date(report: Report) -> None:
    """A serial number without a date's format may be any number."""
    book = openpyxl.Workbook()
    book.active.append(["date", "amount"])
    book.active.append([20240201, 1])

    with pytest.raises(PermanentError) as raised:
        report(saved(book), date_format="%Y%m%d")
    assert raised.value.type == "wrong-type"


def test_formulas_never_computed_are_counted_and_said(report: Report, tmp_path: Path) -> None:
    """A program that computes nothing leaves no values, and the result tells of them."""
    book = openpyxl.Workbook()
    book.active.append(["date", "amount"])
    book.active.append(["2024-01-01", 1])
    book.active.append(["2024-01-02", "=B2*2"])
    book.active.append(["2024-01-03", "=B3*2"])

    made = report(saved(book))
    (sheet,) = sheets_of(tmp_path, saved(book))

    assert made.figures["revenue"] == 1
    assert (made.left_out, made.left_out_rows, made.uncomputed) == (2, [2, 3], 2)
    assert any("never computed: 2" in note for note in made.notes)
    assert sheet.uncomputed == 2
    assert sheet.columns[1].type == "mixed"


def test_a_computed_formula_is_its_value(report: Report) -> None:
    """Also if that is an empty text."""
    row = (
        '<row><c t="str"><f>A2</f><v>2024-01-02</v></c><c><f>B2*2</f><v>3</v></c>'
        '<c t="str"><f>""</f><v></v></c></row>'
    )
    made = report(xlsx(HEADER + FIRST.format(amount=1) + row))

    assert (made.figures["revenue"], made.uncomputed) == (4, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"part": "workbook2.xml"},
        {"main": STRICT, "relations": STRICT_RELATIONS},
        {"parts": {"docProps/core.xml": "<odd"}},
        {"parts": {"docProps/core.xml": "<a><created>yesterday</created></a>"}},
        {"parts": {"xl/styles.xml": "<styleSheet><fonts count='x'/></styleSheet>"}},
    ],
)
def test_both_task_types_read_what_other_programs_write(
    report: Report, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Parts of other names, Strict Open XML, odd properties and styles are all workbooks."""
    content = xlsx(HEADER + FIRST.format(amount=2.5), **options)
    assert report(content).figures["revenue"] == 2.5
    assert [sheet.rows for sheet in sheets_of(tmp_path, content)] == [1]


def test_the_first_visible_sheet_is_reported(report: Report, tmp_path: Path) -> None:
    """A hidden sheet is used only if the caller names it."""
    book = openpyxl.Workbook()
    book.active.append(["date", "amount"])
    book.active.append(["2024-01-01", 100])
    book.active.sheet_state = "hidden"
    seen = book.create_sheet("Seen")
    seen.append(["date", "amount"])
    seen.append(["2024-01-01", 1])
    book.active = 1

    assert report(saved(book)).figures["revenue"] == 1
    assert report(saved(book), sheet="Sheet").figures["revenue"] == 100
    assert [sheet.hidden for sheet in sheets_of(tmp_path, saved(book))] == [True, False]


@pytest.mark.parametrize(
    ("format", "value", "expected"),
    [
        ("yyyy-mm-dd", 45292, (Kind.MOMENT, "2024-01-01")),
        ("dd.mm.yy hh:mm", 45292.5, (Kind.MOMENT, "2024-01-01 12:00:00")),
        ("[$-407]d. mmmm yyyy", 45292, (Kind.MOMENT, "2024-01-01")),
        ("mmm", 45292, (Kind.MOMENT, "2024-01-01")),
        ("yyyy-mm-dd", 1, (Kind.MOMENT, "1900-01-01")),
        ("yyyy-mm-dd", 59, (Kind.MOMENT, "1900-02-28")),
        ("yyyy-mm-dd", 60, (Kind.NUMBER, "60")),
        ("yyyy-mm-dd", 61, (Kind.MOMENT, "1900-03-01")),
        ("yyyy-mm-dd", -1, (Kind.NUMBER, "-1")),
        ("yyyy-mm-dd", 1e10, (Kind.NUMBER, "10000000000")),
        ("hh:mm", 0.5, (Kind.TIME, "12:00:00")),
        ("[h]:mm", 1.5, (Kind.TIME, "36:00:00")),
        ('0.00 "days"', 1.5, (Kind.NUMBER, "1.5")),
        (r"0\d", 3, (Kind.NUMBER, "3")),
        ("#,##0_d", 3, (Kind.NUMBER, "3")),
        ("[Red]0.00", 3.25, (Kind.NUMBER, "3.25")),
        ("General", 0.1, (Kind.NUMBER, "0.1")),
    ],
)
def test_a_number_shown_as_a_date_is_one(
    tmp_path: Path, format: str, value: float, expected: tuple[Kind, str]
) -> None:
    """By its cell's format, of which only the fields of a date count."""
    book = openpyxl.Workbook()
    book.active["A1"] = "x"
    book.active["A2"] = value
    book.active["A2"].number_format = format

    assert cells(tmp_path, saved(book))[1] == [expected]


def test_the_years_of_old_macs_are_understood(tmp_path: Path) -> None:
    """A workbook may count its days from 1904."""
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active["A1"] = datetime.fromisoformat("2024-01-01 06:00:00")

    assert cells(tmp_path, saved(book)) == [[(Kind.MOMENT, "2024-01-01 06:00:00")]]


def test_readings_are_no_part_of_a_text(tmp_path: Path) -> None:
    """Japanese cells hold their pronunciation too, which nobody sees as the text."""
    strings = (
        "<sst><si><t>東京</t><rPh sb='0' eb='2'><t>トウキョウ</t></rPh></si>"
        "<si><r><t>a_x0041_</t></r><r><t>_x005F_x0041_</t></r></si></sst>"
    )
    content = xlsx(
        '<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>',
        parts={"xl/sharedStrings.xml": strings},
    )

    assert cells(tmp_path, content) == [[(Kind.TEXT, "東京"), (Kind.TEXT, "aA_x0041_")]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ODS", zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"})),
        (
            "XLSB",
            zipped(
                {
                    "[Content_Types].xml": "application/vnd.ms-excel.sheet.binary."
                    "macroEnabled.main",
                    "xl/workbook.bin": "x",
                }
            ),
        ),
        ("a ZIP archive", zipped({"a.csv": "date,amount\n2024-01-01,1\n"})),
    ],
)
def test_other_spreadsheets_are_named(report: Report, name: str, content: bytes) -> None:
    """The detail says what the file is, and what to save it as."""
    with pytest.raises(PermanentError, match=name) as raised:
        report(content)
    assert raised.value.type == "unsupported-format"
    assert "XLSX" in raised.value.detail


MANY = 200_000
# The end record up to the number of entries.
END = re.compile(rb"PK\x05\x06.{8}", re.DOTALL)
ATTACKS = {
    "a DTD": (
        xlsx("", parts={"xl/worksheets/s.xml": "<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>"}),
        "decompression-bomb",
    ),
    "a DTD in the list of sheets": (
        xlsx("", parts={"xl/workbook.xml": "<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>"}),
        "decompression-bomb",
    ),
    "many sheets": (
        xlsx("", sheets='<sheet name="S" sheetId="1" r:id="r1"/>' * 2_000),
        "decompression-bomb",
    ),
    "one sheet under many names": (
        xlsx(
            HEADER + FIRST.format(amount=1),
            sheets='<sheet name="S" sheetId="1" r:id="r1"/><sheet name="T" r:id="r1"/>',
        ),
        "decompression-bomb",
    ),
    "many styles": (
        xlsx(
            "",
            parts={
                "xl/styles.xml": "<a><cellXfs>" + "<xf numFmtId='14'/>" * MANY + "</cellXfs></a>"
            },
        ),
        "decompression-bomb",
    ),
    "a tag of ten megabytes": (
        xlsx("", parts={"xl/worksheets/s.xml": f"<a><row x='{'y' * 10_000_000}'/></a>"}),
        "decompression-bomb",
    ),
    "a row of cells without end": (
        xlsx("<row>" + "<c r='A1'><v>1</v></c>" * 20_000 + "</row>"),
        "too-many-columns",
    ),
    "a directory of very many entries": (
        END.sub(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff", xlsx("")),
        "zip-bomb",
    ),
    "a directory of many megabytes": (
        END.sub(lambda found: found[0] + b"\xff\xff\xff\x7f", xlsx("")[:-10]) + bytes(6),
        "zip-bomb",
    ),
    "a missing part": (xlsx("").replace(b"worksheets/s.xml", b"worksheets/q.xml"), "corrupt-file"),
    "a relation of no sheet": (
        xlsx("", sheets='<sheet name="S" sheetId="1" r:id="r9"/>'),
        "corrupt-file",
    ),
}


@pytest.mark.parametrize("case", ATTACKS)
def test_an_attack_ends_alike_in_both_task_types(report: Report, tmp_path: Path, case: str) -> None:
    """The reader is one, so its refusals are too."""
    content, expected = ATTACKS[case]

    with pytest.raises(PermanentError) as reported:
        report(content)
    with pytest.raises(PermanentError) as processed:
        sheets_of(tmp_path, content)

    assert (reported.value.type, processed.value.type) == (expected, expected)


def test_rows_far_apart_and_empty_cells_cost_nothing(tmp_path: Path) -> None:
    """Numbers of rows and empty tags are read past, not filled in."""
    rows = HEADER + ("<row>" + "<c/>" * 16_000 + "</row>") * 20
    rows += '<row r="1048576"><c r="A1048576"><v>1</v></c></row>'

    assert len(cells(tmp_path, xlsx(rows))) == 2
