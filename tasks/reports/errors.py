"""Every way a report can fail because of its input, with a stable type each."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.contract import PermanentError

# The table in docs/tasks/generate-report.md says the same; a test keeps the two in step.
ERROR_TYPES = {
    "unsupported-format": "The file is not CSV, Parquet, JSON lines or XLSX.",
    "encrypted-file": "The workbook is protected by a password, or in the old XLS format.",
    "wrong-encoding": "The text is not in the encoding that `encoding` names.",
    "broken-file": "The file can't be read to its end: cut short, or not what it begins as.",
    "empty-file": "The file has no header, or no rows under it.",
    "too-large": "The file passes a limit: columns, unpacked size, or the memory of a report.",
    "missing-sheet": "The workbook has no sheet of the name in `sheet`.",
    "missing-column": "A column that the report needs is not in the file.",
    "ambiguous-column": "More than one column of the file could be the one that is meant.",
    "wrong-type": "A column holds values that are not numbers, or not dates.",
    "unknown-kind": "The `kind` column holds a word that is neither revenue nor expense.",
    "too-many-periods": "The period has too many steps for one report.",
}

SHOWN_COLUMNS = 50


def report_error(type: str, detail: str) -> PermanentError:
    """A ``PermanentError`` of one of ``ERROR_TYPES``."""
    if type not in ERROR_TYPES:
        raise KeyError(f"{type!r} is not in ERROR_TYPES: add it there and in the docs.")
    return PermanentError(detail, type=type)


def missing_column(role: str, wanted: Sequence[str], available: Sequence[str]) -> PermanentError:
    """No column of the file has one of the names a role goes by."""
    names = " or ".join(repr(name) for name in wanted)
    return report_error(
        "missing-column",
        f"The report needs a column {names} (for {role!r}), and the file has "
        f"{_listed(available)}. Add it, or name another in parameters.columns.{role}.",
    )


def absent_column(name: str, asked_in: str, available: Sequence[str]) -> PermanentError:
    """The caller named a column that the file doesn't have."""
    return report_error(
        "missing-column",
        f"There is no column {name!r} (asked for in {asked_in}). "
        f"The file has {_listed(available)}.",
    )


def ambiguous_column(role: str, candidates: Sequence[str]) -> PermanentError:
    """Several columns of the file could play a role."""
    return report_error(
        "ambiguous-column",
        f"The columns {_listed(candidates)} could each be {role!r}. "
        f"Name one of them in parameters.columns.{role}, and give columns different names.",
    )


def wrong_type(column: str, kind: str, bad: int, row: int, example: str) -> PermanentError:
    """Values of a column can't be read as numbers or dates. ``row`` counts data rows from 1."""
    hint = {
        "number": "Write numbers such as 1234.50; for a decimal comma give "
        'parameters.decimal_mark ",".',
        "moment": "Write dates such as 2025-01-31 or 31.01.2025, or give their pattern in "
        'parameters.date_format, such as "%m/%d/%Y".',
    }[kind]
    noun = {"number": "a number", "moment": "a date"}[kind]
    return report_error(
        "wrong-type",
        f"{bad} value(s) of the column {column!r} can't be read as {noun}; "
        f"the first is {example[:60]!r} in data row {row}. {hint}",
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:SHOWN_COLUMNS])
    rest = len(names) - SHOWN_COLUMNS
    return f"{shown} and {rest} more" if rest > 0 else shown
