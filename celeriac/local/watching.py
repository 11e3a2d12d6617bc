"""Says when a file of the project has changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import Change, watch

#: How long to wait for more changes: an editor or a checkout writes several files.
DEBOUNCE_MILLIS = 200
#: Where a project keeps the variables of this machine: its settings read it when they are made.
VARIABLES = ".env"
#: Parts of names under which editors and Python keep what is no source.
_NO_SOURCE = ("~", ".swp", ".swx", ".pyc", ".tmp")


@dataclass
class ProjectFiles:
    """The files of the project in this folder that its processes load.

    ``roots`` are the top-level folders and files that hold its code, templates included. Modules
    at the top, ``pyproject.toml`` and ``.env`` always count. Other hidden files, hidden folders and
    caches never do.
    """

    folder: Path
    roots: set[str] = field(default_factory=set)

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change of this path means other code: watchfiles asks."""
        if not Path(path).is_relative_to(self.folder):
            return False
        parts = Path(path).relative_to(self.folder).parts
        if parts == (VARIABLES,):
            return True
        if not parts or any(part.startswith(".") or part == "__pycache__" for part in parts):
            return False
        if parts[-1].endswith(_NO_SOURCE):
            return False
        if len(parts) == 1 and (parts[0].endswith(".py") or parts[0] == "pyproject.toml"):
            return True
        return parts[0] in self.roots

    def changes(self, ended: threading.Event) -> Iterator[str]:
        """The first path of each batch of changes, as seen from the folder, until ``ended``."""
        for batch in watch(
            self.folder, watch_filter=self, debounce=DEBOUNCE_MILLIS, stop_event=ended
        ):
            first = min(path for _, path in batch)
            yield str(Path(first).relative_to(self.folder))
