"""How far a request is on its way to a process.

    WAITING ◄─► CLAIMING ──► CLAIMED ──► BEGUN
       └────────────┴───────────┴──────► RETURNED

If a claim is refused or fails, the request waits again, and its process claims it: from WAITING to
BEGUN. The event loop, its writers and the draining thread act on a request at the same time. A
request that has begun is not returned, and one that was returned doesn't begin: it would run twice.
"""

from __future__ import annotations

import threading
from enum import Enum, auto


class Phase(Enum):
    """Where a request is."""

    WAITING = auto()
    CLAIMING = auto()
    CLAIMED = auto()
    BEGUN = auto()
    RETURNED = auto()


class Phases:
    """One request's phase; each step is taken by one thread only."""

    def __init__(self) -> None:
        self._now = Phase.WAITING
        self._lock = threading.Lock()

    @property
    def now(self) -> Phase:
        return self._now

    def enter(self, phase: Phase, *, unless: tuple[Phase, ...]) -> Phase | None:
        """Enter a phase, unless in one of those; the phase it was in before, or None."""
        with self._lock:
            if self._now in unless:
                return None
            before, self._now = self._now, phase
            return before
