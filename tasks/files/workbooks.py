"""XLSX workbooks: each sheet's columns, their types, and the number of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from tasks.files import limits
from tasks.files.archives import check_zip
from tasks.files.metadata import Column, FileMetadata, Sheet
from tasks.files.operations import ExtractMetadata, Validate
from tasks.files.source import Source
from tasks.shared.delimited import too_many_columns
from tasks.shared.workbooks import Cell, Kind, Workbook, opened_workbook

_TYPES = {Kind.SHARED: "text", Kind.TIME: "date"}


class WorkbookSource(Source):
    """An XLSX workbook."""

    def decode(self, wanted: Validate) -> None:
        check_zip(self.path, self.name, self.made)
        _ = self._sheets

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        found.sheets = self._sheets
        return found

    @cached_property
    def _sheets(self) -> list[Sheet]:
        with opened_workbook(self.path, self.name) as book:
            reads = [self._read(book, index) for index in range(len(book.sheets))]
            texts = book.shared(
                int(cell.text)
                for read in reads
                for cell in read.titles.values()
                if cell.kind is Kind.SHARED
            )
            return [
                Sheet(
                    name=sheet.name,
                    rows=max(read.rows, 0),
                    columns=read.columns(texts),
                    hidden=sheet.hidden,
                    uncomputed=read.uncomputed,
                )
                for sheet, read in zip(book.sheets, reads, strict=True)
            ]

    def _read(self, book: Workbook, index: int) -> _Read:
        read = _Read()
        for row in book.rows(book.sheets[index]):
            if row[-1].column >= limits.TABLE_COLUMNS:
                raise too_many_columns(self.name, row[-1].column + 1, limits.TABLE_COLUMNS)
            read.add(row)
        return read


@dataclass
class _Read:
    """The findings about one sheet. Its first row with a value names the columns."""

    rows: int = -1
    uncomputed: int = 0
    titles: dict[int, Cell] = field(default_factory=dict)
    types: dict[int, set[str]] = field(default_factory=dict)

    def add(self, row: list[Cell]) -> None:
        self.rows += 1
        self.uncomputed += sum(cell.kind is Kind.UNCOMPUTED for cell in row)
        if self.rows == 0:
            self.titles = {cell.column: cell for cell in row}
            return
        for cell in row:
            type = _TYPES.get(cell.kind, cell.kind.value)
            self.types.setdefault(cell.column, set()).add(type)

    def columns(self, texts: dict[int, str]) -> list[Column]:
        """The columns up to the last one with a title or a value."""
        count = max([*self.titles, *self.types], default=-1) + 1
        return [
            Column(name=self._title(index, texts), type=_type_of(self.types.get(index, set())))
            for index in range(count)
        ]

    def _title(self, index: int, texts: dict[int, str]) -> str:
        cell = self.titles.get(index)
        if cell is None:
            return ""
        return texts[int(cell.text)] if cell.kind is Kind.SHARED else cell.text


def _type_of(found: set[str]) -> str:
    match sorted(found):
        case []:
            return "empty"
        case [only]:
            return only
        case _:
            return "mixed"
