"""How long this worker's tasks take, lately."""

from __future__ import annotations

#: The share of the newest task in the average: the last dozen or so decide.
_NEWEST = 0.15

_average: float | None = None


def note(seconds: float) -> None:
    """A task has ended that took so long."""
    global _average  # noqa: PLW0603 - there is one worker to a process
    _average = seconds if _average is None else _average + _NEWEST * (seconds - _average)


def average() -> float | None:
    """Seconds a task, by a moving average; None before the first has ended."""
    return _average
