"""In Python, ``delay`` and ``run_at`` are a duration and a time, or a ``DueTimeError``."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import clock
from celeriac.operations.due_time import DueTimeError, due_at

NOW = 2_000_000_000_000


@pytest.fixture(autouse=True)
def _fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.mark.parametrize(
    ("delay", "run_at", "field", "said"),
    [
        (30, None, "delay", "30 is not a timedelta"),
        (0, None, "delay", "0 is not a timedelta"),
        (30.5, None, "delay", "is not a timedelta"),
        ("PT1H", None, "delay", "is not a timedelta"),
        (False, None, "delay", "is not a timedelta"),
        (timedelta(microseconds=-1), None, "delay", "negative"),
        (timedelta.min, None, "delay", "negative"),
        (timedelta.max, None, "delay", "over 366 days"),
        (timedelta(days=366, microseconds=1), None, "delay", "over 366 days"),
        (None, "2091-01-01T00:00:00Z", "run_at", "is not a datetime"),
        (None, 0, "run_at", "is not a datetime"),
        (None, date(2091, 1, 1), "run_at", "is not a datetime"),
        (None, timedelta(hours=1), "run_at", "is not a datetime"),
        (None, datetime(2091, 1, 1), "run_at", "no offset"),  # noqa: DTZ001
        (None, datetime.min.replace(tzinfo=timezone(timedelta(hours=23))), "run_at", "passed"),
        (None, datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))), "run_at", "over 366"),
        (timedelta(0), datetime(2034, 1, 1, tzinfo=UTC), "run_at", "not both"),
    ],
)
def test_anything_else_names_its_field(delay: Any, run_at: Any, field: str, said: str) -> None:
    """Numbers aren't taken for seconds, and dates not for their midnight."""
    with pytest.raises(DueTimeError, match=said) as raised:
        due_at(delay, run_at)
    assert raised.value.field == field


@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=366)))
def test_no_task_is_due_early(delay: timedelta) -> None:
    """A part of a millisecond is rounded up, of a delay and of a time."""
    now = clock.to_datetime(NOW)
    for due in (due_at(delay, None), due_at(None, now + delay)):
        assert due is not None
        assert timedelta(0) <= timedelta(milliseconds=due - NOW) - delay < timedelta(milliseconds=1)
