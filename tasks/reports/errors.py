"""The errors of a report whose details need putting together."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac import PermanentError
from tasks.shared.faults import Fault

SHOWN_COLUMNS = 50


def missing_column(role: str, wanted: Sequence[str], available: Sequence[str]) -> PermanentError:
    """No column of the file has one of the names that a role goes by."""
    names = " or ".join(repr(name) for name in wanted)
    return Fault.MISSING_COLUMN.error(
        f"The report needs a column {names} (for {role!r}), and the file has {_listed(available)}.",
        f"Add it, or name another in parameters.columns.{role}.",
    )


def absent_column(name: str, asked_in: str, available: Sequence[str]) -> PermanentError:
    """The caller named a column that the file doesn't have."""
    return Fault.MISSING_COLUMN.error(
        f"There is no column {name!r} (asked for in {asked_in}).",
        f"The file has {_listed(available)}: name one of them.",
    )


def ambiguous_column(role: str, candidates: Sequence[str]) -> PermanentError:
    """Several columns of the file could play a role."""
    return Fault.AMBIGUOUS_COLUMN.error(
        f"The columns {_listed(candidates)} could each be {role!r}.",
        f"Name one of them in parameters.columns.{role}, and give columns different names.",
    )


def wrong_type(column: str, kind: str, bad: int, row: int, example: str) -> PermanentError:
    """Values of a column can't be read as numbers or dates. ``row`` counts data rows from 1."""
    noun = {"number": "a number", "moment": "a date"}[kind]
    remedy = {
        "number": "Write numbers such as 1234.50; for a decimal comma give "
        'parameters.decimal_mark ",".',
        "moment": "Write dates such as 2025-01-31 or 31.01.2025, or give their pattern in "
        'parameters.date_format, such as "%m/%d/%Y".',
    }[kind]
    return Fault.WRONG_TYPE.error(
        f"{bad} value(s) of the column {column!r} can't be read as {noun}; "
        f"the first is {example[:60]!r} in data row {row}.",
        remedy,
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:SHOWN_COLUMNS])
    rest = len(names) - SHOWN_COLUMNS
    return f"{shown} and {rest} more" if rest > 0 else shown
