"""A canvas of any size: no message is larger than SQS, and EventBridge Scheduler, take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.client import BaseClient
from celery import Task, chain, chord, group
from celery.exceptions import Ignore

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.app.options import OptionRefusedError
from celeriac.operations import firing
from celeriac.operations.cancelling import cancel
from celeriac.storage.services import services
from celeriac.transport.call import LARGEST_IN_MESSAGE
from tests.unit.delivery.outages import state_of
from tests.unit.delivery.single_worker import SingleWorker

#: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html says
#: 1 MiB; docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html says 256 KB.
LARGEST_INPUT = 256_000
KB_40 = "x" * 40_000


@pytest.fixture
def sizes(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each message has, and each input of a schedule."""
    seen: list[int] = []
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def note(self: Any, operation: str, parameters: Any) -> Any:
        match operation:
            case "SendMessage":
                seen.append(len(parameters["MessageBody"].encode()))
            case "SendMessageBatch":
                seen.extend(len(each["MessageBody"].encode()) for each in parameters["Entries"])
            case "CreateSchedule":
                seen.append(len(parameters["Target"]["Input"].encode()))
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", note)

    @app.task(name="measure", shared=False)
    def measure(before: int, text: str) -> int:
        return before + len(text)

    @app.task(name="sum-up", shared=False)
    def sum_up(numbers: list[int], text: str) -> int:
        return sum(numbers) + len(text)

    return seen


def test_a_chain_of_forty_steps_of_forty_kilobytes_runs(
    app: Celeriac, worker: SingleWorker, sizes: list[int]
) -> None:
    """Each step sends the next one, and none of the messages is large."""
    measure = app.tasks["measure"]
    result = chain(measure.s(0, KB_40), *(measure.s(KB_40) for _ in range(39))).delay()
    worker.run_all()

    assert result.get() == 40 * 40_000
    assert len(sizes) == 40
    assert max(sizes) < 70_000


def test_a_chord_of_large_parts_runs(app: Celeriac, worker: SingleWorker, sizes: list[int]) -> None:
    """Each member carries the body."""
    measure = app.tasks["measure"]
    body = app.tasks["sum-up"].s(KB_40) | measure.s(KB_40) | measure.s(KB_40)
    result = chord([measure.s(n, KB_40) for n in range(5)], body).delay()
    worker.run_all()

    assert result.get() == sum(range(5)) + 8 * 40_000
    assert max(sizes) < 70_000


def test_callbacks_and_groups_of_large_parts_run(
    app: Celeriac, worker: SingleWorker, sizes: list[int]
) -> None:
    """Of a task that succeeds."""
    measure = app.tasks["measure"]
    callbacks = [measure.s(KB_40).set(task_id=f"large-callback-{n}") for n in range(4)]
    measure.apply_async((0, "x"), link=callbacks)
    result = (measure.s(0, "x") | group(measure.s(KB_40) for _ in range(4))).delay()
    worker.run_all()

    assert [app.AsyncResult(each.options["task_id"]).get() for each in callbacks] == [40_001] * 4
    assert result.get() == [40_001] * 4
    assert max(sizes) < 70_000


def ending(app: Celeriac, how: str) -> Task:
    """A task that ends, or doesn't, in a way of its own."""

    @app.task(name="ending", bind=True, shared=False, max_retries=1)
    def end(self: Task) -> int:
        match how:
            case "fails":
                raise ValueError("as it was told to")
            case "tells":
                self.update_state(state=states.FAILURE, meta={"exc_type": "Told"})
                raise Ignore
            case "ignores":
                raise Ignore
            case "retries" if not self.request.retries:
                raise self.retry(countdown=0)
            case "replaces":
                raise self.replace(app.tasks["measure"].s(0, "x"))
        return 1

    return end


@pytest.mark.parametrize("how", ["fails", "tells", "ignores"])
def test_the_parts_of_a_large_chain_are_told_of_a_failure(
    app: Celeriac, worker: SingleWorker, sizes: list[int], how: str
) -> None:
    """The last step ends, the chord it is in ends, and errbacks run."""
    measure = app.tasks["measure"]
    steps = [ending(app, how).s(), *(measure.s(KB_40) for _ in range(3))]
    errback = app.tasks["double"].si(1).set(task_id=f"large-errback-{how}")
    alone = chain(*steps).on_error(errback).delay()
    joined = chord([chain(*steps), measure.s(0, "x")], app.tasks["sum-up"].s(KB_40)).delay()
    worker.run_all()

    ended = states.REVOKED if how == "ignores" else states.FAILURE
    assert state_of(alone.id) == ended
    assert state_of(joined.id) == states.FAILURE
    if how == "fails":
        assert state_of(f"large-errback-{how}") == states.SUCCESS
    assert max(sizes) < 70_000


@pytest.mark.parametrize("how", ["retries", "replaces"])
def test_a_task_hands_the_parts_of_a_large_chain_on(
    app: Celeriac, worker: SingleWorker, sizes: list[int], how: str
) -> None:
    """To its next attempt, and to what replaces it."""
    measure = app.tasks["measure"]
    result = chain(ending(app, how).s(), *(measure.s(KB_40) for _ in range(3))).delay()
    worker.run_all()

    assert result.get() == 120_001
    assert max(sizes) < 70_000


def test_a_killed_process_tells_the_parts_of_a_large_chain(
    app: Celeriac, worker: SingleWorker, sizes: list[int]
) -> None:
    """The main process speaks for it, and has the message only."""
    measure = app.tasks["measure"]
    result = chain(measure.s(0, "x"), *(measure.s(KB_40) for _ in range(3))).delay()
    request = worker.take()
    request.on_accepted(1, 0.0)
    services().records.claim(request.id, 1, request.owner, 2**53)

    app.backend.mark_as_failure(request.id, ValueError("killed"), request=request._context)

    assert state_of(result.id) == states.FAILURE
    request.acknowledge()


def test_a_second_delivery_tells_the_parts_of_a_large_chain(
    app: Celeriac, worker: SingleWorker, sizes: list[int]
) -> None:
    """Its caller has cancelled the task while it waited."""
    measure = app.tasks["measure"]
    result = chain(measure.s(0, "x"), *(measure.s(KB_40) for _ in range(3))).delay()
    first = result
    while first.parent is not None:
        first = first.parent
    cancel(first.id)
    worker.run_all()

    assert state_of(result.id) == states.REVOKED


@pytest.mark.parametrize("countdown", [800, 3600])
@pytest.mark.parametrize("text", ["x", '"', "\\", "é", "日", "\U0001f600", "\x00"])
def test_no_message_is_larger_than_its_sender_takes(
    app: Celeriac, sizes: list[int], countdown: int, text: str
) -> None:
    """Whatever its text, of any length; with all that a caller may add to it."""
    measure = app.tasks["measure"]
    for length in (1_000, 8_000, LARGEST_IN_MESSAGE // 2 - 200, LARGEST_IN_MESSAGE - 200):
        step = measure.s(text * length)
        headers = {"x-note": '"' * 8_000}
        task = measure.s(0, text * length).set(headers=headers, link=[step, step])
        task.apply_async(countdown=countdown)
        (task | step | step).apply_async(countdown=countdown)

    assert len(sizes) == 8
    assert max(sizes) < LARGEST_INPUT


def test_a_long_delay_of_a_large_chain_runs(
    app: Celeriac, worker: SingleWorker, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As EventBridge Scheduler has it fired."""
    monkeypatch.setattr(firing, "celery_app", lambda: app)
    measure = app.tasks["measure"]
    before = schedules()
    result = chain(measure.s(0, KB_40), *(measure.s(KB_40) for _ in range(39))).apply_async(
        countdown=3600
    )
    (name,) = schedules() - before
    got: Any = services().scheduler.get_schedule(
        Name=name, GroupName=services().settings.schedule_group
    )
    firing.fire(json.loads(got["Target"]["Input"]))
    worker.run_all()

    assert result.get() == 40 * 40_000
    assert max(sizes) < LARGEST_INPUT


def schedules() -> set[str]:
    listed = services().scheduler.get_paginator("list_schedules").paginate()
    return {each["Name"] for page in listed for each in page["Schedules"]}


@pytest.mark.parametrize("where", ["headers", "stamps", "step"])
def test_headers_that_no_message_can_hold_are_refused(
    app: Celeriac, sizes: list[int], where: str
) -> None:
    """They travel with each message; arguments may be of any size."""
    measure = app.tasks["measure"]
    large = {"x-note": "x" * 40_000}
    match where:
        case "headers":
            signature = measure.s(0, "x").set(headers=large)
        case "stamps":
            signature = measure.s(0, "x")
            signature.stamp(note="x" * 40_000)
        case _:
            signature = measure.s(0, "x") | measure.s("x").set(headers=large)

    with pytest.raises(OptionRefusedError, match="Pass large values as arguments"):
        signature.delay()

    assert sizes == []
