"""The output of commands: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from celeriac import clock
from celeriac.clock import Millis

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]

#: The width of a table that is piped into another program: no line is folded.
_WIDE = 1000


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], *, nothing: str) -> None:
    """A table, or a sentence where there are no rows."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    if table.row_count:
        console.print(table)
    else:
        console.print(nothing)


def show_json(value: Any) -> None:
    """Any JSON, indented."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def moment(at: Millis | None) -> str | None:
    """ISO 8601, UTC."""
    return None if at is None else clock.to_datetime(at).isoformat(timespec="seconds")


def ago(at: Millis) -> str:
    """How long ago a moment was, in its largest unit: ``2 min``."""
    return lasting(timedelta(milliseconds=max(0, clock.now() - at)))


def lasting(duration: timedelta) -> str:
    """A duration in its largest unit."""
    seconds = int(duration.total_seconds())
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


class WrongUseError(Exception):
    """A command can't run as it was asked to. The message says why, in one line: exit code 2."""
