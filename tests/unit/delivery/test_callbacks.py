"""Callbacks and errbacks of tasks whose end is written, told or delivered twice."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Task, chord
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.serialization import UnpickleableExceptionWrapper

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.app.release import release_lease
from celeriac.operations import cancelling
from celeriac.storage.services import services
from celeriac.worker.request import RecordedRequest
from tests.unit.delivery.outages import is_send, refused, state_of
from tests.unit.delivery.single_worker import SingleWorker


class Heard:
    """What the callbacks and errbacks of a test were called with."""

    def __init__(self, app: Celeriac) -> None:
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
def heard(app: Celeriac) -> Heard:
    return Heard(app)


def receive(worker: SingleWorker) -> RecordedRequest:
    return worker.take()


def test_errbacks_are_sent_even_if_sqs_was_out_of_reach(
    app: Celeriac, worker: SingleWorker, heard: Heard
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
    app: Celeriac, worker: SingleWorker, heard: Heard
) -> None:
    """The failed task's message is delivered a second time."""
    result = app.tasks["fail"].apply_async(link_error=app.tasks["sent-errback"].s())
    request = receive(worker)
    worker.begin(request)

    worker.run(request)

    worker.run_all()
    assert heard.sent == [result.id]


def test_an_errback_that_is_called_is_called_once(
    app: Celeriac, worker: SingleWorker, heard: Heard
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


def test_an_errback_that_is_called_survives_its_worker(
    app: Celeriac, worker: SingleWorker, heard: Heard
) -> None:
    """The worker dies when the end is written, before it has called anything."""
    result = app.tasks["fail"].apply_async(link_error=app.tasks["called-errback"].s())
    request = receive(worker)
    services().records.claim(result.id, 1, "dead", 2**53)
    services().records.finish(result.id, "dead", states.FAILURE)

    worker.run(request)
    worker.run_all()

    assert heard.called == [result.id]


@pytest.mark.parametrize("kind", ["builtin", "own", "stubborn"])
def test_the_error_of_an_attempt_that_is_tried_again_is_readable(
    app: Celeriac, worker: SingleWorker, kind: str
) -> None:
    """Python's own as it was; another as Celery's stand-in for what can't be made again."""

    class OwnError(Exception):
        pass

    class StubbornError(Exception):
        def __init__(self, *, bar: str) -> None:
            super().__init__(bar)

    errors = {
        "builtin": ValueError("foo"),
        "own": OwnError("foo"),
        "stubborn": StubbornError(bar="foo"),
    }

    @app.task(name="again", bind=True, shared=False)
    def again(self: Task) -> None:
        raise self.retry(countdown=600, exc=errors[kind])

    result = again.delay()
    worker.run_all()

    assert result.state == states.RETRY
    if kind == "builtin":
        assert repr(result.result) == "ValueError('foo')"
    else:
        assert isinstance(result.result, UnpickleableExceptionWrapper)
        assert result.result.exc_cls_name == type(errors[kind]).__name__
        assert result.result.exc_args == ("foo",)
        assert "foo" in str(result.result)


def test_an_errback_that_is_linked_to_nested_chords_hears_of_one_failure_once(
    app: Celeriac, worker: SingleWorker, heard: Heard
) -> None:
    """``link_error`` of the outer chord links it to both bodies; both fail with one member. What is
    linked to the outer body alone is told of that."""
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
    app: Celeriac, worker: SingleWorker, heard: Heard
) -> None:
    """The member has the same errback, and ended without telling it: it didn't fail."""
    errback = app.tasks["sent-errback"].s()
    member = app.tasks["double"].s(1).on_error(errback)
    result = chord([member], app.tasks["total"].s().on_error(errback)).delay()
    cancelling.cancel(result.parent.results[0].id, "default")

    worker.run_all()

    assert state_of(result.id) == states.FAILURE
    assert heard.sent == [result.id]


@pytest.mark.parametrize("number", [1, 2])
def test_callbacks_run_once_if_their_task_runs_twice(
    app: Celeriac,
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
    release_lease(request.id, request.owner, crash="signal 9 (SIGKILL)")
    request.abandon()

    worker.show_all()
    worker.run_all()

    assert heard.results == [2] * number
    assert len(result.children) == 1
    assert state_of(result.id) == states.SUCCESS


def test_a_callback_keeps_the_id_that_its_caller_gave(
    app: Celeriac, worker: SingleWorker, heard: Heard
) -> None:
    """``set(task_id=…)``, or a signature frozen beforehand."""
    callback = app.tasks["callback"].s()
    frozen = callback.freeze()
    app.tasks["double"].apply_async((1,), link=callback)

    worker.run_all()

    assert (heard.results, state_of(frozen.id)) == ([2], states.SUCCESS)
