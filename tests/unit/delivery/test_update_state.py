from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from celery import Task, chain, chord
from celery.exceptions import Ignore, TaskError

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.http.views import summarize
from celeriac.operations import lookup
from celeriac.storage.services import services
from tests.unit.delivery.outages import state_of
from tests.unit.delivery.single_worker import SingleWorker


@pytest.mark.parametrize("told", [states.PROGRESS, states.FAILURE])
@pytest.mark.parametrize("other", ["waiting", "over"])
def test_a_task_that_speaks_for_another_ends_well(
    app: Celeriac, worker: SingleWorker, told: str, other: str
) -> None:
    """``update_state(task_id=…)``: it holds its own task, and no other's. Once is how often it
    runs."""
    ran = []
    about = app.tasks["double"].apply_async((1,), countdown=600 if other == "waiting" else 0)
    worker.run_all()

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        ran.append(self.request.id)
        self.update_state(task_id=about.id, state=told, meta=ValueError("told"))

    result = teller.delay()
    worker.run_all()

    assert (ran, state_of(result.id)) == ([result.id], states.SUCCESS)
    assert worker.visible() + worker.hidden() == 0


def test_only_its_holder_says_how_far_a_task_is(app: Celeriac, worker: SingleWorker) -> None:
    """What another task says of it changes nothing; nobody could tell whether it is still so."""
    about = app.tasks["double"].apply_async((1,), countdown=600)

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        self.update_state(task_id=about.id, state="DIGGING", meta={"done": 1})

    teller.delay()
    worker.run_all()

    assert (about.state, about.info) == (states.PENDING, None)


TRACEBACK = """Traceback (most recent call last):
  File "beds.py", line 1, in dig
KeyError: 'bed'
"""


def key_error(message: Any) -> dict[str, Any]:
    return {"exc_type": "KeyError", "exc_message": message}


#: What a task tells; what ``get`` raises, and the type and message of the record.
TOLD: list[tuple[Any, type[Exception], str, str]] = [
    ({**key_error("no bed"), "custom": 1}, Exception, "KeyError", "no bed"),
    ({**key_error(["bed"]), "exc_module": "builtins"}, KeyError, "KeyError", "bed"),
    (key_error(["a", 2]), Exception, "KeyError", "a, 2"),
    (key_error(TRACEBACK.split("\n")), Exception, "KeyError", "KeyError: 'bed'"),
    (key_error(TRACEBACK), Exception, "KeyError", "KeyError: 'bed'"),
    (key_error(7), Exception, "KeyError", "7"),
    ({"exc_type": "KeyError"}, Exception, "KeyError", ""),
    ({"exc_type": KeyError, "exc_message": ("bed",)}, KeyError, "KeyError", "bed"),
    ({"message": "no bed"}, TaskError, "TaskError", "no bed"),
    ({"why": "no bed"}, TaskError, "TaskError", "{'why': 'no bed'}"),
    ({}, TaskError, "TaskError", ""),
    ("no bed", TaskError, "TaskError", "no bed"),
    (None, TaskError, "TaskError", ""),
    (["no", "bed"], TaskError, "TaskError", "['no', 'bed']"),
    (ValueError("no bed"), ValueError, "ValueError", "no bed"),
]


@pytest.mark.parametrize(("meta", "kind", "type_", "message"), TOLD)
def test_a_failure_that_a_task_tells_itself_is_told_to_its_callers(
    app: Celeriac,
    worker: SingleWorker,
    meta: Any,
    kind: type[Exception],
    type_: str,
    message: str,
) -> None:
    """``update_state("FAILURE", meta)``, then ``Ignore``: in the record, over HTTP, by ``get``."""

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        self.update_state(state=states.FAILURE, meta=meta)
        raise Ignore

    result = teller.delay()
    worker.run_all()

    failure = lookup.find(result.id).failure
    error = summarize(lookup.find(result.id)).error
    assert failure is not None
    assert error is not None
    assert (failure.type, failure.message) == (error.type, error.message) == (type_, message)
    with pytest.raises(kind):
        result.get()


def test_a_chord_and_a_chain_are_told_of_it(app: Celeriac, worker: SingleWorker) -> None:
    """As of any failure."""

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        self.update_state(state=states.FAILURE, meta={"exc_type": "Full", "exc_message": "no bed"})
        raise Ignore

    joined = chord([app.tasks["double"].s(1), teller.s()], app.tasks["total"].s()).delay()
    last = chain(teller.s(), app.tasks["double"].si(1)).delay()
    worker.run_all()

    assert [joined.state, last.state] == [states.FAILURE, states.FAILURE]


@pytest.mark.parametrize("meta", [{"exc_type": "Full", "exc_message": "no bed"}, "no bed", None])
def test_a_revocation_that_a_task_tells_itself_can_be_read(
    app: Celeriac, worker: SingleWorker, meta: Any
) -> None:
    """Celery reads what is kept of it as an error."""

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        self.update_state(state=states.REVOKED, meta=meta)
        raise Ignore

    result = teller.delay()
    worker.run_all()

    assert result.state == states.REVOKED
    assert isinstance(result.result, Exception)


# -- how far a task is


@pytest.mark.parametrize("size", [0, 100, 10_000, 500_000, 2_000_000])
@pytest.mark.parametrize("with_progress", [True, False])
def test_a_meta_of_any_size_is_kept(
    app: Celeriac, worker: SingleWorker, size: int, with_progress: bool
) -> None:
    """By reference, as a result is; the record stays small, and the API shows the progress."""
    seen: list[Any] = []
    given: dict[str, Any] = {"rows": "é" * (size // 2), "at": Decimal("1.10")}
    if with_progress:
        given |= {"current": 1, "total": 2, "message": "Half"}

    @app.task(name="reporter", bind=True, shared=False)
    def reporter(self: Task) -> int:
        self.update_state(state="PROGRESS", meta=given)
        seen.append(app.AsyncResult(self.request.id).info)
        record = lookup.find(self.request.id)
        seen.append(summarize(record).progress)
        seen.append(len(record.meta or ""))
        seen.append(summarize(record).message)
        return 5

    result = reporter.delay()
    worker.run_all()

    info, progress, length, message = seen
    assert info == given
    assert length <= 512
    if with_progress:
        assert progress is not None
        assert (progress.current, progress.total, progress.percent) == (1, 2, 50.0)
        assert message == "Half"
    else:
        assert (progress, message) == (None, "Running.")
    assert (result.get(), lookup.find(result.id).meta) == (5, None)


def test_a_task_reports_often_and_keeps_one_text(app: Celeriac, worker: SingleWorker) -> None:
    """Each report of an attempt replaces the one before it."""
    seen: list[Any] = []

    @app.task(name="reporter", bind=True, shared=False)
    def reporter(self: Task) -> None:
        for current in range(20):
            text = "x" * (1_000 if current % 2 else 100_000)
            self.update_state(state="PROGRESS", meta={"current": current, "total": 20, "t": text})
            seen.append(app.AsyncResult(self.request.id).info["current"])
        answer = services().dynamodb.query(
            TableName=services().settings.table_name,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :meta)",
            ExpressionAttributeValues={
                ":pk": {"S": f"task#{self.request.id}"},
                ":meta": {"S": "meta-"},
            },
        )
        seen.append(answer["Count"])

    reporter.delay()
    worker.run_all()

    assert seen == [*range(20), 1]


def test_a_later_report_without_progress_shows_none(app: Celeriac, worker: SingleWorker) -> None:
    """What the API shows is the last report's, whatever the sizes."""
    seen: list[Any] = []
    long = "x" * 1_000

    @app.task(name="reporter", bind=True, shared=False)
    def reporter(self: Task) -> None:
        for given in (
            {"current": 1, "total": 2, "t": long},
            {"bed": long},
            {"current": 2, "total": 2},
            {"bed": 3},
        ):
            self.update_state(state="DIGGING", meta=given)
            progress = summarize(lookup.find(self.request.id)).progress
            seen.append(progress.current if progress else None)

    reporter.delay()
    worker.run_all()

    assert seen == [1, None, 2, None]


@pytest.mark.parametrize("state", ["", "x" * 81, "x" * 500_000, "a\ud800", "a\n", 7, b"PROGRESS"])
def test_a_state_that_no_record_can_name_is_refused(
    app: Celeriac, worker: SingleWorker, state: Any
) -> None:
    """In a sentence, which is the task's failure unless it catches the error."""

    @app.task(name="reporter", bind=True, shared=False)
    def reporter(self: Task) -> None:
        self.update_state(state=state, meta={})

    result = reporter.delay()
    worker.run_all()

    failure = lookup.find(result.id).failure
    assert failure is not None
    assert failure.type == "StateNameError"


def test_a_meta_that_no_json_can_hold_is_refused(app: Celeriac, worker: SingleWorker) -> None:
    """The task is told, and goes on if it catches the error."""
    deep: Any = []
    for _ in range(600):
        deep = [deep]
    refused: list[str] = []

    @app.task(name="reporter", bind=True, shared=False)
    def reporter(self: Task) -> None:
        for given in (object(), deep, {("a", 1): 2}):
            try:
                self.update_state(state="PROGRESS", meta=given)
            except Exception as error:  # noqa: BLE001 - which it is, is asserted
                refused.append(type(error).__name__)

    result = reporter.delay()
    worker.run_all()

    assert refused == ["ResultNotJsonError"] * 3
    assert result.state == states.SUCCESS
