"""The supervisor's output: its own lines, and each program's lines after its name."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = len("celeriac")
STYLES = {"": "bold", "aws": "yellow", "api": "cyan", "worker": "green"}


class _Output(Console):
    """Standard output whose reader may go away, as in ``celeriac dev | head``."""

    def on_broken_pipe(self) -> None:
        """End the run, as the end of a terminal does. Rich would end the printing thread only."""
        self.quiet = True
        # Python flushes standard output once more when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        os.kill(os.getpid(), signal.SIGHUP)


class Terminal:
    """Standard output; in colour if it is a terminal and ``NO_COLOR`` isn't set."""

    def __init__(self) -> None:
        # Lines are never wrapped, so that they can be copied and searched.
        self._console = _Output(soft_wrap=True, highlight=False, markup=False, emoji=False)

    def say(self, name: str, line: str) -> None:
        """Print one line of a program. No name means the supervisor itself."""
        style = STYLES.get(name, "magenta")
        own_style = style if not name else ""
        for part in readable(line).split("\n"):
            self._console.print(
                Text.assemble((f"{name or 'celeriac':>{WIDTH}} | ", style), (part, own_style))
            )

    def show(self, text: str) -> None:
        """Print text without a name before it, so that it can be pasted."""
        self._console.print(Text(text))


def readable(line: str) -> str:
    """A line of JSON logs as text for people; any other line unchanged.

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
