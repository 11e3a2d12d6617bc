"""When it is worth looking at a task again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import clock, states
from celeriac.http.polling import retry_after
from celeriac.records import TaskRecord

NOW = 1_800_000_000_000
SECOND = 1000


@pytest.fixture(autouse=True, scope="module")
def still_clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: NOW)
        yield


def record(**fields: Any) -> TaskRecord:
    defaults: dict[str, Any] = {
        "task_id": "t-1",
        "type": "greet",
        "tenant": "acme",
        "queue": "email",
        "created_at": NOW,
        "expires_at": 1_900_000_000,
        "input": "={}",
    }
    return TaskRecord(**{**defaults, **fields})


def seconds(**fields: Any) -> int:
    return int(retry_after(record(**fields))["Retry-After"])


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0, 1), (1, 1), (7, 1), (8, 2), (11, 2), (20, 5), (100, 25), (240, 60), (86_400, 60)],
)
def test_the_pause_is_a_quarter_of_the_age(age: int, expected: int) -> None:
    """A second at least, and a minute at most."""
    assert seconds(created_at=NOW - age * SECOND) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"due_at": NOW - 20 * SECOND},
        {"state": states.STARTED, "started_at": NOW - 20 * SECOND},
        {
            "state": states.STARTED,
            "started_at": NOW - 500 * SECOND,
            "cancel_requested_at": NOW - 20 * SECOND,
        },
    ],
    ids=["due", "started", "asked to stop"],
)
def test_the_latest_event_counts(fields: dict[str, Any]) -> None:
    """A short task that has waited for an hour, or is stopping, is looked at soon."""
    assert seconds(created_at=NOW - 3600 * SECOND, **fields) == 5


@pytest.mark.parametrize("state", [states.PENDING, states.RETRY])
@pytest.mark.parametrize(("left", "expected"), [(1, 1), (1001, 2), (900_000, 900)])
def test_a_task_that_is_not_due_is_looked_at_when_it_is(
    state: str, left: int, expected: int
) -> None:
    """However far off that is; part of a second counts as one."""
    assert seconds(state=state, due_at=NOW + left) == expected


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.REVOKED])
def test_an_ended_task_needs_no_other_look(state: str) -> None:
    """There is no header."""
    assert retry_after(record(state=state)) == {}


@given(took=st.integers(0, 24 * 3600), before=st.integers(0, 10**6))
def test_a_caller_learns_of_the_end_at_most_a_quarter_too_late(took: int, before: int) -> None:
    """It looks when it is told to; no pause is longer than a minute or, for short tasks, a second.

    ``before`` is how old the task is when the caller looks first.
    """
    age = before
    while age < before + took:
        earlier = age
        age += seconds(created_at=NOW - age * SECOND)
    late = age - (before + took)

    assert late < max(1, min(60, (before + took) / 4))
    assert age == before or age > earlier


@pytest.mark.parametrize(("took", "looks"), [(60, 18), (600, 31), (3600, 81)])
def test_a_long_task_takes_few_looks(took: int, looks: int) -> None:
    """The first answer's Retry-After included; each look is a request to be paid for."""
    age = count = 0
    while age < took:
        age += seconds(created_at=NOW - age * SECOND)
        count += 1

    assert count == looks
