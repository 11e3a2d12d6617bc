"""The one reader of XLSX: sheets, and their rows as a stream of cells.

ECMA-376 Part 1, 18.2 (workbook), 18.3 (worksheets), 18.4 (shared strings) and 18.8 (styles).
Formulas are not computed, macros not run, links not followed.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from tasks.shared import limits
from tasks.shared.faults import Fault
from tasks.shared.ooxml import attribute, events, parse, relations
from tasks.shared.zips import opened_zip

USUAL_PART = "xl/workbook.xml"
# 18.8.30: the built-in number formats that show a day, and those that show a time alone.
_DAYS = {*range(14, 18), 22, *range(27, 32), 36, *range(50, 59)}
_TIMES = {*range(18, 22), *range(32, 36), *range(45, 48)}
# Parts of a format's code that are quoted, escaped, padding or conditions.
_LITERAL = re.compile(r'"[^"]*"|[\\_*].|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_SHORT_INTEGER = re.compile(r"-?\d{1,15}")
_EXACT = 10**15


class Kind(Enum):
    """The kinds of cells."""

    NUMBER = "number"
    TEXT = "text"
    SHARED = "shared text"
    MOMENT = "date"
    TIME = "time"
    BOOLEAN = "boolean"
    ERROR = "error"
    UNCOMPUTED = "formula"


_KINDS = {
    "s": Kind.SHARED,
    "str": Kind.TEXT,
    "inlineStr": Kind.TEXT,
    "b": Kind.BOOLEAN,
    "e": Kind.ERROR,
    "d": Kind.MOMENT,
}


class Cell(NamedTuple):
    """A cell that isn't empty; ``column`` counts from 0. A shared text's ``text`` is its index.

    Numbers are written as Python writes them, days and times as ISO 8601 does.
    """

    column: int
    kind: Kind
    text: str


@dataclass(frozen=True)
class SheetPart:
    """A sheet by its name and its entry in the archive."""

    name: str
    part: str
    hidden: bool


@dataclass
class Workbook:
    """An open workbook. ``formats`` has the kind of each cell style that shows no plain number."""

    sheets: list[SheetPart]
    _archive: zipfile.ZipFile
    _name: str
    _strings: str | None
    _formats: dict[int, Kind]
    _first_day: datetime

    def rows(self, sheet: SheetPart) -> Iterator[list[Cell]]:
        """The rows of a sheet that have a cell with something in it."""
        read = _Sheet(self._formats, self._first_day)
        count = 0
        for _ in events(self._archive, sheet.part, read.start, read.end, read.data):
            for row in read.ready:
                count += 1
                if count > limits.SHEET_ROWS:
                    raise Fault.TOO_MANY_ROWS.error(
                        f"A sheet of {self._name!r} has more than {limits.SHEET_ROWS:,} rows."
                    )
                yield row
            read.ready.clear()

    def shared(self, wanted: Iterable[int] | None = None) -> dict[int, str]:
        """The shared texts, or those at the wanted indices.

        Raises:
            PermanentError: ``too-much-memory``.
        """
        chosen = None if wanted is None else set(wanted)
        if self._strings is None or chosen == set():
            return {}
        read = _Strings(chosen)
        parse(self._archive, self._strings, read.start, read.end, read.data)
        return read.found


@contextmanager
def opened_workbook(path: Path, name: str) -> Iterator[Workbook]:
    """An XLSX file, Transitional or Strict, whatever its parts are named.

    Raises:
        PermanentError: the file is broken or beyond a limit, also from the block.
    """
    try:
        with opened_zip(path, name) as archive:
            yield _workbook(archive, name)
    except KeyError as error:
        raise Fault.CORRUPT_FILE.error(f"{name!r} lacks a part: {error}.") from error
    except expat.ExpatError as error:
        raise Fault.CORRUPT_FILE.error(f"{name!r} has broken XML: {error}.") from error


def workbook_part(archive: zipfile.ZipFile) -> str:
    """The entry of the workbook itself: the package's relation names it."""
    if "_rels/.rels" not in archive.namelist():
        return USUAL_PART
    found = relations(archive, "").values()
    return next((target for kind, target in found if kind == "officeDocument"), USUAL_PART)


def _workbook(archive: zipfile.ZipFile, name: str) -> Workbook:
    main = workbook_part(archive)
    targets = relations(archive, main)
    sheets: list[SheetPart] = []
    first_day = datetime(1899, 12, 30)  # noqa: DTZ001 - a cell has no zone

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal first_day
        if tag == "workbookPr" and attributes.get("date1904") in ("1", "true"):
            first_day = datetime(1904, 1, 1)  # noqa: DTZ001 - a cell has no zone
        elif tag == "sheet":
            kind, part = targets[attribute(attributes, "id") or ""]
            # The list also has charts and macro sheets.
            if kind in ("worksheet", "") and "/chartsheets/" not in f"/{part}":
                hidden = attributes.get("state", "visible") != "visible"
                sheets.append(SheetPart(attributes["name"], part, hidden))
            if len(sheets) > limits.SHEETS:
                raise Fault.DECOMPRESSION_BOMB.error(
                    f"{name!r} has more than {limits.SHEETS:,} sheets."
                )

    parse(archive, main, start)
    if not sheets:
        raise Fault.CORRUPT_FILE.error(f"{name!r} has no sheets.")
    if len({sheet.part for sheet in sheets}) < len(sheets):
        raise Fault.DECOMPRESSION_BOMB.error(f"{name!r} has one sheet under several names.")
    parts = dict(targets.values())
    strings, styles = parts.get("sharedStrings"), parts.get("styles")
    entries = set(archive.namelist())
    # Some writers leave out the types of relations.
    strings = strings or "xl/sharedStrings.xml"
    styles = styles or "xl/styles.xml"
    formats = _formats(archive, styles) if styles in entries else {}
    there = strings if strings in entries else None
    return Workbook(sheets, archive, name, there, formats, first_day)


def _formats(archive: zipfile.ZipFile, part: str) -> dict[int, Kind]:
    """The cell styles that show a number as a day or a time."""
    codes: dict[int, Kind] = {}
    found: dict[int, Kind] = {}
    style = 0
    inside = False

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal inside, style
        if tag == "numFmt":
            if (kind := _kind_of_format(attributes["formatCode"])) is not None:
                codes[int(attributes["numFmtId"])] = kind
        elif tag == "cellXfs":
            inside = True
        elif tag == "xf" and inside:
            number = int(attributes.get("numFmtId", "0"))
            kind = codes.get(number) or (
                Kind.MOMENT if number in _DAYS else Kind.TIME if number in _TIMES else None
            )
            if kind is not None:
                found[style] = kind
            style += 1
        if max(style, len(codes)) > limits.SHEET_FORMATS:
            raise Fault.DECOMPRESSION_BOMB.error(f"{part} has too many formats.")

    def end(tag: str) -> None:
        nonlocal inside
        if tag == "cellXfs":
            inside = False

    parse(archive, part, start, end)
    return found


def _kind_of_format(code: str) -> Kind | None:
    fields = set(_LITERAL.sub("", code[:1_000]).lower())
    if code.lower() == "general":
        return None
    if fields & set("yd") or ("m" in fields and not fields & set("hs[")):
        return Kind.MOMENT
    return Kind.TIME if fields & set("hs") or "[m" in code.lower() else None


@dataclass
class _Sheet:
    """The state of parsing one sheet: Expat's events become rows in ``ready``."""

    formats: dict[int, Kind]
    first_day: datetime
    ready: list[list[Cell]] = field(default_factory=list)
    _row: list[Cell] = field(default_factory=list)
    _column: int = -1
    _type: str = "n"
    _style: int = 0
    _text: list[str] = field(default_factory=list)
    _length: int = 0
    _inside_value: bool = False
    _phonetic: bool = False
    _formula: bool = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            self._column, self._row = -1, []
        elif tag == "c":
            self._column = _column_index(attributes.get("r", ""), self._column + 1)
            # A row is held whole, and a column may be named again and again.
            if max(self._column, len(self._row)) >= limits.SHEET_COLUMNS:
                raise Fault.TOO_MANY_COLUMNS.error(
                    f"A row has more than {limits.SHEET_COLUMNS:,} cells."
                )
            self._type = attributes.get("t", "n")
            style = attributes.get("s", "0")
            self._style = int(style) if style.isascii() and style.isdigit() else 0
            self._text, self._length, self._formula = [], 0, False
        elif tag == "f":
            self._formula = True
        elif tag == "rPh":
            self._phonetic = True
        elif tag in ("v", "t"):
            self._inside_value = not self._phonetic

    def data(self, text: str) -> None:
        if self._inside_value and self._length < limits.SHEET_CELL_CHARACTERS:
            self._text.append(text)
            self._length += len(text)

    def end(self, tag: str) -> None:
        if tag in ("v", "t"):
            self._inside_value = False
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "c":
            self._end_cell("".join(self._text)[: limits.SHEET_CELL_CHARACTERS])
        elif tag == "row" and self._row:
            self.ready.append(self._row)

    def _end_cell(self, text: str) -> None:
        if text:
            kind = _KINDS.get(self._type, Kind.NUMBER)
            if kind is Kind.NUMBER:
                kind, text = self._number(text)
            elif kind is Kind.BOOLEAN:
                text = "true" if text in ("1", "true") else "false"
            elif kind is Kind.TEXT:
                text = _unescaped(text)
            self._row.append(Cell(self._column, kind, text))
        elif self._formula and self._type != "str":
            self._row.append(Cell(self._column, Kind.UNCOMPUTED, ""))

    def _number(self, text: str) -> tuple[Kind, str]:
        try:
            number = float(text)
        except ValueError:
            return Kind.TEXT, text
        if not math.isfinite(number):
            return Kind.TEXT, text
        shown = self.formats.get(self._style)
        if shown is Kind.TIME:
            return Kind.TIME, _clock(number)
        if shown is Kind.MOMENT and (moment := _moment(number, self.first_day)):
            return Kind.MOMENT, moment
        return Kind.NUMBER, _plain(number, text)


def _plain(number: float, text: str) -> str:
    if _SHORT_INTEGER.fullmatch(text):
        return str(int(text))
    if number.is_integer() and abs(number) < _EXACT:
        return str(int(number))
    # Excel holds no longer integer than a double does; other programs write them whole.
    return text if re.fullmatch(r"-?\d+", text) else repr(number)


def _moment(serial: float, first_day: datetime) -> str | None:
    """The day and time of a serial number; None if it has none."""
    # Lotus took 1900 for a leap year, and Excel follows it: day 60 doesn't exist.
    if first_day.year < 1900:  # noqa: PLR2004
        if serial < 1 or 60 <= serial < 61:  # noqa: PLR2004
            return None
        serial += serial < 60  # noqa: PLR2004
    elif serial < 0:
        return None
    try:
        moment = first_day + timedelta(milliseconds=round(serial * 86_400_000))
    except OverflowError:
        return None
    if moment == moment.replace(hour=0, minute=0, second=0, microsecond=0):
        return moment.date().isoformat()
    return moment.isoformat(sep=" ", timespec="auto")


def _clock(days: float) -> str:
    total = round(abs(days) * 86_400)
    sign = "-" if days < 0 and total else ""
    return f"{sign}{total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}"


@dataclass
class _Strings:
    """The state of parsing the shared strings. Readings for pronunciation are no part of a text."""

    wanted: set[int] | None
    found: dict[int, str] = field(default_factory=dict)
    _index: int = -1
    _characters: int = 0
    _inside_text: bool = False
    _phonetic: bool = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "si":
            self._index += 1
            if self.wanted is None or self._index in self.wanted:
                self.found[self._index] = ""
        elif tag == "rPh":
            self._phonetic = True
        self._inside_text = tag == "t" and not self._phonetic
        if len(self.found) > limits.SHARED_STRINGS:
            raise Fault.TOO_MUCH_MEMORY.error(
                f"The workbook has more than {limits.SHARED_STRINGS:,} different texts.",
                "Save it as CSV.",
            )

    def data(self, text: str) -> None:
        if self._inside_text and self._index in self.found:
            self._characters += len(text)
            if self._characters > limits.SHARED_CHARACTERS:
                raise Fault.TOO_MUCH_MEMORY.error(
                    f"The workbook's texts have more than {limits.SHARED_CHARACTERS:,} characters.",
                    "Save it as CSV.",
                )
            self.found[self._index] += text

    def end(self, tag: str) -> None:
        self._inside_text = False
        if tag == "rPh":
            self._phonetic = False
        elif tag == "si" and self._index in self.found:
            whole = self.found[self._index][: limits.SHEET_CELL_CHARACTERS]
            self.found[self._index] = _unescaped(whole)


def _unescaped(text: str) -> str:
    """The characters that XML can't hold are written as ``_x0000_``: 22.9.2.19."""
    if "_x" not in text:
        return text
    decoded = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    # Two of them may be the halves of one character. Half a character is no text.
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _column_index(reference: str, following: int) -> int:
    """The column of a cell such as ``AB12``, from 0. One without a reference follows the last."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    if letters is None:
        return following
    index = 0
    for letter in letters[0]:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1
