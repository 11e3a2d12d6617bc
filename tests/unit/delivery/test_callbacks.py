"""Callbacks and errbacks of tasks whose end is written, told or delivered twice."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Task, chord
from celery.exceptions import CPendingDeprecationWarning

from celeriac import states, submission
from celeriac.app import CeleriacApp
from celeriac.letting_go import give_up
from celeriac.services import services
from tests.unit.delivery.single_worker import SingleWorker
from tests.unit.delivery.test_outages_at_the_end import is_send, refused, state_of
from worker.request import RecordedRequest


class Heard:
    """What the callbacks and errbacks of a test were called with."""

    def __init__(self, app: CeleriacApp) -> None:
        self.results: list[object] = []
        self.sent: list[str] = []
        self.called: list[str] = []

        @app.task(name="callback", shared=False)
        def callback(result: object) -> None:
            self.results.append(result)

        @app.task(name="sent-errback", shared=False)
        def sent(task_id: str) -> None:
            self.sent.append(task_id)

        @app.task(name="called-errback", shared=False)
        def called(request: Any, exc: Exception, traceback: object) -> None:
            self.called.append(request.id)

        @app.task(name="bound-errback", bind=True, shared=False)
        def bound(task: Task, task_id: str) -> None:
            """Celery sends one whose task is bound and takes an id alone."""
            self.sent.append(task_id)


@pytest.fixture
def heard(app: CeleriacApp) -> Heard:
    return Heard(app)


def receive(worker: SingleWorker) -> RecordedRequest:
    request = worker.receive()
    assert request is not None
    return request


def test_errbacks_are_sent_even_if_sqs_was_out_of_reach(
    app: CeleriacApp, worker: SingleWorker, heard: Heard
) -> None:
    """The task's failure is written, and its message comes back until they are sent."""
    errbacks = [app.tasks[name].s() for name in ("sent-errback", "bound-errback")]
    result = app.tasks["fail"].apply_async(link_error=errbacks)
    with refused(is_send):
        worker.run(receive(worker))
    assert (state_of(result.id), heard.sent) == (states.FAILURE, [])

    worker.show_all()
    worker.run_all()

    assert heard.sent == [result.id] * 2


def test_an_errback_that_is_sent_twice_runs_once(
    app: CeleriacApp, worker: SingleWorker, heard: Heard
) -> None:
    """The failed task's message is delivered a second time."""
    result = app.tasks["fail"].apply_async(link_error=app.tasks["sent-errback"].s())
    request = receive(worker)
    worker.begin(request)

    worker.run(request)

    worker.run_all()
    assert heard.sent == [result.id]


def test_an_errback_that_is_called_is_called_once(
    app: CeleriacApp, worker: SingleWorker, heard: Heard
) -> None:
    """Where the task has failed, and not again by a delivery that only sends the others."""
    errbacks = [app.tasks["called-errback"].s(), app.tasks["sent-errback"].s()]
    result = app.tasks["fail"].apply_async(link_error=errbacks)
    with refused(is_send):
        worker.run(receive(worker))
    assert heard.called == [result.id]

    worker.show_all()
    worker.run_all()

    assert (heard.called, heard.sent) == ([result.id], [result.id])


def test_an_errback_that_is_linked_to_nested_chords_hears_of_one_failure_once(
    app: CeleriacApp, worker: SingleWorker, heard: Heard
) -> None:
    """``link_error`` of the outer chord links it to both bodies; both fail with one member. What is
    linked to the outer body alone hears of that."""
    total, errback = app.tasks["total"], app.tasks["sent-errback"]
    inner = chord([app.tasks["fail"].s()], total.s())
    outer = chord([inner, app.tasks["double"].s(1)], total.s())
    with pytest.warns(CPendingDeprecationWarning):
        outer.link_error(errback.s())
    outer.body.link_error(app.tasks["called-errback"].s())
    result = outer.delay()

    worker.run_all()

    assert state_of(result.id) == states.FAILURE
    assert heard.sent == [result.parent.results[0].id]
    assert heard.called == [result.id]


def test_an_errback_hears_of_a_chord_whose_member_was_cancelled(
    app: CeleriacApp, worker: SingleWorker, heard: Heard
) -> None:
    """The member has the same errback, and ended without telling it: it didn't fail."""
    errback = app.tasks["sent-errback"].s()
    member = app.tasks["double"].s(1).on_error(errback)
    result = chord([member], app.tasks["total"].s().on_error(errback)).delay()
    submission.cancel(result.parent.results[0].id, "default")

    worker.run_all()

    assert state_of(result.id) == states.FAILURE
    assert heard.sent == [result.id]


@pytest.mark.parametrize("number", [1, 2])
def test_callbacks_run_once_if_their_task_runs_twice(
    app: CeleriacApp,
    worker: SingleWorker,
    heard: Heard,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its process dies between the sending and the end: a later attempt sends them again."""
    callbacks = [app.tasks["callback"].s(), app.tasks["callback"].s().set(priority=3)][:number]
    result = app.tasks["double"].apply_async((1,), link=callbacks)
    request = receive(worker)

    class ProcessDied(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise ProcessDied

    with monkeypatch.context() as patch:
        patch.setattr(services().records, "finish", die)
        with pytest.raises(ProcessDied):
            worker.begin(request)
    give_up(request.id, request.owner, lost=True)
    request.forget()

    worker.show_all()
    worker.run_all()

    assert heard.results == [2] * number
    assert len(result.children) == 1
    assert state_of(result.id) == states.SUCCESS


def test_a_callback_keeps_the_id_that_its_caller_gave(
    app: CeleriacApp, worker: SingleWorker, heard: Heard
) -> None:
    """``set(task_id=…)``, or a signature frozen beforehand."""
    callback = app.tasks["callback"].s()
    frozen = callback.freeze()
    app.tasks["double"].apply_async((1,), link=callback)

    worker.run_all()

    assert (heard.results, state_of(frozen.id)) == ([2], states.SUCCESS)
