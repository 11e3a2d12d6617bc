"""Where a table that DuckDB refuses is broken, in the words of whoever has to mend it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tasks.files import limits

_UNKNOWN = "its rows can't be read."


def bad_csv_row(path: Path, delimiter: str) -> str:
    """What is wrong with the first row that doesn't fit, and in which line it ends."""
    csv.field_size_limit(limits.TABLE_LINE_BYTES)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            width = len(next(reader, []))
            for row in reader:
                if row and len(row) != width:
                    return f"line {reader.line_num} has {len(row)} values for {width} columns."
        except csv.Error as error:
            return f"line {reader.line_num}: {error}."
    return _UNKNOWN


def bad_json_line(path: Path) -> str:
    """What is wrong with the first line that isn't a JSON object."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(iter(lambda: file.readline(limits.TABLE_LINE_BYTES), ""), 1):
            if not line.strip():
                continue
            if len(line) == limits.TABLE_LINE_BYTES:
                return f"line {number} is longer than {limits.TABLE_LINE_BYTES:,} characters."
            try:
                value = json.loads(line)
            except ValueError as error:
                return f"line {number} isn't JSON: {error}."
            except RecursionError:
                return f"line {number} is nested too deeply."
            if not isinstance(value, dict):
                return f"line {number} isn't a JSON object."
    return _UNKNOWN
