"""A task whose limit is full waits in its queue: its message is replaced by a delayed copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery.worker import state
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from celeriac import clock, states
from celeriac.app.factory import Celeriac
from celeriac.app.options import OptionRefusedError
from celeriac.app.typed_task import TypedTask
from celeriac.contract import BaseModel, Limit, Retry, RetryLater, TaskContext, task
from celeriac.storage.line import Later, Place
from celeriac.storage.services import services
from celeriac.transport.copies import delayed_copy
from celeriac.transport.held import HeldMessage
from celeriac.worker.admission import Admission
from celeriac.worker.request import RecordedRequest
from tasks.queues import DEFAULT
from tests.unit.delivery.main_process import Main, Room, record_of, unreachable
from tests.unit.delivery.single_worker import SingleWorker


class Bed(BaseModel):
    bed: str
    note: str = ""


@task(
    queue=DEFAULT,
    retry=Retry(attempts=3, first_delay=timedelta(0), max_delay=timedelta(0)),
    limits=(Limit(max_running=1, key=("bed",)),),
)
def weed(payload: Bed, context: TaskContext) -> Bed:
    """Weed a bed, one at a time in each."""
    if payload.note == "again" and context.attempt == 1:
        raise RetryLater(timedelta(0))
    return payload


class Pool(LaxBoundedSemaphore):
    """A worker's processes, of which so many are free."""

    def __init__(self, processes: int) -> None:
        super().__init__(processes)
        self.num_processes = processes


class Limited(Main):
    """A main process with two free processes. ``copies`` are sent instead of messages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pool = self.semaphore = Pool(2)
        self.copies: list[dict[str, Any]] = []

    def _process_task(self, request: RecordedRequest) -> None:
        self.ran.append(request)


@pytest.fixture
def limited(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Limited]:
    """A type that one may run of, of each bed."""
    app.register_task(TypedTask.of(weed, "weed", app.Task))
    limited = Limited(app, worker, Room(num_processes=2))
    client = services().dynamodb
    for bed in ("one", "two"):
        # Every test of this file has the same limits.
        client.delete_item(TableName=services().settings.table_name, Key=key_of(bed))
    # moto would deliver them only after seconds.
    monkeypatch.setattr(
        worker.channel.sqs(), "send_message", lambda **copy: limited.copies.append(copy)
    )
    yield limited
    limited.claims.writers.finish()


def key_of(bed: str) -> Any:
    scope = weed.limits[0].scope("weed", "default", {"bed": bed})
    return {"pk": {"S": f"limit#{scope}"}, "sk": {"S": "running"}}


def receive(main: Main, count: int = 1, **payload: str) -> list[RecordedRequest]:
    for _ in range(count):
        main.app.send_task("weed", ({"bed": "one", **payload},))
    found = []
    for _ in range(count):
        request = main.worker.take()
        state.task_reserved(request)
        main.claims.take(request)
        found.append(request)
    return found


def test_what_may_not_run_is_replaced_by_a_delayed_copy(limited: Limited) -> None:
    """Its record stays PENDING, no attempt is used up, and its message is deleted."""
    [first] = receive(limited)
    limited.loop.turn_until(lambda: limited.ran)
    [second] = receive(limited)
    limited.loop.turn_until(lambda: limited.copies)

    assert limited.ran == [first]
    [copy] = limited.copies
    assert 1 <= copy["DelaySeconds"] <= 900
    assert copy["MessageGroupId"] == "default"
    found = record_of(second)
    assert (found.state, found.attempts, found.version) == (states.PENDING, 1, 1)
    limited.loop.turn_until(lambda: second.tag not in limited.worker.channel.held.snapshot())
    assert second not in state.reserved_requests
    assert limited.semaphore.value == 1


def test_a_copy_is_the_same_message(limited: Limited) -> None:
    """It has the same body and headers, and its place in the line."""
    receive(limited)
    limited.loop.turn_until(lambda: limited.ran)
    [second] = receive(limited)
    held = limited.worker.channel.held.get(second.tag)
    assert held is not None
    limited.loop.turn_until(lambda: limited.copies)

    before, after = json.loads(held.body), json.loads(limited.copies[0]["MessageBody"])
    places = after["headers"]["celeriac"].pop("places")
    assert after == before
    assert [scope.startswith("running#") for scope in places] == [True]


def test_a_copy_keeps_the_attributes_of_its_sender() -> None:
    """Binary ones too, which SQS's JSON has as base64."""
    body = json.dumps({"headers": {}, "properties": {}, "body": "[]"})
    attributes = {
        "city": {"DataType": "String", "StringValue": "Paris"},
        "key": {"DataType": "Binary", "BinaryValue": "AAE="},
    }
    held = HeldMessage("url", "handle", "owner", 1, body, attributes)

    copy = delayed_copy(held, 5, {"places": {}})

    assert copy["MessageAttributes"] == {
        "city": {"DataType": "String", "StringValue": "Paris"},
        "key": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }


def test_a_slot_is_free_once_the_outcome_is_written(limited: Limited) -> None:
    """The next one runs then."""
    [first] = receive(limited)
    limited.loop.turn_until(lambda: limited.ran)
    first.on_success(limited.run(first))
    limited.loop.turn_until(lambda: not running(limited))
    receive(limited)
    limited.loop.turn_until(lambda: len(limited.ran) == 2)

    assert record_of(first).state == states.SUCCESS
    assert limited.copies == []


def running(main: Main) -> int:
    """How many have a slot of the first bed."""
    answer = services().dynamodb.get_item(
        TableName=services().settings.table_name, Key=key_of("one"), ConsistentRead=True
    )
    return int(answer["Item"]["running"]["N"])


def test_each_value_of_a_key_has_a_limit_of_its_own(limited: Limited) -> None:
    """Two beds are weeded at once."""
    receive(limited)
    receive(limited, bed="two")
    limited.loop.turn_until(lambda: len(limited.ran) == 2)

    assert limited.copies == []


def test_a_payload_that_travels_by_reference_is_counted_by_its_key(limited: Limited) -> None:
    """It is too large for a message. Its fields are read where they are kept."""
    receive(limited, note="x" * 100_000)
    limited.loop.turn_until(lambda: limited.ran)
    receive(limited)
    limited.loop.turn_until(lambda: limited.copies)

    assert running(limited) == 1


def test_a_task_that_is_returned_while_it_asks_leaves_its_slot(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker ends: the message is visible for others, and its slot is free."""
    take = services().slots.take

    def returned_meanwhile(*args: Any) -> Later | None:
        answer = take(*args)
        request.return_now()
        return answer

    monkeypatch.setattr(services().slots, "take", returned_meanwhile)
    limited.app.send_task("weed", ({"bed": "one"},))
    request = limited.worker.take()
    state.task_reserved(request)
    limited.claims.take(request)

    limited.loop.turn_until(lambda: limited.worker.visible() == 1)
    limited.loop.turn_until(lambda: running(limited) == 0)
    assert limited.ran == []
    assert limited.semaphore.value == 2


@pytest.mark.parametrize("broken", ["limits", "records", "copy"])
def test_in_an_outage_the_message_returns(
    limited: Limited, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Whether it may run can't be told, or nothing can be sent: it isn't run, and isn't lost."""
    if broken == "limits":
        monkeypatch.setattr(services().slots, "take", unreachable)
    elif broken == "records":
        monkeypatch.setattr(services().records, "claim", unreachable)
    else:
        later = Later(timedelta(seconds=5), Place(0))
        monkeypatch.setattr(services().slots, "take", lambda *_: later)
        monkeypatch.setattr(limited.worker.channel.sqs(), "send_message", unreachable)
    before = limited.worker.hidden()
    [request] = receive(limited)
    limited.loop.turn_until(lambda: request.acknowledged)

    assert limited.ran == []
    assert limited.worker.hidden() == before + 1
    assert record_of(request).state == states.PENDING
    assert limited.semaphore.value == 2


def test_a_retry_asks_again(limited: Limited) -> None:
    """Its first attempt has freed its slot, and the second takes it."""
    [first] = receive(limited, note="again")
    limited.loop.turn_until(lambda: limited.ran)
    limited.run(first)
    first.acknowledge()
    limited.loop.turn_until(lambda: not running(limited))
    again = limited.worker.take()
    state.task_reserved(again)
    limited.claims.take(again)
    limited.loop.turn_until(lambda: len(limited.ran) == 2)

    assert record_of(again).attempt == 2
    assert running(limited) == 1


# -- in a pool of threads, which ask where they run


def test_a_thread_asks_before_it_claims(limited: Limited) -> None:
    """The second may not run: its message is replaced, and its thread is free again."""
    worker = limited.worker
    for _ in range(2):
        limited.app.send_task("weed", ({"bed": "one"},))
    first, second = worker.take(), worker.take()
    for request in (first, second):
        request.request_dict["admit"] = request.admit
    reported = worker.begin(first)

    worker.run(second)

    assert len(limited.copies) == 1
    assert record_of(second).state == states.PENDING
    worker.end(first, reported)
    assert record_of(first).state == states.SUCCESS
    assert running(limited) == 0


def test_a_claim_that_comes_late_is_given_up(limited: Limited) -> None:
    """The machine slept after it had asked: others may run in its place by now."""
    worker = limited.worker
    limited.app.send_task("weed", ({"bed": "one"},))
    request = worker.take()
    request.request_dict["admit"] = lambda: 0
    before = worker.visible()

    worker.run(request)

    found = record_of(request)
    assert found.result is None
    assert found.lease_owner is None
    assert worker.visible() == before + 1


# -- Celery's rate_limit


def test_celerys_rate_limit_limits_the_deployment(app: Celeriac, worker: SingleWorker) -> None:
    """``@app.task(rate_limit=…)`` of a plain task."""

    @app.task(name="paced", shared=False, rate_limit="1/h")
    def paced() -> None:
        """Do nothing, once an hour."""

    for _ in range(2):
        paced.delay()
    first, second = worker.take(), worker.take()
    assert first.admission is not None
    assert second.admission is not None

    assert first.admission.ask() is None
    wait = second.admission.ask()

    assert wait is not None
    assert wait.after > timedelta(minutes=14)
    assert str(wait) == "rate=1/h of paced"


@pytest.mark.parametrize("rate", ["fast", "0/m", "100/y", "1000/s", -1, True])
def test_a_rate_that_is_none_is_refused(app: Celeriac, rate: object) -> None:
    """When the task is declared, and not when it runs."""

    def wrong() -> None:
        """Never run."""

    with pytest.raises(OptionRefusedError, match=r"rate_limit=.* of wrong is refused"):
        app._task_from_fun(wrong, name="wrong", rate_limit=rate)


FAST, SLOW = Limit(rate="10/m"), Limit(rate="1/h", key=("bed",))


def ask(limited: Limited, name: str, bed: str, limits: tuple[Limit, ...]) -> bool:
    """Whether a task of a type of this name may start."""
    limited.app.send_task("weed", ({"bed": bed},))
    return Admission(limited.worker.take(), name, limits).ask() is None


@pytest.mark.parametrize("limits", [(FAST, SLOW), (SLOW, FAST)], ids=["fast first", "slow first"])
def test_what_one_rate_refuses_uses_up_no_start_of_another(
    limited: Limited, limits: tuple[Limit, ...]
) -> None:
    """In either order, however often it asks: refused tasks leave all starts to others."""
    name = uuid4().hex
    assert ask(limited, name, "one", limits)
    # The slow one refuses: of the fast one, the next start is left.
    set_next(FAST.scope(name, "default", None), clock.now())
    for _ in range(3):
        assert not ask(limited, name, "one", limits)
    assert ask(limited, name, "two", limits)
    # The fast one refuses: of the slow one, the start of this bed is left.
    for _ in range(3):
        assert not ask(limited, name, "three", limits)
    set_next(FAST.scope(name, "default", None), clock.now())
    assert ask(limited, name, "three", limits)


def set_next(scope: str, moment: int) -> None:
    """Have a rate allow its next start then, as if time had passed."""
    services().dynamodb.update_item(
        TableName=services().settings.table_name,
        Key={"pk": {"S": f"limit#{scope}"}, "sk": {"S": "rate"}},
        UpdateExpression="SET #next = :next",
        ExpressionAttributeNames={"#next": "next"},
        ExpressionAttributeValues={":next": {"N": str(moment * 1000)}},
    )
