"""The options of a call: what SQS takes is honoured, what it can't take is ignored or refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from celery import Task, chain, chord, group, signals, signature
from hypothesis import given
from hypothesis import strategies as st
from kombu import Exchange

from celeriac import clock, states
from celeriac.app.call_options import RESERVED, TaskIdError
from celeriac.app.factory import Celeriac
from celeriac.app.options import OptionRefusedError
from celeriac.records.identifiers import is_task_id
from celeriac.storage.services import services
from tests.unit.delivery.single_worker import SingleWorker

ATTRIBUTES = {"city": {"DataType": "String", "StringValue": "Paris"}}


@pytest.fixture
def sent(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What SQS is given for each message."""
    seen: list[dict[str, Any]] = []
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def note(self: Any, operation: str, parameters: Any) -> Any:
        if operation == "SendMessage":
            seen.append(parameters)
        elif operation == "SendMessageBatch":
            seen.extend(parameters["Entries"])
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", note)
    return seen


# -- what SQS takes


def test_a_group_of_the_callers_is_honoured(
    app: Celeriac, worker: SingleWorker, sent: list[dict[str, Any]]
) -> None:
    """``MessageGroupId`` of fair queues; without one it is the tenant's."""
    app.tasks["double"].delay(1)
    result = app.tasks["double"].apply_async((1,), MessageGroupId="customer-7")
    worker.run_all()

    assert [each["MessageGroupId"] for each in sent] == [app.settings.tenant, "customer-7"]
    assert result.state == states.SUCCESS


def test_each_way_to_send_honours_a_group(
    app: Celeriac, worker: SingleWorker, sent: list[dict[str, Any]]
) -> None:
    """By signature, in a canvas, alone and in batches."""
    double = app.tasks["double"]
    mine: dict[str, Any] = {"MessageGroupId": "mine"}
    app.send_task("double", (1,), **mine)
    double.s(1).set(**mine).delay()
    group(double.s(n).set(**mine) for n in range(3)).delay()
    chain(double.s(1).set(**mine), double.s().set(**mine)).delay()
    chord([double.s(1).set(**mine)], app.tasks["total"].s().set(**mine)).delay()
    double.apply_async((1,), link=double.s().set(**mine), **mine)
    worker.run_all()

    assert len(sent) == 11
    assert {each["MessageGroupId"] for each in sent} == {"mine"}


def test_a_retry_stays_in_its_group(
    app: Celeriac, worker: SingleWorker, sent: list[dict[str, Any]]
) -> None:
    """Also a message that is sent again because its worker died."""

    @app.task(name="again", bind=True, shared=False, max_retries=1)
    def again(self: Task) -> None:
        raise self.retry(countdown=0)

    result = again.apply_async(MessageGroupId="customer-7")
    record = services().records.get(result.id)
    assert record is not None
    app.resend(record)
    worker.run_all()

    assert len(sent) > 2
    assert {each["MessageGroupId"] for each in sent} == {"customer-7"}


@pytest.mark.parametrize("inside", [False, True])
def test_attributes_of_a_message_are_honoured(
    app: Celeriac, worker: SingleWorker, sent: list[dict[str, Any]], inside: bool
) -> None:
    """``message_attributes``, alone and in a batch."""
    task = app.tasks["double"]
    if inside:
        group(task.s(n).set(message_attributes=ATTRIBUTES) for n in range(2)).delay()
    else:
        task.apply_async((1,), message_attributes=ATTRIBUTES)

    assert worker.run_all() == len(sent)
    assert all(each["MessageAttributes"] == ATTRIBUTES for each in sent)


@pytest.mark.parametrize("name", ["DelaySeconds", "delay_seconds"])
def test_a_delay_of_sqs_is_a_countdown(
    app: Celeriac, sent: list[dict[str, Any]], name: str
) -> None:
    """The record says when the task is due, and the longer of two delays holds."""
    task = app.tasks["double"]
    records = [
        services().records.get(result.id)
        for result in (
            task.apply_async((1,), **{name: 700}),
            task.apply_async((1,), countdown=600, **{name: 700}),
            task.apply_async((1,), countdown=800, **{name: 700}),
        )
    ]

    due = [round((each.due_at - clock.now()) / 1000) for each in records if each and each.due_at]
    assert due == [700, 700, 800]
    assert [each["DelaySeconds"] for each in sent] == [700, 700, 800]


@pytest.mark.parametrize(
    "options",
    [
        {"MessageGroupId": ""},
        {"MessageGroupId": "x" * 129},
        {"MessageGroupId": "two words"},
        {"MessageGroupId": 7},
        {"DelaySeconds": "soon"},
        {"DelaySeconds": -1},
        {"delay_seconds": float("nan")},
        {"message_attributes": {"a": "b"}},
        {"message_attributes": {"a": {"DataType": "String", "StringValue": ""}}},
        {"message_attributes": {"a": {"DataType": "Text", "StringValue": "x"}}},
        {"message_attributes": {"a": {"DataType": "Binary", "StringValue": "x"}}},
        {"message_attributes": {str(n): ATTRIBUTES["city"] for n in range(11)}},
        {"countdown": 367 * 86_400},
        {"countdown": float("inf")},
        {"eta": datetime.now(UTC) + timedelta(days=367)},
        {"headers": ["x-a"]},
        {"headers": {5: "x"}},
        {"group_id": 5},
    ],
)
def test_what_sqs_would_refuse_is_refused_in_a_sentence(
    app: Celeriac, sent: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    """Nothing is sent, and nothing is written."""
    with pytest.raises(OptionRefusedError, match=r"refused|can't be called") as refused:
        app.tasks["double"].apply_async((1,), task_id="refused", **options)

    assert str(refused.value).endswith(".")
    assert (sent, services().records.get("refused")) == ([], None)


# -- what only another broker takes


NOWHERE = pytest.mark.parametrize(
    "options",
    [
        {"exchange": "media"},
        {"exchange": Exchange("media", type="topic")},
        {"exchange": "media", "routing_key": "video.hd"},
        {"exchange": "media", "exchange_type": "topic", "routing_key": "video.hd"},
        {"exchange_type": "fanout"},
        {"routing_key": "video.hd"},
        {"delivery_mode": 1},
        {"priority": 9},
        {"compression": "gzip"},
        {"mandatory": True, "immediate": True},
        {"retry": True, "retry_policy": {"max_retries": 1}},
        {"expiration": 60},
        {"MessageDeduplicationId": "once"},
    ],
)


@NOWHERE
@pytest.mark.parametrize("how", ["call", "send_task", "set", "route", "chain", "link"])
def test_what_has_no_meaning_on_sqs_loses_no_message(
    app: Celeriac, worker: SingleWorker, options: dict[str, Any], how: str
) -> None:
    """However it is given, the message goes to the task's queue."""
    task = app.tasks["double"]
    match how:
        case "call":
            result = task.apply_async((1,), **options)
        case "send_task":
            result = app.send_task("double", (1,), **options)
        case "set":
            result = task.s(1).set(**options).delay()
        case "chain":
            result = (task.s(0) | app.tasks["add"].s(2).set(**options)).delay()
        case "link":
            step = app.tasks["add"].s(2).set(**options)
            result = step.freeze()
            task.apply_async((0,), link=step)
        case "route":
            app.conf.task_routes = {"double": options}
            app.amqp.flush_routes()
            result = task.delay(1)
    worker.run_all()

    assert (result.state, result.result) == (states.SUCCESS, 2)


@NOWHERE
@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_nor_does_the_class_of_a_task_or_a_retry(
    app: Celeriac, worker: SingleWorker, options: dict[str, Any]
) -> None:
    """Also a message that is sent again."""

    # Of a class, ``retry`` is its method.
    attributes = {name: value for name, value in options.items() if name != "retry"}

    @app.task(name="own", bind=True, shared=False, **attributes)
    def own(self: Task) -> int:
        if not self.request.retries:
            raise self.retry(countdown=0, **options)
        return 2

    result = own.delay()
    record = services().records.get(result.id)
    assert record is not None
    app.resend(record)
    worker.run_all()

    assert (result.state, result.result) == (states.SUCCESS, 2)


# -- headers of a caller's own


def headers_of(app: Celeriac) -> Task:
    @app.task(name="headers", bind=True, shared=False)
    def headers(self: Task) -> Any:
        return self.request.headers

    return headers


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_header_that_the_message_has_itself_is_refused(app: Celeriac, name: str) -> None:
    """It would replace the message's own, such as its id; or a part of its request."""
    with pytest.raises(OptionRefusedError, match="Give it a prefix, such as 'x-'"):
        headers_of(app).apply_async(task_id="refused", headers={name: "x", "x-order": 1})

    assert services().records.get("refused") is None


def test_every_name_that_celery_gives_a_message_is_reserved(
    app: Celeriac, worker: SingleWorker
) -> None:
    """Also those of another version of Celery."""
    app.tasks["double"].delay(1)

    assert set(worker.take().message.headers) - RESERVED == set()


@pytest.mark.parametrize("how", ["call", "set", "chain", "callback", "chord", "retry"])
def test_a_task_sees_the_headers_of_its_caller_and_no_others(
    app: Celeriac, worker: SingleWorker, how: str
) -> None:
    """``self.request.headers``, in each way to send."""
    own = {"x-order": 7, "trace": {"id": "é"}}
    plain = headers_of(app)
    task = plain.si().set(headers=own)
    match how:
        case "call":
            result = plain.apply_async(headers=own)
        case "set":
            result = task.delay()
        case "chain":
            result = (app.tasks["double"].s(1) | task).delay()
        case "callback":
            task.set(task_id="told")
            app.tasks["double"].apply_async((1,), link=task)
            result = app.AsyncResult("told")
        case "chord":
            result = chord([app.tasks["double"].s(1)], task).delay()
        case "retry":

            @app.task(name="headers again", bind=True, shared=False)
            def again(self: Task) -> Any:
                if not self.request.retries:
                    raise self.retry(countdown=0)
                return self.request.headers

            result = again.apply_async(headers=own)
    worker.run_all()

    assert result.result == own


def test_signals_see_no_header_of_ours(app: Celeriac, worker: SingleWorker) -> None:
    """Those before the task runs, and those in the worker's main process."""
    seen: list[Any] = []

    def before(task: Task, **_: Any) -> None:
        seen.append(task.request.headers)

    def after(sender: Task, request: Any = None, **_: Any) -> None:
        seen.append((request or sender.request).headers)

    @app.task(name="signalling", bind=True, shared=False, max_retries=1)
    def signalling(self: Task) -> None:
        seen.append(self.request.headers)
        raise self.retry(countdown=0)

    kinds = [
        (signals.task_prerun, before),
        (signals.task_postrun, before),
        (signals.task_retry, after),
        (signals.task_failure, after),
    ]
    for each, handler in kinds:
        each.connect(handler, weak=False)
    try:
        signalling.apply_async(headers={"x-order": 7})
        signalling.delay()
        request = worker.take()
        seen.append(request._context.headers)
        worker.run(request)
        worker.run_all()
    finally:
        for each, handler in kinds:
            each.disconnect(handler)

    assert len(seen) == 17
    assert [each for each in seen if each not in ({"x-order": 7}, {})] == []


# -- ids of a caller's own

GOOD = ["order-42", "order_42", "import:2026-01-01", "a.b", "x" * 255, "0", "...", "a..b"]
BAD = ["", "a/b", "a#b", "a b", "é", "日本", "x" * 256, ".", "..", "a\n", "a%2Fb", "\ud800", "a?b"]
NOT_TEXTS = [uuid.UUID(int=7), 7, b"order", 1.5]


def ways_to_send(app: Celeriac, task_id: Any) -> dict[str, Callable[[], Any]]:
    """Each of them sends when it is called."""
    double, total = app.tasks["double"], app.tasks["total"]
    return {
        "apply_async": lambda: double.apply_async((1,), task_id=task_id),
        "send_task": lambda: app.send_task("double", (1,), task_id=task_id),
        "set": lambda: double.s(1).set(task_id=task_id).delay(),
        "signature": lambda: signature(
            "double", (1,), options={"task_id": task_id}, app=app
        ).apply_async(),
        "group": lambda: group(double.s(1), double.s(2).set(task_id=task_id)).delay(),
        "chain": lambda: chain(double.s(1), double.s().set(task_id=task_id)).delay(),
        "long chain": lambda: chain(
            double.s(1), double.s(), double.s().set(task_id=task_id), double.s()
        ).delay(),
        "chord header": lambda: chord([double.s(1).set(task_id=task_id)], total.s()).delay(),
        "chord body": lambda: chord([double.s(1)], total.s().set(task_id=task_id)).delay(),
        "chord in a chain": lambda: chain(
            double.s(1), group(double.s(), double.s()), total.s().set(task_id=task_id)
        ).delay(),
        "group in a chain": lambda: chain(
            double.s(1), group(double.s(), double.s().set(task_id=task_id))
        ).delay(),
        "link": lambda: double.apply_async((1,), link=double.s().set(task_id=task_id)),
        "link_error": lambda: double.apply_async(
            (1,), link_error=double.si(1).set(task_id=task_id)
        ),
        "link of a link": lambda: double.apply_async(
            (1,), link=double.s().on_error(double.si(1)).set(link=double.s().set(task_id=task_id))
        ),
    }


WAYS = [
    "apply_async", "send_task", "set", "signature", "group", "chain", "long chain", "chord header",
    "chord body", "chord in a chain", "group in a chain", "link", "link_error", "link of a link",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task_id", [each for each in [*BAD, *NOT_TEXTS] if each != ""], ids=repr)
def test_an_id_that_no_task_can_have_is_refused_when_it_is_sent(
    app: Celeriac, worker: SingleWorker, way: str, task_id: Any
) -> None:
    """The first sending refuses it, in a sentence, also where a worker would send it later."""
    with pytest.raises(TaskIdError, match=r"A task can't have the id .*\.$"):
        ways_to_send(app, task_id)[way]()

    # The other member of a group may have been sent.
    assert worker.run_all() <= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task_id", GOOD, ids=repr)
def test_an_id_of_the_callers_is_kept(
    app: Celeriac, worker: SingleWorker, way: str, task_id: str
) -> None:
    """In each way to send."""
    task_id = f"{way.replace(' ', '-')}:{task_id}"[:255]
    ways_to_send(app, task_id)[way]()
    worker.run_all()

    record = services().records.get(task_id)
    if way != "link_error":
        assert record is not None
        assert record.state == states.SUCCESS


@pytest.mark.parametrize("task_id", GOOD, ids=repr)
def test_a_task_of_any_id_has_large_arguments_results_and_artifacts(
    app: Celeriac, worker: SingleWorker, task_id: str
) -> None:
    """The id is part of their keys in S3."""

    @app.task(name="repeat", shared=False)
    def repeat(text: str) -> str:
        return text

    result = repeat.apply_async(("é" * 60_000,), task_id=task_id)
    worker.run_all()

    assert result.result == "é" * 60_000


@given(st.text())
def test_an_id_is_one_segment_of_a_path(text: str) -> None:
    """Nothing else is one."""
    plain = "".join(each for each in text if each.isascii() and (each.isalnum() or each in "-_.:"))

    assert is_task_id(text) == (plain == text and 0 < len(text) <= 255 and text not in {".", ".."})


def test_a_name_that_no_record_can_have_is_refused(app: Celeriac) -> None:
    """As an option is."""
    with pytest.raises(OptionRefusedError, match="printable"):
        app.send_task("x" * 256)
