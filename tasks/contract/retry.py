"""How often a task is tried, and how long it waits in between."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Exponential backoff with full jitter, capped.

    ``attempts`` counts every try, the first included: ``Retry(attempts=1)`` never tries again.
    Full jitter (a uniform choice between nothing and the backoff) spreads a burst of failures
    best: aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter.
    """

    attempts: int = 3
    first_delay: timedelta = timedelta(seconds=2)
    max_delay: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(
                f"Retry(attempts={self.attempts}) counts the first try too: give 1 or more."
            )
        if not timedelta(0) <= self.first_delay <= self.max_delay:
            raise ValueError("Retry needs 0 <= first_delay <= max_delay.")

    def delay(self, attempt: int, rng: random.Random | None = None) -> timedelta:
        """How long to wait after ``attempt`` (counted from 1) has failed."""
        doublings = min(attempt - 1, 62)
        ceiling = min(
            self.max_delay.total_seconds(), self.first_delay.total_seconds() * 2**doublings
        )
        return timedelta(seconds=(rng or random).uniform(0, ceiling))
