"""Answers about a task that hasn't ended say when it is worth looking again."""

from __future__ import annotations

import pytest

from celeriac import clock
from tests.integration.api.conftest import Api, Worker

HEADER = "retry-after"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """By how many seconds the time is ahead, to be set."""
    ahead = [0]
    machine = clock.machine
    monkeypatch.setattr(clock, "machine", lambda: machine() + ahead[0] * 1000)
    # AWS's answers would correct it.
    monkeypatch.setattr(clock, "observe", lambda *_: None)
    return ahead


def test_the_pause_grows_with_the_age_of_the_task(api: Api, later: list[int]) -> None:
    """From a second at first, in the answer to the submission and to each look."""
    submitted = api.post("/tasks/greet", json={"name": "Ada"})
    here = submitted.headers["location"]
    assert submitted.headers[HEADER] == "1"
    assert api.get(here).headers[HEADER] == "1"
    later[0] = 100
    assert 25 <= int(api.get(here).headers[HEADER]) <= 26
    later[0] = 10_000
    assert api.get(here).headers[HEADER] == "60"


def test_an_unchanged_task_says_so_too(api: Api, later: list[int]) -> None:
    """A caller that sends If-None-Match gets nothing but 304s until the task changes."""
    here = f"/tasks/{api.submit()}"
    etag = api.get(here).headers["etag"]
    later[0] = 40
    answer = api.get(here, headers={"If-None-Match": etag})

    assert answer.status_code == 304
    assert 10 <= int(answer.headers[HEADER]) <= 11


def test_a_delayed_task_is_looked_at_when_it_is_due(api: Api) -> None:
    """Until then there is nothing to see."""
    submitted = api.post("/tasks/greet?delay=600", json={"name": "Ada"})

    for answer in (submitted, api.get(submitted.headers["location"])):
        assert 595 <= int(answer.headers[HEADER]) <= 600


def test_a_start_and_a_request_to_stop_are_looked_after_soon(
    api: Api, worker: Worker, later: list[int]
) -> None:
    """Each begins with a pause of a second again."""
    task_id = api.submit()
    later[0] = 1000
    assert api.get(f"/tasks/{task_id}").headers[HEADER] == "60"
    worker.claim(task_id)
    assert api.get(f"/tasks/{task_id}").headers[HEADER] == "1"
    later[0] = 2000
    assert api.get(f"/tasks/{task_id}").headers[HEADER] == "60"

    stopping = api.delete(f"/tasks/{task_id}")
    assert stopping.status_code == 202
    assert stopping.headers[HEADER] == "1"


def test_an_ended_task_has_no_pause(api: Api, worker: Worker) -> None:
    """Nothing more comes of it; not even when its submission is repeated."""
    key = {"Idempotency-Key": "once"}
    body = {"name": "Ada", "nonce": "1"}
    here = api.post("/tasks/greet", json=body, headers=key).headers["location"]
    worker.succeed(here.rpartition("/")[2], {"text": "Hello"})

    assert HEADER not in api.get(here).headers
    assert HEADER not in api.post("/tasks/greet", json=body, headers=key).headers
    assert HEADER not in api.delete(f"/tasks/{api.submit()}").headers


@pytest.mark.parametrize("ask", [{"params": {"wait": 1}}, {"headers": {"Prefer": "wait=1"}}])
def test_a_long_poll_is_repeated_at_once(api: Api, ask: dict[str, dict[str, str]]) -> None:
    """It has waited already: a client that obeys the header would miss the change."""
    assert HEADER not in api.get(f"/tasks/{api.submit()}", **ask).headers
