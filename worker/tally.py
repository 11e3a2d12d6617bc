"""How many of this worker's tasks have failed."""

from __future__ import annotations

failed = 0


def note_failure() -> None:
    """A task has ended in FAILURE."""
    global failed  # noqa: PLW0603 - there is one worker to a process
    failed += 1
