"""Submitting: accepted means a record and a message; refused means neither."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from celery import _state
from pydantic import ValidationError

from celeriac import clock, states
from celeriac.app.factory import Celeriac, make_app
from celeriac.contract import (
    BaseModel,
    Catalogue,
    Field,
    TaskContext,
    UnknownTaskTypeError,
    task,
)
from celeriac.errors import (
    IdempotencyConflictError,
    NotFoundError,
    NotOverError,
    UnavailableError,
)
from celeriac.operations import cancelling, lookup, retrying
from celeriac.operations.submission import Submission, submit
from celeriac.records import Cancellation, Claimed, ClaimLost, LostClaim, TaskRecord, identifiers
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.transport.call import LARGEST_IN_MESSAGE
from tasks.queues import FILES
from tests.unit.engine.support import out_of_reach

TENANT = "shop"


class Bed(BaseModel):
    rows: int
    note: str = ""


@task(queue=FILES, time_limit=timedelta(minutes=1), aliases=("spade",))
def dig(payload: Bed, context: TaskContext) -> Bed:
    """Dig a bed."""
    return payload


@task(queue=FILES, time_limit=timedelta(minutes=1))
def sow(payload: Bed, context: TaskContext) -> Bed:
    """Sow a bed."""
    return payload


class Lot(BaseModel):
    number: int = Field(default_factory=itertools.count().__next__)


@task(queue=FILES, time_limit=timedelta(minutes=1))
def draw(payload: Lot, context: TaskContext) -> Lot:
    """Draw a lot."""
    return payload


TYPES = Catalogue([dig, sow, draw])


@pytest.fixture(scope="module")
def app(aws: Settings) -> Iterator[Celeriac]:
    before = _state._get_current_app()
    yield make_app(aws, TYPES)
    _state._set_current_app(before)


@pytest.fixture
def key() -> str:
    """An idempotency key of the test's own."""
    return identifiers.new_task_id()


@pytest.fixture(autouse=True)
def quick(at_once: None, app: Celeriac, aws: Settings) -> None:
    """No pauses, and a queue that holds nothing yet."""
    sent(aws)


def sent(settings: Settings) -> list[dict[str, Any]]:
    """The messages in the queue, taken from it: their headers, and ``args``."""
    url, sqs = settings.queue_url(FILES), services().sqs
    found: list[dict[str, Any]] = []
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
    ).get("Messages"):
        for message in messages:
            envelope = json.loads(message["Body"])
            body = envelope["body"]
            args = (json.loads(body) if isinstance(body, str) else body)[0]
            found.append(envelope["headers"] | {"args": args})
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def submit_dig(app: Celeriac, payload: Any = None, **options: Any) -> Submission:
    return submit(
        options.pop("type_name", "dig"),
        {"rows": 3} if payload is None else payload,
        app=app,
        **{"tenant": TENANT} | options,
    )


def record_of(task_id: str) -> TaskRecord:
    record = services().records.get(task_id)
    assert record is not None
    return record


def claim(task_id: str, owner: str = "worker/1") -> Claimed | ClaimLost:
    return services().records.claim(task_id, 1, owner, clock.now() + 60_000)


# -- accepted


def test_an_accepted_task_has_a_record_and_a_message(app: Celeriac, aws: Settings) -> None:
    """They tell of the same task, type, tenant and payload."""
    accepted = submit_dig(app, tags=["spring"])

    record = record_of(accepted.record.task_id)
    assert record == accepted.record
    assert not accepted.replayed
    assert (record.state, record.type, record.tenant) == (states.PENDING, "dig", TENANT)
    assert (record.queue, record.tags) == ("files", ("spring",))
    assert lookup.payload_of(record) == {"rows": 3, "note": ""}
    [message] = sent(aws)
    assert (message["id"], message["task"]) == (record.task_id, "dig")
    assert message["args"] == [{"rows": 3, "note": ""}]


def test_a_model_is_a_payload_too(app: Celeriac) -> None:
    """Python callers pass what the task type declares."""
    accepted = submit_dig(app, Bed(rows=5))

    assert lookup.payload_of(accepted.record) == {"rows": 5, "note": ""}


def test_an_alias_submits_the_type_of_today(app: Celeriac) -> None:
    """Callers that know the old name go on working."""
    assert submit_dig(app, type_name="spade").record.type == "dig"


def test_a_task_expires_after_its_time_to_live(app: Celeriac, aws: Settings) -> None:
    """Counted from when it may start: a delay comes on top."""
    now = submit_dig(app).record
    later = submit_dig(app, delay=timedelta(minutes=10)).record

    ttl = aws.record_ttl.total_seconds()
    assert now.expires_at == pytest.approx(now.created_at / 1000 + ttl, abs=1)
    assert later.expires_at - now.expires_at == pytest.approx(600, abs=2)
    assert later.due_at == pytest.approx(later.created_at + 600_000, abs=2000)


@pytest.mark.parametrize("extra", [-200, 0, 200, 300_000])
def test_a_large_payload_travels_by_reference(app: Celeriac, aws: Settings, extra: int) -> None:
    """Messages stay within what SQS bills as one request; the record keeps every payload."""
    payload = {"rows": 1, "note": "x" * (LARGEST_IN_MESSAGE + extra)}

    accepted = submit_dig(app, payload)

    [message] = sent(aws)
    assert len(json.dumps(message)) < 64 * 1024
    assert lookup.payload_of(accepted.record) == payload
    by_reference = message["celeriac"].get("input")
    assert by_reference == (None if message["args"] else accepted.record.input)


# -- refused


def test_an_unknown_type_is_refused(app: Celeriac, aws: Settings) -> None:
    """Before anything is written."""
    with pytest.raises(UnknownTaskTypeError, match="Did you mean dig"):
        submit_dig(app, type_name="digg")

    assert sent(aws) == []


def test_an_invalid_payload_is_refused(app: Celeriac, aws: Settings) -> None:
    """With pydantic's own error, which says where."""
    with pytest.raises(ValidationError, match="rows"):
        submit_dig(app, {"rows": "many"})

    assert sent(aws) == []


def test_an_empty_catalogue_is_not_taken_for_none(app: Celeriac) -> None:
    """A caller's catalogue holds, even where it holds nothing."""
    empty = Celeriac("empty", settings=app.settings, catalogue=Catalogue([]), set_as_current=False)

    with pytest.raises(UnknownTaskTypeError):
        submit("long-running", {}, app=empty)


@pytest.mark.parametrize("keyed", [False, True])
def test_without_sqs_nothing_is_accepted(
    app: Celeriac, aws: Settings, key: str, *, keyed: bool
) -> None:
    """The record is taken back, and the caller told to come again; then it works."""
    options = {"idempotency_key": key} if keyed else {}
    created: list[TaskRecord] = []
    store = services().records
    with pytest.MonkeyPatch.context() as patch, out_of_reach("sqs") as tried:
        create = store.create

        def noted(record: TaskRecord) -> None:
            created.append(record)
            create(record)

        patch.setattr(store, "create", noted)
        with pytest.raises(UnavailableError, match="SQS") as refused:
            submit_dig(app, **options)

    assert set(tried) == {"SendMessage"}
    assert refused.value.retry_after > timedelta(0)
    [record] = created
    assert store.get(record.task_id) is None
    assert not submit_dig(app, **options).replayed
    assert len(sent(aws)) == 1


@pytest.mark.parametrize("keyed", [False, True])
def test_without_dynamodb_nothing_is_sent(
    app: Celeriac, aws: Settings, key: str, *, keyed: bool
) -> None:
    """No message goes out without a record."""
    options = {"idempotency_key": key} if keyed else {}
    with out_of_reach("dynamodb"), pytest.raises(UnavailableError, match="DynamoDB"):
        submit_dig(app, **options)

    assert sent(aws) == []


def test_without_s3_no_large_payload_is_accepted(app: Celeriac, aws: Settings) -> None:
    """What can't be kept isn't accepted."""
    with out_of_reach("s3"), pytest.raises(UnavailableError, match="S3"):
        submit_dig(app, {"rows": 1, "note": "x" * 100_000})

    assert sent(aws) == []


def test_with_both_down_the_error_is_ours(app: Celeriac, aws: Settings, key: str) -> None:
    """DynamoDB fails between the record and its taking back: still 'try again', and repaired."""
    store = services().records

    def refused(task_id: str) -> bool:
        raise EndpointConnectionError(endpoint_url=task_id)

    with pytest.MonkeyPatch.context() as patch, out_of_reach("sqs"):
        patch.setattr(store, "discard", refused)
        with pytest.raises(UnavailableError):
            submit_dig(app, idempotency_key=key)

    assert submit_dig(app, idempotency_key=key).replayed
    assert len(sent(aws)) == 1


# -- a send of which nobody knows


def test_a_message_whose_answer_was_lost_leads_nowhere(
    app: Celeriac, aws: Settings, key: str
) -> None:
    """SQS took it, and said nothing: the caller is refused, and the message finds no record."""
    with out_of_reach("sqs", carries_out=True), pytest.raises(UnavailableError):
        submit_dig(app, idempotency_key=key)

    messages = sent(aws)
    assert messages
    answer = claim(messages[0]["id"])
    assert answer == ClaimLost(LostClaim.ABSENT, None)


def test_a_message_that_a_worker_has_already_claimed_is_accepted(app: Celeriac, key: str) -> None:
    """SQS took it, said nothing, and a worker was quick: the task runs, and so it is accepted."""
    store = services().records
    discard = store.discard

    def claimed_meanwhile(task_id: str) -> bool:
        assert isinstance(claim(task_id), Claimed)
        return discard(task_id)

    with pytest.MonkeyPatch.context() as patch, out_of_reach("sqs", carries_out=True):
        patch.setattr(store, "discard", claimed_meanwhile)
        accepted = submit_dig(app, idempotency_key=key)

    assert record_of(accepted.record.task_id).state == states.STARTED


# -- idempotency


def test_the_same_key_and_body_is_the_same_task(app: Celeriac, aws: Settings, key: str) -> None:
    """However often; and equal bodies may be written differently."""
    first = submit_dig(app, {"rows": 3, "note": "x"}, idempotency_key=key)
    again = submit_dig(app, {"note": "x", "rows": "3"}, idempotency_key=key)

    assert again.record.task_id == first.record.task_id
    assert (first.replayed, again.replayed) == (False, True)


def test_a_default_that_differs_each_time_is_no_other_body(app: Celeriac, key: str) -> None:
    """A request that leaves a field out is the same request when it leaves it out again."""
    first = submit_dig(app, {}, type_name="draw", idempotency_key=key)
    again = submit_dig(app, {}, type_name="draw", idempotency_key=key)

    assert again.replayed
    assert lookup.payload_of(again.record) == lookup.payload_of(first.record)


@pytest.mark.parametrize(
    "changed", [{"payload": {"rows": 4}}, {"payload": {"rows": 3, "note": "x"}}, {"tags": ["x"]}]
)
def test_the_same_key_and_another_body_is_a_conflict(
    app: Celeriac, key: str, changed: dict[str, Any]
) -> None:
    """The first task stays as it was."""
    first = submit_dig(app, idempotency_key=key)

    with pytest.raises(IdempotencyConflictError, match="Use a new key for a new request"):
        submit_dig(app, idempotency_key=key, **changed)

    assert record_of(first.record.task_id) == first.record


def test_a_key_belongs_to_tenant_and_type(app: Celeriac, key: str) -> None:
    """Another tenant's key of the same text is another key."""
    made = {
        submit_dig(app, idempotency_key=key, **options).record.task_id
        for options in ({}, {"tenant": "other"}, {"type_name": "sow"})
    }

    assert len(made) == 3


def test_an_alias_is_the_same_type_to_a_key(app: Celeriac, key: str) -> None:
    """A caller that learns the new name doesn't submit twice."""
    old = submit_dig(app, idempotency_key=key, type_name="spade")

    assert submit_dig(app, idempotency_key=key).record.task_id == old.record.task_id


def test_a_repetition_repairs_a_lost_send(app: Celeriac, aws: Settings, key: str) -> None:
    """The first process died between its two writes: the repeated key sends the message."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "publish_new", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            submit_dig(app, idempotency_key=key, tags=["spring"])
    assert sent(aws) == []

    again = submit_dig(app, idempotency_key=key, tags=["spring"])

    [message] = sent(aws)
    assert message["id"] == again.record.task_id
    assert message["args"] == [{"rows": 3, "note": ""}]
    assert record_of(again.record.task_id).resent == 1


def test_a_repetition_does_not_send_what_runs_or_has_ended(
    app: Celeriac, aws: Settings, key: str
) -> None:
    """Its message has arrived: another would go round until the lease ends."""
    first = submit_dig(app, idempotency_key=key)
    sent(aws)
    claim(first.record.task_id)

    running = submit_dig(app, idempotency_key=key)
    services().records.finish(first.record.task_id, "worker/1", states.SUCCESS, result="=1")
    over = submit_dig(app, idempotency_key=key)

    assert (running.record.state, over.record.state) == (states.STARTED, states.SUCCESS)
    assert sent(aws) == []


def test_a_repetition_of_what_is_taken_back_is_refused(
    app: Celeriac, aws: Settings, key: str
) -> None:
    """The first sender fails and takes its record back while the second has just read it."""
    store = services().records
    first = submit_dig(app, idempotency_key=key)
    sent(aws)
    resend = store.resend

    def taken_back_meanwhile(task_id: str) -> TaskRecord | None:
        assert store.discard(task_id)
        return resend(task_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "resend", taken_back_meanwhile)
        with pytest.raises(UnavailableError):
            submit_dig(app, idempotency_key=key)

    assert store.get(first.record.task_id) is None
    assert sent(aws) == []


def test_a_repetition_while_sqs_is_down_is_refused(app: Celeriac, aws: Settings, key: str) -> None:
    """The first one's task stays: it was accepted."""
    first = submit_dig(app, idempotency_key=key)

    with out_of_reach("sqs"), pytest.raises(UnavailableError):
        submit_dig(app, idempotency_key=key)

    assert record_of(first.record.task_id).state == states.PENDING


# -- find, cancel, retry


def test_another_tenants_task_is_not_found(app: Celeriac) -> None:
    """Not found, not cancelled, not tried again: as if it weren't there."""
    task_id = submit_dig(app).record.task_id

    for attempt in (lookup.find, cancelling.cancel, retrying.retry):
        with pytest.raises(NotFoundError):
            attempt(task_id, "other")
        with pytest.raises(NotFoundError):
            attempt("unknown", TENANT)
    assert lookup.find(task_id, TENANT).state == states.PENDING


def test_a_task_is_cancelled_by_its_tenant(app: Celeriac) -> None:
    """At once, with no worker alive."""
    task_id = submit_dig(app).record.task_id

    outcome, record = cancelling.cancel(task_id, TENANT)

    assert (outcome, record.state) == (Cancellation.ENDED, states.REVOKED)


def test_a_task_that_has_ended_is_tried_again(app: Celeriac, aws: Settings) -> None:
    """As a new task with the same payload and tags, that says what it repeats."""
    first = submit_dig(app, {"rows": 7}, tags=["spring"]).record
    with pytest.raises(NotOverError):
        retrying.retry(first.task_id, TENANT, app=app)
    cancelling.cancel(first.task_id, TENANT)

    again = retrying.retry(first.task_id, TENANT, app=app).record
    edited = retrying.retry(first.task_id, TENANT, payload={"rows": 8}, app=app).record

    assert again.task_id != first.task_id
    assert (again.retry_of, again.tags) == (first.task_id, ("spring",))
    assert lookup.payload_of(again) == {"rows": 7, "note": ""}
    assert lookup.payload_of(edited) == {"rows": 8, "note": ""}


@pytest.mark.parametrize("attempt", [lookup.find, cancelling.cancel])
def test_an_outage_is_told(app: Celeriac, attempt: Any) -> None:
    """As an error of ours, that a caller can answer with 503."""
    task_id = submit_dig(app).record.task_id

    with out_of_reach("dynamodb"), pytest.raises(UnavailableError):
        attempt(task_id, TENANT)
