"""The one reader of JSON lines: it checks every line, and finds the type of each column.

DuckDB then reads the file with these types. Its own guess would depend on which lines it samples,
would show a text among numbers in quotes, and would make a date of what only looks like one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from celeriac import PermanentError
from tasks.shared.delimited import too_many_columns
from tasks.shared.duckdb import literal
from tasks.shared.faults import Fault
from tasks.shared.limits import TABLE_LINE_BYTES

_SIMPLE = {type(None): "null", bool: "BOOLEAN", str: "VARCHAR"}
_LARGEST = 2**63
_SPACES = " \t\r\n"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_EXACT = 2**53  # a double holds every integer up to this one


@dataclass(frozen=True)
class JsonLines:
    """A file of JSON lines in UTF-8. ``types`` has DuckDB's type of each column, in order.

    A column of one kind of value has its type: ``BOOLEAN``, ``BIGINT``, ``DOUBLE`` or ``VARCHAR``.
    One of several kinds, or with lists or objects, is ``JSON``: each value stays as it is.
    """

    path: Path
    types: dict[str, str]
    count: int

    @property
    def relation(self) -> str:
        """SQL that reads the rows."""
        columns = ", ".join(f"{literal(name)}: '{type}'" for name, type in self.types.items())
        return (
            f"read_json({literal(str(self.path))}, format = 'newline_delimited', records = true, "
            f"auto_detect = false, maximum_object_size = {16 * TABLE_LINE_BYTES}, "
            f"columns = {{{columns}}})"
        )


def read_json_lines(path: Path, name: str, most_columns: int) -> JsonLines:
    """Check every line of a file in UTF-8, and find its columns.

    Raises:
        PermanentError: ``malformed-table``, ``too-many-columns`` or ``empty-file``.
    """
    kinds: dict[str, set[str]] = {}
    folded: dict[str, str] = {}
    count = 0
    # Only LF ends a line for DuckDB.
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, row in _rows(file, name):
            count += 1
            for key, value in row.items():
                if not key:
                    raise _malformed(name, f"line {number} has a value under an empty name")
                if key not in kinds:
                    if (other := folded.setdefault(key.casefold(), key)) != key:
                        raise _malformed(
                            name,
                            f"line {number} has {key[:80]!r} and another {other[:80]!r}; the "
                            "names of columns must differ in more than case",
                        )
                    kinds[key] = set()
                    if len(kinds) > most_columns:
                        raise too_many_columns(name, len(kinds), most_columns)
                kinds[key].add(_kind(value))
    if not kinds:
        raise Fault.EMPTY_FILE.error(f"{name!r} has no line with a value.")
    types = {key: _type(found) for key, found in kinds.items()}
    for key, found in kinds.items():
        if any("CONSTANT" in each for each in found) and types[key] != "DOUBLE":
            raise _malformed(name, f"{key[:80]!r} has NaN or Infinity among other than numbers")
    return JsonLines(path, types, count)


def _rows(file: TextIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    while line := file.readline(TABLE_LINE_BYTES + 1):
        number += 1
        if len(line) > TABLE_LINE_BYTES:
            raise _malformed(name, f"line {number} is longer than {TABLE_LINE_BYTES:,} characters")
        if line.strip(_SPACES):
            yield number, _row(line, number, name)


def _row(line: str, number: int, name: str) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_Constant, object_pairs_hook=_once)
        if _SURROGATE.search(line):
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _malformed(name, f"line {number} has half of a surrogate pair") from None
    except RecursionError:
        raise _malformed(name, f"line {number} is nested too deeply") from None
    except ValueError as error:
        if number == 1 and line.lstrip().startswith("["):
            raise _array(name) from None
        raise _malformed(name, f"line {number} isn't JSON: {error}") from None
    if number == 1 and isinstance(row, list):
        raise _array(name)
    if not isinstance(row, dict):
        raise _malformed(name, f"line {number} isn't a JSON object")
    return row


class _Constant(str):
    """``NaN`` or ``Infinity``: no JSON, but many programs write it among numbers."""

    __slots__ = ()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _holds_constant(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, _Constant) or (
        isinstance(value, list) and any(map(_holds_constant, value))
    )


def _array(name: str) -> PermanentError:
    return Fault.MALFORMED_TABLE.error(
        f"{name!r} holds a JSON array, not JSON lines.", "Write each object on a line of its own."
    )


def _malformed(name: str, what: str) -> PermanentError:
    return Fault.MALFORMED_TABLE.error(f"{name!r}: {what}.")


def _kind(value: Any) -> str:
    match value:
        case _Constant():
            kind = "CONSTANT"
        case None | bool() | str():
            kind = _SIMPLE[type(value)]
        case int() if -_EXACT <= value <= _EXACT:
            kind = "INTEGER"
        case int() if -_LARGEST <= value < _LARGEST:
            kind = "BIGINT"
        case float() if math.isfinite(value):
            kind = "DOUBLE"
        case list() | dict() if _holds_constant(value):
            kind = "CONSTANT IN JSON"
        case _:
            kind = "JSON"  # a list, an object, or a number that no type of DuckDB holds
    return kind


def _type(kinds: set[str]) -> str:
    found = kinds - {"null"}
    if found <= {"INTEGER", "BIGINT"}:
        return "BIGINT" if found else "VARCHAR"
    if found <= {"INTEGER", "DOUBLE", "CONSTANT"}:
        return "DOUBLE"
    return found.pop() if len(found) == 1 else "JSON"
