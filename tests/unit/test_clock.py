"""Each process follows AWS's clock, and measures intervals by the monotonic one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import celeriac
from celeriac import clock

PACKAGE = Path(celeriac.__file__).parent


@pytest.fixture(autouse=True)
def own_clock() -> Iterator[None]:
    before = clock.offset()
    yield
    clock.adopt(before)


def answer(aws_ahead: int, sent: int, until_written: int, until_received: int) -> None:
    """Observe the answer of an AWS that is ahead by so many milliseconds."""
    written_at = sent + until_written + aws_ahead
    date = formatdate(written_at // 1000, usegmt=True)
    clock.observe(date, sent, sent + until_written + until_received)


LATENCY = st.integers(0, 20_000)


@given(
    known=st.integers(-(10**6), 10**6),
    ahead=st.integers(-(10**6), 10**6),
    sent=st.integers(10**12, 2 * 10**12),
    answers=st.lists(st.tuples(LATENCY, LATENCY), min_size=1, max_size=5),
)
def test_an_answer_bounds_the_error_by_what_the_answer_took(
    known: int, ahead: int, sent: int, answers: list[tuple[int, int]]
) -> None:
    """Whatever was thought before, the offset is right but for the call's time and one second."""
    clock.adopt(known)
    for until_written, until_received in answers:
        answer(ahead, sent, until_written, until_received)
    best = min(map(sum, answers))
    assert abs(clock.offset() - ahead) <= best + 1000


@given(ahead=st.integers(-(10**6), 10**6), sent=st.integers(10**12, 2 * 10**12), took=LATENCY)
def test_a_right_offset_is_kept(ahead: int, sent: int, took: int) -> None:
    """No answer, however slow, moves a clock that is right already."""
    clock.adopt(ahead)
    answer(ahead, sent, took // 2, took - took // 2)
    assert clock.offset() == ahead


@pytest.mark.parametrize("date", [None, "", "yesterday", "Fri, 99 Nov 2026 10:00:00 GMT", "1"])
def test_an_answer_without_a_time_teaches_none(date: str | None) -> None:
    """A proxy's answer may name none, or nonsense."""
    clock.adopt(7)
    clock.observe(date, 0, 10**12)
    assert clock.offset() == 7


#: Rooms of one machine only.
LOCAL = {"local", "cli"}
#: A task's code compares its deadline with the clock of its own machine.
DEADLINES = {"app/context.py", "testing/context.py"}


@pytest.mark.parametrize(
    "path",
    [
        each
        for each in sorted(PACKAGE.rglob("*.py"))
        if each.relative_to(PACKAGE).parts[0] not in LOCAL
        and each.relative_to(PACKAGE).as_posix() not in {"clock.py", *DEADLINES}
    ],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_only_the_clock_asks_for_the_time_of_day(path: Path) -> None:
    """Intervals are of ``monotonic``; what others read is of ``clock.now``."""
    tree = ast.parse(path.read_text())
    asked = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            asked += [each.name for each in node.names if each.name in ("time", "time_ns")]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow"):
                asked.append(name)
    assert asked == []
