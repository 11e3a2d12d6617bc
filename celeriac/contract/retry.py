"""How many attempts a task has, and how long it waits between them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from celeriac.contract.places import short, whole


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Exponential backoff with full jitter, capped.

    ``attempts`` counts every attempt, the first included: ``Retry(attempts=1)`` never retries.
    Full jitter draws the delay uniformly between zero and the backoff. It spreads a burst of
    failures best: aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter.

    Raises:
        ValueError: there is no first attempt, or the delays contradict each other.
        TypeError: a delay is no timedelta.
    """

    attempts: int = 3
    first_delay: timedelta = timedelta(seconds=2)
    max_delay: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        if not whole(self.attempts):
            raise ValueError(
                f"Retry(attempts={short(self.attempts)}) counts the first attempt too: give 1 or "
                "more."
            )
        for name in ("first_delay", "max_delay"):
            delay = getattr(self, name)
            if not isinstance(delay, timedelta):
                raise TypeError(
                    f"Retry({name}={short(delay)}) is not a timedelta: write "
                    f"{name}=timedelta(seconds=...)."
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
