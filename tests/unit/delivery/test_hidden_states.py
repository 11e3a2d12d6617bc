"""What ``AsyncResult`` shows, as with any backend of Celery's; the record and HTTP show more."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Task, chord, group

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.http.views import summarize
from celeriac.operations import lookup
from tests.unit.delivery.single_worker import SingleWorker


def both(app: Celeriac, task_id: str) -> tuple[str, str]:
    """The state that Celery's caller sees, and that of the API."""
    return app.AsyncResult(task_id).state, summarize(lookup.find(task_id)).status


@pytest.mark.parametrize("track", [False, True])
@pytest.mark.parametrize("how", ["task", "setting"])
def test_a_start_is_shown_if_it_is_tracked(
    app: Celeriac, worker: SingleWorker, track: bool, how: str
) -> None:
    """``track_started``, of the task or of the app. A claim is a start for the API."""
    seen: list[tuple[str, str]] = []
    app.conf.task_track_started = track and how == "setting"
    options: dict[str, Any] = {"track_started": True} if track and how == "task" else {}

    @app.task(name="started", bind=True, shared=False, **options)
    def started(self: Task) -> None:
        seen.append(both(app, self.request.id))

    started.delay()
    worker.run_all()

    assert seen == [(states.STARTED if track else states.PENDING, states.STARTED)]


def test_the_next_attempt_is_a_retry_until_it_ends(app: Celeriac, worker: SingleWorker) -> None:
    """As in Celery, whose backend hears nothing of its start."""
    seen: list[tuple[str, str]] = []

    @app.task(name="again", bind=True, shared=False, max_retries=1)
    def again(self: Task) -> int:
        seen.append(both(app, self.request.id))
        if not self.request.retries:
            raise self.retry(countdown=0)
        return 5

    result = again.delay()
    worker.run_all()

    assert seen == [(states.PENDING, states.STARTED), (states.RETRY, states.STARTED)]
    assert result.get() == 5


def test_what_a_task_says_of_itself_is_shown(app: Celeriac, worker: SingleWorker) -> None:
    """Tracked or not."""
    seen: list[Any] = []

    @app.task(name="saying", bind=True, shared=False)
    def saying(self: Task) -> None:
        for state in ("PROGRESS", states.STARTED, "DIGGING"):
            self.update_state(state=state, meta={"current": 1})
            result = app.AsyncResult(self.request.id)
            seen.append((result.state, result.info))

    saying.delay()
    worker.run_all()

    assert seen == [(each, {"current": 1}) for each in ("PROGRESS", states.STARTED, "DIGGING")]


def ending(app: Celeriac, **options: Any) -> Task:
    @app.task(name="ending", shared=False, **options)
    def end(fails: bool = False) -> int:
        if fails:
            raise ValueError("as it was told to")
        return 5

    return end


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("how", ["task", "call", "setting"])
def test_an_ignored_result_is_not_shown(
    app: Celeriac, worker: SingleWorker, how: str, fails: bool
) -> None:
    """``ignore_result``: nothing for Celery's callers, the state and the error for the API's."""
    app.conf.task_ignore_result = how == "setting"
    task = ending(app, **({"ignore_result": True} if how == "task" else {}))
    result = task.apply_async((fails,), **({"ignore_result": True} if how == "call" else {}))
    worker.run_all()

    ended = states.FAILURE if fails else states.SUCCESS
    assert both(app, result.id) == (states.PENDING, ended)
    assert result.get() is None
    assert app.AsyncResult(result.id).result is None
    error = summarize(lookup.find(result.id)).error
    assert (error.type if error else None) == ("ValueError" if fails else None)


def test_a_call_may_want_a_result_that_the_task_ignores(
    app: Celeriac, worker: SingleWorker
) -> None:
    """The call decides."""
    result = ending(app, ignore_result=True).apply_async(ignore_result=False)
    worker.run_all()

    assert result.get() == 5


def test_errors_are_shown_even_if_ignored_where_that_is_asked_for(
    app: Celeriac, worker: SingleWorker
) -> None:
    """``task_store_errors_even_if_ignored``."""
    task = ending(app, ignore_result=True, store_errors_even_if_ignored=True)
    bad, good = task.delay(True), task.delay(False)
    worker.run_all()

    assert both(app, bad.id) == (states.FAILURE, states.FAILURE)
    assert both(app, good.id) == (states.PENDING, states.SUCCESS)


@pytest.mark.parametrize("fails", [False, True])
def test_a_chord_is_told_of_a_member_whose_result_is_ignored(
    app: Celeriac, worker: SingleWorker, fails: bool
) -> None:
    """The join doesn't wait for what isn't shown."""
    task = ending(app, ignore_result=True)
    result = chord([task.s(fails), app.tasks["double"].s(1)], app.tasks["double"].si(2)).delay()
    worker.run_all()

    assert result.state == (states.FAILURE if fails else states.SUCCESS)


def test_a_group_of_ignored_results_ends(app: Celeriac, worker: SingleWorker) -> None:
    """``get`` waits for nothing."""
    task = ending(app, ignore_result=True)
    result = group(task.s() for _ in range(2)).delay()
    worker.run_all()

    assert result.get(timeout=60) in ([None, None], [])
