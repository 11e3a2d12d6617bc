"""What the supervisor shows: its own words, and each program's lines after its name."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = len("celeriac")
STYLES = {"": "bold", "aws": "yellow", "api": "cyan", "worker": "green"}


class Terminal:
    """Standard output; in colour if it is a terminal and ``NO_COLOR`` isn't set."""

    def __init__(self) -> None:
        # Lines stay whole however narrow the terminal, so that they can be copied and searched.
        self._console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)

    def say(self, name: str, line: str) -> None:
        """One line of a program; no name means the supervisor itself."""
        style = STYLES.get(name, "magenta")
        own_style = style if not name else ""
        for part in readable(line).split("\n"):
            self._console.print(
                Text.assemble((f"{name or 'celeriac':>{WIDTH}} | ", style), (part, own_style))
            )

    def show(self, text: str) -> None:
        """Text without a name before it, so that it can be pasted."""
        self._console.print(Text(text))


def readable(line: str) -> str:
    """A line of JSON logs as a person reads it; any other line as it is.

    The worker logs for CloudWatch: one object a line, tracebacks escaped.
    """
    if not line.startswith("{"):
        return line
    try:
        entry: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return line
    message, level = entry.pop("message", None), entry.pop("level", None)
    if message is None or level is None:
        return line
    time = str(entry.pop("time", ""))[11:19]  # of 2026-01-31T12:34:56.789+00:00
    exception = entry.pop("exception", None)
    entry.pop("logger", None)
    words = [time, f"{level:7}", str(message), *(f"{key}={value}" for key, value in entry.items())]
    return " ".join(filter(None, words)) + (f"\n{exception}" if exception else "")
