"""Typed rows: a file's text as moments, numbers and names, or an error that quotes the bad cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from tasks.reports.columns import Kind, Role
from tasks.reports.dataset import DataSet
from tasks.reports.errors import wrong_type
from tasks.reports.parameters import Granularity, Parameters
from tasks.reports.period import Span, Step
from tasks.reports.source import MOMENT
from tasks.reports.source import NUMBER as KIND_NUMBER

# 22 digits before the point and 6 after it keep sums of money exact.
NUMBER = "DECIMAL(28, 6)"
ROWS_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Typed rows in three relations, each with a column for every role found.

    ``facts`` are the usable rows that pass the filters, and ``chosen`` those in the period, with
    ``step``, the first day of the step each is in. Both keep the columns of ``data`` too.

    ``span`` is None if nothing is dated: the report uses no dates, or no row is usable and the
    caller named no period. ``left_out`` counts rows that lack a required value;
    ``left_out_rows`` are the data rows of the first of them, counted from 1.
    """

    data: DataSet
    roles: frozenset[str]
    granularity: Granularity
    span: Span | None
    file_span: Span | None
    rows: int
    left_out: int
    left_out_rows: Sequence[int] = ()

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.data.execute(sql, arguments)

    @property
    def steps(self) -> list[Step]:
        return self.span.steps(self.granularity) if self.span else []


def gather(
    data: DataSet, found: Mapping[Role, int], kept: Condition, parameters: Parameters
) -> Facts:
    """Read each role's column as its kind, keep the filtered rows, then those of the period.

    Raises:
        PermanentError: ``wrong-type`` or ``too-many-periods``.
    """
    cells = {role: Cell(data, index, parameters) for role, index in found.items()}
    read = "".join(f", {cell.read(role.kind)} AS {role.name}" for role, cell in cells.items())
    complete = [f"{role.name} IS NOT NULL" for role in cells if role.required]
    data.execute(
        f"CREATE TABLE filtered AS SELECT rowid AS row, *{read} FROM data WHERE {kept.sql}",
        kept.arguments,
    )
    for role, cell in cells.items():
        cell.check_read(role)
    data.execute(
        "CREATE VIEW facts AS SELECT * FROM filtered WHERE " + (" AND ".join(complete) or "true")
    )
    (total,) = data.execute("SELECT count(*) FROM filtered")[0]
    (usable,) = data.execute("SELECT count(*) FROM facts")[0]
    dated = any(role.name == "date" for role in found)
    file_span = span = None
    if dated:
        first, last = data.execute("SELECT min(date)::DATE, max(date)::DATE FROM facts")[0]
        file_span = Span(first, last) if usable else None
        span = _span(parameters, file_span)
        step = f"date_trunc('{parameters.granularity.value}', date)::DATE"
        data.execute(
            f"CREATE TABLE chosen AS SELECT *, {step} AS step FROM facts "
            "WHERE date >= ? AND date < ?",
            bounds(span),
        )
    else:
        data.execute("CREATE VIEW chosen AS SELECT * FROM facts")
    (rows,) = data.execute("SELECT count(*) FROM chosen")[0]
    return Facts(
        data=data,
        roles=frozenset(role.name for role in found),
        granularity=parameters.granularity,
        span=span,
        file_span=file_span,
        rows=rows,
        left_out=total - usable,
        left_out_rows=_incomplete(data, complete) if total > usable else (),
    )


def _incomplete(data: DataSet, complete: Sequence[str]) -> list[int]:
    found = data.execute(
        f"SELECT row + 1 FROM filtered WHERE NOT ({' AND '.join(complete)}) "
        f"ORDER BY row LIMIT {ROWS_NAMED}"
    )
    return [row for (row,) in found]


def bounds(span: Span | None) -> tuple[date, date]:
    """The first moment inside a span and the first after it; with no span, nothing is inside."""
    if span is None:
        return date.min, date.min
    return span.first, span.last + timedelta(days=1)


def _span(parameters: Parameters, file_span: Span | None) -> Span | None:
    first, last = parameters.period.first, parameters.period.last
    if first and last:
        return Span(first, last)
    if file_span is None:
        return None
    # If an open end lies beyond the other one, the period is empty: one day without rows.
    first = first or min(file_span.first, last or file_span.first)
    last = last or max(file_span.last, first)
    return Span(first, last)


@dataclass(frozen=True)
class Condition:
    """Our own SQL with question marks, and the callers' values for them."""

    sql: str
    arguments: list[Any]


class Cell:
    """SQL that reads one column of ``data`` as text, as a number or as a local moment."""

    def __init__(self, data: DataSet, index: int, parameters: Parameters) -> None:
        self._data = data
        self._header = data.columns[index]
        self._name = f"c{index}"
        self._type = data.type_of(index)
        self._kind = data.kind_of(index)
        self._parameters = parameters

    @property
    def text(self) -> str:
        return f"nullif(trim(CAST({self._name} AS VARCHAR)), '')"

    @property
    def number(self) -> str:
        if self._type in _NUMBER_TYPES or self._type.startswith("DECIMAL"):
            return f"TRY_CAST({self._name} AS {NUMBER})"
        mark, group = (",", ".") if self._parameters.decimal_mark == "," else (".", ",")
        plain = rf"regexp_replace({self.text}, '[\s\x{{00A0}}\x{{202F}}]', '', 'g')"
        grouped = rf"[+-]?\d{{1,3}}(\{group}\d{{3}})+(\{mark}\d*)?"
        ungrouped = (
            f"CASE WHEN regexp_full_match({plain}, '{grouped}') "
            f"THEN replace({plain}, '{group}', '') ELSE {plain} END"
        )
        # The other mark must group thousands; it must never pass as a decimal mark.
        pattern = rf"[+-]?(\d+(\{mark}\d*)?|\{mark}\d+)([eE][+-]?\d+)?"
        written = (
            f"CASE WHEN regexp_full_match({ungrouped}, '{pattern}') "
            f"THEN TRY_CAST(replace({ungrouped}, '{mark}', '.') AS {NUMBER}) END"
        )
        if self._kind is None:
            return written
        # A number is itself: the decimal mark is for text.
        return (
            f"CASE WHEN {self._kind} = '{KIND_NUMBER}' THEN TRY_CAST({self.text} AS {NUMBER}) "
            f"ELSE {written} END"
        )

    @property
    def moment(self) -> str:
        if self._type == "DATE" or self._type.startswith("TIMESTAMP"):
            read = f"CAST({self._name} AS TIMESTAMP)"
        elif self._parameters.date_format:
            pattern = self._parameters.date_format.replace("'", "''")
            read = f"CAST(try_strptime({self.text}, '{pattern}') AS TIMESTAMP)"
        else:
            dotted = ", ".join(
                f"try_strptime({self.text}, '{pattern}')"
                for pattern in ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
            )
            # A time with a zone is converted to the report's zone; one without is already local.
            read = (
                rf"CASE WHEN regexp_matches({self.text}, '^\d') THEN "
                f"CAST(coalesce(TRY_CAST({self.text} AS TIMESTAMPTZ), {dotted}) AS TIMESTAMP) END"
            )
        if self._kind is not None:
            # A date is itself, and a number is none: the format is for text.
            read = (
                f"CASE {self._kind} WHEN '{MOMENT}' THEN TRY_CAST({self.text} AS TIMESTAMP) "
                f"WHEN '{KIND_NUMBER}' THEN NULL ELSE {read} END"
            )
        # A date outside these years is a typing error or one of DuckDB's words for infinity.
        return (
            f"CASE WHEN {read} BETWEEN TIMESTAMP '1900-01-02' AND TIMESTAMP '2200-01-01' "
            f"THEN {read} END"
        )

    def read(self, kind: Kind) -> str:
        return {"text": self.text, "number": self.number, "moment": self.moment}[kind]

    def check(self, kind: Kind) -> None:
        """Raise ``wrong-type`` if a cell of ``data`` with something in it isn't a ``kind``."""
        self._check(kind, "data", "rowid", self.read(kind))

    def check_read(self, role: Role) -> None:
        """Raise ``wrong-type`` if ``filtered`` has nothing for a role where the cell has something.

        It checks values that are already read, since reading text as dates is slow.
        """
        self._check(role.kind, "filtered", "row", role.name)

    def _check(self, kind: Kind, relation: str, row: str, read: str) -> None:
        if kind == "text":
            return
        bad, number, example = self._data.execute(
            f"SELECT count(*), min({row}) + 1, arg_min({self.text}, {row}) FROM {relation} "
            f"WHERE ({read}) IS NULL AND {self.text} IS NOT NULL"
        )[0]
        if bad:
            raise wrong_type(self._header, kind, bad, number, example)

    def holds_only(self, kind: Kind) -> bool:
        """Whether the column has values and each of them can be read as ``kind``."""
        values, readable = self._data.execute(
            f"SELECT count({self.text}), count({self.read(kind)}) FROM data"
        )[0]
        return bool(values) and values == readable


_INTEGER_TYPES = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_NUMBER_TYPES = {*_INTEGER_TYPES, *(f"U{each}" for each in _INTEGER_TYPES), "FLOAT", "DOUBLE"}
