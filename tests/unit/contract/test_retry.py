"""How often a task is tried, and how long it waits in between."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.contract import RateLimited, Retry, RetryLater

delays = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30))


@st.composite
def policies(draw: st.DrawFn) -> Retry:
    first, longest = sorted([draw(delays), draw(delays)])
    return Retry(attempts=draw(st.integers(1, 1000)), first_delay=first, max_delay=longest)


class Highest(random.Random):
    """Draws the end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


@given(policies(), st.integers(1, 10_000), st.randoms())
def test_a_delay_lies_between_nothing_and_the_cap(
    policy: Retry, attempt: int, rng: random.Random
) -> None:
    """Full jitter: any delay from 0 to the backoff, and never more than ``max_delay``."""
    assert timedelta(0) <= policy.delay(attempt, rng) <= policy.max_delay


@given(policies(), st.integers(1, 200))
def test_the_backoff_doubles_until_the_cap(policy: Retry, attempt: int) -> None:
    """The longest possible delay after attempt n is ``first_delay`` · 2ⁿ⁻¹, capped."""
    expected = min(
        policy.max_delay.total_seconds(), policy.first_delay.total_seconds() * 2 ** (attempt - 1)
    )

    longest = policy.delay(attempt, Highest())

    # A timedelta keeps whole microseconds.
    assert longest.total_seconds() == pytest.approx(expected, abs=1e-6)


def test_delays_are_spread() -> None:
    """A burst of failures doesn't come back as a burst."""
    policy = Retry(first_delay=timedelta(seconds=10), max_delay=timedelta(minutes=1))
    rng = random.Random(1)

    seconds = [policy.delay(1, rng).total_seconds() for _ in range(1000)]

    assert min(seconds) < 1
    assert max(seconds) > 9
    assert 4 < sum(seconds) / len(seconds) < 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "counts the first attempt too: give 1 or more"),
        ({"attempts": -1}, "counts the first attempt too: give 1 or more"),
        ({"attempts": True}, r"attempts=True\) counts the first attempt too"),
        ({"attempts": 2.5}, r"attempts=2.5\) counts the first attempt too"),
        ({"attempts": "3"}, r"attempts='3'\) counts the first attempt too"),
        ({"first_delay": 5}, r"first_delay=5\) is not a timedelta: write first_delay=timedelta"),
        ({"max_delay": None}, r"max_delay=None\) is not a timedelta"),
        ({"first_delay": timedelta(seconds=-1)}, "0 <= first_delay <= max_delay"),
        (
            {"first_delay": timedelta(seconds=2), "max_delay": timedelta(seconds=1)},
            "0 <= first_delay <= max_delay",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    """A wrong policy fails at import, saying what would be right."""
    with pytest.raises((TypeError, ValueError), match=message):
        Retry(**options)  # type: ignore[arg-type]


def test_a_task_cannot_ask_for_the_past() -> None:
    """``RetryLater`` takes no negative delay."""
    with pytest.raises(ValueError, match="can't be negative"):
        RetryLater(after=timedelta(seconds=-1))


@pytest.mark.parametrize("kind", [RetryLater, RateLimited])
def test_a_delay_in_seconds_is_refused_by_name(kind: type[RetryLater]) -> None:
    """A number has no unit; what to write stands in the task's failure."""
    with pytest.raises(TypeError, match=rf"{kind.__name__}\(after=30\) is not a timedelta"):
        kind(30)  # type: ignore[arg-type]


def test_retry_later_says_why() -> None:
    """The reason is the message; without one the delay is."""
    assert str(RetryLater(timedelta(seconds=90), "the bank is closed")) == "the bank is closed"
    assert str(RetryLater(timedelta(seconds=90))) == "asked for another attempt in 90 s"
