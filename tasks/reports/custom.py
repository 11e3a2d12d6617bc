"""Custom: a caller's dimensions, measures and filters, compiled to parameterised SQL.

In the SQL, columns are ``c0``, ``c1``, … (see ``dataset``), functions and operators are our own
words, and values are arguments. No text of a caller or of the file's header becomes SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tasks.reports.columns import Kind, find_column
from tasks.reports.dataset import DataSet
from tasks.reports.document import Chart, Column, Content, KeyFigure, Section, Series, Table, Value
from tasks.reports.facts import Cell, Condition, Facts
from tasks.reports.labels import Labels
from tasks.reports.parameters import (
    Dimension,
    Filter,
    Function,
    Measure,
    Operator,
    Parameters,
    Scalar,
)
from tasks.reports.period import Step

MOST_ROWS = 500
MOST_BARS = 15

_COMPARISONS = {
    Operator.EQ: "= ?",
    Operator.NE: "IS DISTINCT FROM ?",
    Operator.LT: "< ?",
    Operator.LE: "<= ?",
    Operator.GT: "> ?",
    Operator.GE: ">= ?",
    Operator.IS_NULL: "IS NULL",
    Operator.NOT_NULL: "IS NOT NULL",
}
_ORDERED = (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
_AGGREGATES = {
    Function.SUM: "sum({})",
    Function.AVG: "avg({})",
    Function.COUNT: "count({})",
    Function.MIN: "min({})",
    Function.MAX: "max({})",
    Function.MEDIAN: "median({})",
    Function.DISTINCT: "count(DISTINCT {})",
}
_OF_NUMBERS = (Function.SUM, Function.AVG, Function.MEDIAN)
_COUNTING = (Function.COUNT, Function.DISTINCT)


def columns_of(parameters: Parameters, available: Sequence[str]) -> list[int]:
    """The positions of the columns that dimensions, measures and filters name.

    Raises:
        PermanentError: ``missing-column`` or ``ambiguous-column``.
    """
    named = [
        *((each.column, "parameters.dimensions") for each in parameters.dimensions),
        *((each.column, "parameters.measures") for each in parameters.measures),
        *((each.column, "parameters.filters") for each in parameters.filters),
    ]
    return [find_column(name, asked_in, available) for name, asked_in in named if name is not None]


def conditions(data: DataSet, parameters: Parameters) -> Condition:
    """Combine the filters into one condition on ``data``. All must hold.

    Raises:
        PermanentError: ``wrong-type`` if a filter compares numbers in a column of words.
    """
    parts = [_condition(data, each, parameters) for each in parameters.filters]
    return Condition(
        " AND ".join(f"({part.sql})" for part in parts) or "true",
        [argument for part in parts for argument in part.arguments],
    )


def custom(facts: Facts, parameters: Parameters, labels: Labels) -> Content:
    """Group the chosen rows of ``data`` by the dimensions, and measure each group.

    Raises:
        PermanentError: ``wrong-type`` if a measure adds up a column of words.
    """
    data = facts.data
    dimensions = [_dimension(data, each, parameters) for each in parameters.dimensions]
    measures = [_measure(data, each, parameters) for each in parameters.measures]
    columns = _columns(parameters, labels)
    totals = data.execute(f"SELECT {', '.join(measures)} FROM chosen")[0]
    key_figures = [
        KeyFigure(column.name, column.label, _plain(value), column.unit)
        for column, value in zip(columns[len(dimensions) :], totals, strict=True)
    ]
    if not dimensions:
        return key_figures, [], []
    by = ", ".join(str(index + 1) for index in range(len(dimensions)))
    over_time = parameters.dimensions[0].by is not None
    order = by if over_time else f"{len(dimensions) + 1} DESC NULLS LAST, {by}"
    found = data.execute(
        f"SELECT {', '.join([*dimensions, *measures])}, count(*) OVER () FROM chosen "
        f"GROUP BY {by} ORDER BY {order} LIMIT {MOST_ROWS}"
    )
    rows = [_row(values[:-1], parameters, labels) for values in found]
    groups = found[0][-1] if found else 0
    note = labels("truncated", shown=len(rows), count=groups) if groups > len(rows) else None
    section = Section(
        "data", labels("data"), Table(columns, rows), _chart(parameters, columns, rows), note
    )
    return key_figures, [section], []


def _condition(data: DataSet, asked: Filter, parameters: Parameters) -> Condition:
    cell = _cell(data, asked.column, parameters)
    values = asked.value if isinstance(asked.value, list) else [asked.value]
    given = [value for value in values if value is not None]
    kind = _kind(asked.operator, given)
    cell.check(kind)
    arguments = [_argument(value, kind) for value in given]
    column = cell.read(kind)
    if asked.operator is Operator.CONTAINS:
        return Condition(f"contains(lower({column}), lower(?))", arguments)
    if asked.operator.takes_list:
        marks = ", ".join("?" for _ in arguments)
        # An empty cell is in no list, so `not_in` keeps it.
        found = f"coalesce({column} IN ({marks}), false)"
        return Condition(found if asked.operator is Operator.IN else f"NOT {found}", arguments)
    return Condition(f"{column} {_COMPARISONS[asked.operator]}", arguments)


def _kind(operator: Operator, values: Sequence[Scalar]) -> Kind:
    if values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return "number"
    if operator in _ORDERED and all(isinstance(v, str) and _moment(v) for v in values):
        return "moment"
    return "text"


def _argument(value: Scalar, kind: Kind) -> Any:
    if kind == "number":
        return Decimal(str(value))
    if kind == "moment":
        return _moment(str(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def _dimension(data: DataSet, asked: Dimension, parameters: Parameters) -> str:
    cell = _cell(data, asked.column, parameters)
    if asked.by is None:
        return cell.text
    cell.check("moment")
    return f"date_trunc('{asked.by.value}', {cell.moment})::DATE"


def _measure(data: DataSet, asked: Measure, parameters: Parameters) -> str:
    if asked.column is None:
        return "count(*)"
    cell = _cell(data, asked.column, parameters)
    kind: Kind = "text"
    if asked.function in _OF_NUMBERS:
        kind = "number"
        cell.check(kind)
    elif asked.function not in _COUNTING:
        kind = next((each for each in ("number", "moment") if cell.holds_only(each)), "text")
    return _AGGREGATES[asked.function].format(cell.read(kind))


def _cell(data: DataSet, column: str, parameters: Parameters) -> Cell:
    return Cell(data, find_column(column, "parameters", data.columns), parameters)


def _columns(parameters: Parameters, labels: Labels) -> list[Column]:
    columns = [
        Column(each.column, each.column, "step" if each.by else "text")
        for each in parameters.dimensions
    ]
    for each in parameters.measures:
        if each.column is None:
            name, label = "count_rows", labels("count_rows")
        else:
            name = f"{each.function.value}_{each.column}"
            label = labels(each.function.value, column=each.column)
        unit: Any = "count" if each.function in _COUNTING else "number"
        columns.append(Column(name, each.label or label, unit))
    return _named_apart(columns)


def _named_apart(columns: Sequence[Column]) -> list[Column]:
    """Number repeated names: a caller may ask for a column twice, and figures go by name."""
    taken: set[str] = set()
    apart = []
    for column in columns:
        name, number = column.name, 1
        while name in taken:
            number += 1
            name = f"{column.name}_{number}"
        taken.add(name)
        apart.append(Column(name, column.label, column.unit))
    return apart


def _row(values: Sequence[Any], parameters: Parameters, labels: Labels) -> list[Value]:
    row: list[Value] = []
    for index, value in enumerate(values):
        if index >= len(parameters.dimensions):
            row.append(_plain(value))
        elif value is None:
            row.append(labels("not_given"))
        else:
            by = parameters.dimensions[index].by
            row.append(Step(value, by) if by else value)
    return row


def _plain(value: Any) -> Value:
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value


def _chart(
    parameters: Parameters, columns: Sequence[Column], rows: Sequence[Sequence[Value]]
) -> Chart | None:
    """The first measure by the only dimension, if it is a number."""
    if len(parameters.dimensions) != 1 or any(isinstance(row[1], str) for row in rows):
        return None
    over_time = parameters.dimensions[0].by is not None
    shown = rows if over_time else rows[:MOST_BARS]
    return Chart(
        "columns" if over_time else "bars",
        [row[0] for row in shown],
        [Series(columns[1].label, [row[1] for row in shown])],
        columns[1].unit,
    )
