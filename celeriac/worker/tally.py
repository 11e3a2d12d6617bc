"""What a worker counts: the tasks that failed, and how long tasks take lately."""

from __future__ import annotations

#: The share of the newest task in the average: the last dozen or so decide.
_NEWEST = 0.15


class Tally:
    """The counts of one worker."""

    def __init__(self) -> None:
        self.failed = 0
        #: Seconds a task, by a moving average; None before the first has ended.
        self.average: float | None = None

    def note_failure(self) -> None:
        """A task has ended in FAILURE."""
        self.failed += 1

    def note_duration(self, seconds: float) -> None:
        """A task has ended that took this long."""
        before = seconds if self.average is None else self.average
        self.average = before + _NEWEST * (seconds - before)


#: There is one worker to a process.
tally = Tally()
