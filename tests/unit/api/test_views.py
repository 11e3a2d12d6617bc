"""What callers see of a task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac import states
from celeriac.http.answers import shown
from celeriac.http.problems import Problem, ProblemType
from celeriac.http.views import summarize, view
from celeriac.records import Failure, Progress, TaskRecord

ARTIFACT = {
    "name": "Ж 1.png",
    "key": "tasks/1/1/Ж 1.png",
    "content_type": "image/png",
    "size": 3,
    "url": None,
}


def record(**fields: Any) -> TaskRecord:
    defaults: dict[str, Any] = {
        "task_id": "t-1",
        "type": "greet",
        "tenant": "acme",
        "queue": "email",
        "created_at": 1_700_000_000_000,
        "expires_at": 1_800_000_000,
        "input": "={}",
    }
    return TaskRecord(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("current", "total", "percent"), [(0, 0, 0), (1, 3, 33.3), (3, 3, 100), (5, 3, 100), (-1, 3, 0)]
)
def test_progress_is_a_share_of_a_hundred(current: int, total: int, percent: float) -> None:
    """Percent stays between 0 and 100 whatever a task reports."""
    progress = Progress(current=current, total=total, message="Item 1")
    shown = summarize(record(state=states.PROGRESS, progress=progress))
    assert shown.progress is not None
    assert shown.progress.percent == percent
    assert shown.message == "Item 1"


@pytest.mark.parametrize(
    ("fields", "message", "links"),
    [
        ({}, "Waiting for a worker.", {"self", "cancel"}),
        ({"due_at": 1_700_000_060_000}, "Waiting until due_at.", {"self", "cancel"}),
        ({"state": states.STARTED}, "Running.", {"self", "cancel"}),
        ({"state": states.STARTED, "cancel_requested_at": 1}, "Stopping.", {"self"}),
        (
            {"state": states.RETRY, "attempt": 2, "failure": Failure(type="E", message="Busy")},
            "Attempt 2 follows. Busy",
            {"self", "cancel"},
        ),
        ({"state": states.SUCCESS}, "Done.", {"self", "result", "retry"}),
        (
            {"state": states.FAILURE, "failure": Failure(type="E", message="No such file")},
            "No such file",
            {"self", "retry"},
        ),
        ({"state": states.REVOKED, "cancel_requested_at": 1}, "Cancelled.", {"self", "retry"}),
        ({"state": "CRUNCHING"}, "Running.", {"self", "cancel"}),
    ],
)
def test_every_state_says_where_it_is_and_what_can_follow(
    fields: dict[str, Any], message: str, links: set[str]
) -> None:
    """The message tells the state in words, and the links name what may be done."""
    shown = summarize(record(**fields))
    assert shown.message == message
    assert shown.links.keys() == links
    assert shown.cancelling == (message == "Stopping.")


def test_artifacts_get_a_link_wherever_they_are() -> None:
    """Each artifact in a result leads to its bytes, one with fields of its own too.

    What only looks alike is left alone.
    """
    other = {"name": "x", "key": "y"}
    richer = ARTIFACT | {"operation": "thumbnail"}
    linked = shown(
        {"artifacts": [ARTIFACT], "best": {"of": ARTIFACT}, "richer": richer, "other": other}
    )
    url = "/files/tasks/1/1/%D0%96%201.png"
    assert linked["artifacts"][0]["url"] == url
    assert linked["best"]["of"]["url"] == url
    assert linked["richer"]["url"] == url
    assert linked["other"] == other
    assert view(record(), None)["result"] is None


def test_a_problem_never_grows_with_what_the_caller_sent() -> None:
    """A detail that repeats a long URL is cut, and says so."""
    error = Problem(ProblemType.NOT_FOUND, "x" * 100_000)
    assert len(error.detail) < 2000
    assert error.detail.endswith("…")


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    """A client that waits as told doesn't come too early."""
    error = Problem(ProblemType.UNAVAILABLE, retry_after=timedelta(seconds=4, milliseconds=1))
    assert error.response().headers["retry-after"] == "5"


def test_problem_types_are_distinct() -> None:
    """No two problem types fall into one, as members of an Enum with equal values would."""
    assert len({each.uri for each in ProblemType}) == len(ProblemType.__members__)
