"""XLSX workbooks: sheets, columns, types and rows, read as a stream of XML events.

ECMA-376 Part 1, 18.3 (worksheets), 18.4 (shared strings) and 18.8 (styles).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

from tasks.files import limits
from tasks.files.archives import check_zip, opened_zip
from tasks.files.faults import Fault
from tasks.files.metadata import Column, FileMetadata, Sheet
from tasks.files.operations import ExtractMetadata, Validate
from tasks.files.source import Source

_RELATION_ID = "http://schemas.openxmlformats.org/officeDocument/2006/relationships id"
# 18.8.30: the number formats from 14 to 22 and from 45 to 47 are built in, and of dates and times.
_DATE_FORMATS = {str(number) for number in (*range(14, 23), *range(45, 48))}
# In a format's code, what is quoted, escaped or in brackets isn't a field of a date.
_LITERAL = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
_DATE_FIELD = re.compile(r"[ymdhs]", re.IGNORECASE)
_CELL_TYPES = {
    "s": "text",
    "str": "text",
    "inlineStr": "text",
    "b": "boolean",
    "e": "error",
    "d": "date",
    "n": "number",
}
_CHUNK = 64 * limits.KIB

Start = Callable[[str, dict[str, str]], None]


class WorkbookSource(Source):
    """An XLSX workbook. Formulas are never computed, macros and links never followed."""

    def decode(self, wanted: Validate) -> None:
        check_zip(self.path, self.name, self.made)
        self._sheets()

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        found.sheets = self._sheets()
        return found

    def _sheets(self) -> list[Sheet]:
        try:
            with opened_zip(self.path, self.name) as archive:
                dates = _date_styles(archive)
                reads = [
                    (name, _read_sheet(archive, part, dates, self.name))
                    for name, part in _sheet_parts(archive)
                ]
                wanted = {index for _, read in reads for index in read.shared_titles.values()}
                strings = _shared_strings(archive, wanted)
        except KeyError as error:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} lacks a part: {error}.") from error
        except expat.ExpatError as error:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} has broken XML: {error}.") from error
        return [
            Sheet(name=name, rows=read.rows, columns=read.columns(strings)) for name, read in reads
        ]


@dataclass
class _Parsed:
    """Expat's events of one sheet, folded into what is told of it."""

    name: str
    dates: set[int]
    rows: int = 0
    titles: dict[int, str] = field(default_factory=dict)
    shared_titles: dict[int, int] = field(default_factory=dict)
    types: dict[int, set[str]] = field(default_factory=dict)
    _header: bool = True
    _column: int = -1
    _type: str = "n"
    _style: int = 0
    _text: list[str] = field(default_factory=list)
    _inside_value: bool = False
    _row_has_value: bool = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            self._column, self._row_has_value = -1, False
        elif tag == "c":
            self._column = _column_index(attributes.get("r", ""), self._column + 1)
            self._type = attributes.get("t", "n")
            self._style = int(attributes.get("s", "0"))
            self._text = []
            if self._column >= limits.TABLE_COLUMNS:
                raise Fault.TOO_MANY_COLUMNS.error(
                    f"A sheet of {self.name!r} has more than {limits.TABLE_COLUMNS:,} columns."
                )
        elif tag in ("v", "t"):
            self._inside_value = True

    def data(self, text: str) -> None:
        if self._inside_value and sum(map(len, self._text)) < limits.SHEET_CELL_CHARACTERS:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if tag in ("v", "t"):
            self._inside_value = False
        elif tag == "c":
            self._end_cell("".join(self._text))
        elif tag == "row" and self._row_has_value:
            if self._header:
                self._header = False
                return
            self.rows += 1
            if self.rows >= limits.SHEET_ROWS:
                raise Fault.TOO_MANY_ROWS.error(
                    f"A sheet of {self.name!r} has more than {limits.SHEET_ROWS - 1:,} rows."
                )

    def _end_cell(self, text: str) -> None:
        if not text:
            return
        self._row_has_value = True
        if not self._header:
            type = _CELL_TYPES.get(self._type, "text")
            if type == "number" and self._style in self.dates:
                type = "date"
            self.types.setdefault(self._column, set()).add(type)
        elif self._type == "s":
            self.shared_titles[self._column] = int(text)
        else:
            self.titles[self._column] = text

    def columns(self, strings: dict[int, str]) -> list[Column]:
        """The columns up to the last that has a title or a value, with titles resolved."""
        titles = self.titles | {
            column: strings.get(index, "") for column, index in self.shared_titles.items()
        }
        count = max([*titles, *self.types], default=-1) + 1
        return [
            Column(name=titles.get(column, ""), type=_type_of(self.types.get(column, set())))
            for column in range(count)
        ]


def _type_of(found: set[str]) -> str:
    match sorted(found):
        case []:
            return "empty"
        case [only]:
            return only
        case _:
            return "mixed"


def _column_index(reference: str, following: int) -> int:
    """The column of a cell such as ``AB12``, from 0; cells may leave out their reference."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    if letters is None:
        return following
    index = 0
    for letter in letters[0]:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _sheet_parts(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """Each sheet's name and the archive's entry it is in, in the workbook's order."""
    targets: dict[str, str] = {}
    sheets: list[tuple[str, str]] = []

    def relation(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship":
            targets[attributes["Id"]] = posixpath.join("/xl", attributes["Target"]).lstrip("/")

    def sheet(tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            sheets.append((attributes["name"], attributes[_RELATION_ID]))

    _parse(archive, "xl/_rels/workbook.xml.rels", relation)
    _parse(archive, "xl/workbook.xml", sheet)
    parts = [(name, posixpath.normpath(targets[relation_id])) for name, relation_id in sheets]
    # Charts and macro sheets are listed beside the worksheets.
    return [(name, part) for name, part in parts if part.startswith("xl/worksheets/")]


def _read_sheet(archive: zipfile.ZipFile, part: str, dates: set[int], name: str) -> _Parsed:
    read = _Parsed(name, dates)
    _parse(archive, part, read.start, read.end, read.data)
    return read


def _date_styles(archive: zipfile.ZipFile) -> set[int]:
    """The cell styles that show a number as a date or a time."""
    codes: dict[str, str] = {}
    formats: list[str] = []
    inside_cell_styles = False

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal inside_cell_styles
        if tag == "numFmt":
            codes[attributes["numFmtId"]] = _LITERAL.sub("", attributes["formatCode"])
        elif tag == "cellXfs":
            inside_cell_styles = True
        elif tag == "xf" and inside_cell_styles:
            formats.append(attributes.get("numFmtId", "0"))

    def end(tag: str) -> None:
        nonlocal inside_cell_styles
        if tag == "cellXfs":
            inside_cell_styles = False

    if "xl/styles.xml" in archive.namelist():
        _parse(archive, "xl/styles.xml", start, end)
    return {
        style
        for style, number in enumerate(formats)
        if number in _DATE_FORMATS or _DATE_FIELD.search(codes.get(number, ""))
    }


def _shared_strings(archive: zipfile.ZipFile, wanted: set[int]) -> dict[int, str]:
    """The shared strings of these indices; the others are passed over."""
    found: dict[int, str] = {}
    if not wanted:
        return found
    index = -1
    inside_text = False

    def start(tag: str, attributes: dict[str, str]) -> None:  # noqa: ARG001 - expat's signature
        nonlocal index, inside_text
        index += tag == "si"
        inside_text = tag == "t"

    def end(tag: str) -> None:  # noqa: ARG001 - expat's signature
        nonlocal inside_text
        inside_text = False

    def data(text: str) -> None:
        if inside_text and index in wanted:
            found[index] = (found.get(index, "") + text)[: limits.SHEET_CELL_CHARACTERS]

    _parse(archive, "xl/sharedStrings.xml", start, end, data)
    return found


def _parse(
    archive: zipfile.ZipFile,
    part: str,
    start: Start,
    end: Callable[[str], None] | None = None,
    data: Callable[[str], None] | None = None,
) -> None:
    """Feed an entry's XML to handlers, which get local names.

    Raises:
        KeyError: there is no such entry.
        xml.parsers.expat.ExpatError: it isn't XML.
        PermanentError: it declares a DTD, which OOXML forbids (ECMA-376 Part 2, 8.1.4).
    """

    def refuse(*_: object) -> None:
        raise Fault.DECOMPRESSION_BOMB.error(f"{part} declares a DTD, which may hold entity bombs.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: start(_local(tag), attributes)
    if end is not None:
        parser.EndElementHandler = lambda tag: end(_local(tag))
    if data is not None:
        parser.buffer_text = True
        parser.CharacterDataHandler = data
    with archive.open(part) as content:
        while chunk := content.read(_CHUNK):
            parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _local(tag: str) -> str:
    return tag.rpartition(" ")[2]
