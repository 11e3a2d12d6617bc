"""What the supervisor shows: its own words, and each program's lines after its name."""

from __future__ import annotations

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
        self._console.print(
            Text.assemble((f"{name or 'celeriac':>{WIDTH}} | ", style), (line, own_style))
        )

    def show(self, text: str) -> None:
        """Text without a name before it, so that it can be pasted."""
        self._console.print(Text(text))
