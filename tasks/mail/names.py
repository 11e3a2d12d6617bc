"""The names of the mail templates, found without loading Jinja: the API lists them too."""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "templates" / "email"


def templates(directory: Path = DIRECTORY) -> list[str]:
    """The names of all templates, sorted."""
    return sorted(each.name for each in directory.glob("[!_.]*") if each.is_dir())
