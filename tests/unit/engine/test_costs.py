"""What a task costs. The budget: three writes of the record, three of indexes, one send.

The delivery side runs as a worker's child process does, in Celery's tracer, but in this process:
what receiving and acknowledging cost is the transport's, and tested with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import _state
from celery.app.trace import build_tracer

from celeriac import states
from celeriac.app.factory import Celeriac, make_app
from celeriac.cdk.prices import LISTING_WRITES, UNFINISHED_WRITES, TaskCost
from celeriac.contract import (
    BaseModel,
    Catalogue,
    Retry,
    TaskContext,
    task,
)
from celeriac.operations.submission import submit
from celeriac.records import DynamoRecords, Failure, Progress
from celeriac.settings import Settings
from celeriac.storage import services
from celeriac.storage.values import INLINE_LIMIT
from tasks.queues import DEFAULT
from tests.unit.engine.meter import UNIT, Bill, metered
from tests.unit.engine.support import START, Timer, new_record


class Text(BaseModel):
    """A text of any length."""

    text: str


class Nothing(BaseModel):
    """No fields."""


@task(queue=DEFAULT, time_limit=timedelta(minutes=1))
def do_nothing(payload: Nothing, context: TaskContext) -> Nothing:
    """Do nothing."""
    return payload


@task(queue=DEFAULT, time_limit=timedelta(minutes=1), retry=Retry(attempts=1))
def fail(payload: Nothing, context: TaskContext) -> Nothing:
    """Fail."""
    raise RuntimeError("on purpose")


@task(queue=DEFAULT, time_limit=timedelta(minutes=1))
def echo(payload: Text, context: TaskContext) -> Text:
    """Give the text back."""
    return payload


TYPES = Catalogue([do_nothing, fail, echo])


@pytest.fixture(scope="module")
def app(aws: Settings) -> Iterator[Celeriac]:
    before = _state._get_current_app()
    yield make_app(aws, TYPES)
    _state._set_current_app(before)


def receive(settings: Settings) -> dict[str, object]:
    """The next message, as kombu's JSON."""
    url = settings.queue_url(DEFAULT)
    sqs = services.services().sqs
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    body: dict[str, object] = json.loads(message["Body"])
    return body


def work(app: Celeriac, message: dict[str, object]) -> None:
    """Run a message as a child process of the worker does."""
    headers = message["headers"]
    assert isinstance(headers, dict)
    body = message["body"]
    args, kwargs, embed = json.loads(body) if isinstance(body, str) else body  # type: ignore[misc]
    task = app.tasks[headers["task"]]
    trace = build_tracer(task.name, task, app=app)
    request = {**headers, **embed, "args": args, "kwargs": kwargs, "delivery_info": {}}
    trace(headers["id"], args, kwargs, request | {"owner": "ip-10-0-1-23.ec2.internal.17.ab12cd/1"})


def life(
    app: Celeriac, settings: Settings, name: str, payload: object = None, **options: str
) -> Bill:
    """The bill of one task, from its submission to its end."""
    with metered() as submitting:
        record = submit(name, payload or {}, app=app, **options).record  # type: ignore[arg-type]
    message = receive(settings)
    with metered() as working:
        work(app, message)
    ended = services.services().records.get(record.task_id)
    assert ended is not None
    assert ended.terminal
    return Bill(
        submitting.requests + working.requests,
        submitting.units + working.units,
        submitting.reads + working.reads,
        max(submitting.largest_item, working.largest_item),
    )


def test_a_no_op_task_keeps_to_the_budget(app: Celeriac, aws: Settings) -> None:
    """One send, three writes of one unit, three index writes, and not a single read."""
    life(app, aws, "do-nothing")  # a process's first send may ask for more

    bill = life(app, aws, "do-nothing")

    assert bill.requests == {"dynamodb:PutItem": 1, "sqs:SendMessage": 1, "dynamodb:UpdateItem": 2}
    assert +bill.units == {"table": 3, "listing": 1, "unfinished": 2}


@pytest.mark.parametrize("length", [50, 200, 800, 1_100, 5_000, 30_000, 40_000])
def test_the_price_list_counts_what_a_task_writes(
    app: Celeriac, aws: Settings, length: int
) -> None:
    """Payload and result are in the record, in items of their own or in S3, by their size.

    None is read: the payload comes with the message too.
    """
    life(app, aws, "do-nothing")

    bill = life(app, aws, "echo", {"text": "x" * length})

    price = TaskCost(payload=length, result=length)
    assert bill.units["table"] == price.table_writes
    assert bill.units["listing"] == LISTING_WRITES
    assert bill.units["unfinished"] == UNFINISHED_WRITES
    assert bill.units.total() == price.writes
    assert bill.requests["s3:PutObject"] == price.objects
    assert bill.reads == bill.requests["s3:GetObject"] == 0


def test_two_hundred_characters_take_eight_writes(app: Celeriac, aws: Settings) -> None:
    """Three of the record, three of indexes, one each of payload and result."""
    bill = life(app, aws, "echo", {"text": "x" * 200})

    assert +bill.units == {"table": 5, "listing": 1, "unfinished": 2}


def test_an_idempotency_key_costs_one_read(app: Celeriac, aws: Settings) -> None:
    """It is looked up first, so that a repetition doesn't store its input again."""
    bill = life(app, aws, "do-nothing", idempotency_key="key-of-the-budget")

    assert bill.requests["dynamodb:GetItem"] == 1
    assert +bill.units == {"table": 3, "listing": 1, "unfinished": 2}


def test_retries_write_nothing_in_an_index(aws: Settings) -> None:
    """A task that runs, retries and reports stays where it is among the unfinished ones."""
    records = DynamoRecords(services.services().dynamodb, aws.table_name, clock=Timer())
    record = new_record()
    records.create(record)

    with metered() as bill:
        records.claim(record.task_id, 1, OWNER, START + 60_000)
        records.renew(record.task_id, OWNER, START + 120_000)
        records.report(record.task_id, OWNER, states.PROGRESS)
        records.retry(record.task_id, OWNER, START, Failure(type="E", message="m"))
        records.resend(record.task_id)
        records.claim(record.task_id, 2, OWNER, START + 60_000)
        records.release(record.task_id, OWNER)

    assert set(+bill.units) == {"table"}


def test_a_failure_costs_one_more_index_write(app: Celeriac, aws: Settings) -> None:
    """The failures' index is sparse: only a task that fails enters it."""
    bill = life(app, aws, "fail")

    assert bill.units["listing"] == 1
    assert bill.units["failures"] == 1


def test_a_message_is_one_billed_request(app: Celeriac, aws: Settings) -> None:
    """SQS bills each 64 KiB: a no-op's message is far below."""
    submit("do-nothing", {}, app=app)

    assert len(json.dumps(receive(aws))) < 4096


TENANT = "acme-gardening-and-sons"
OWNER = "ip-10-0-123-145.eu-central-1.compute.internal.17.ab12cd/0123abcd"
FULL = "=" + "x" * INLINE_LIMIT
CANVAS = {
    "parent_id": "0190f5b2-7c1a-7d3e-8f00-0123456789ab",
    "group_id": "0190f5b2-7c1a-7d3e-8f00-0123456789ac",
}


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": ("customer-1234", "spring-sale"), "fingerprint": "0123456789abcdef" * 2},
        CANVAS,
    ],
    ids=["submitted over HTTP", "step of a canvas"],
)
@pytest.mark.parametrize("end", [states.SUCCESS, states.FAILURE])
def test_a_record_stays_within_one_unit(aws: Settings, fields: dict[str, object], end: str) -> None:
    """Input and result at the inline limit, the longest messages: still one unit a write."""
    records = DynamoRecords(services.services().dynamodb, aws.table_name, clock=Timer())
    record = new_record(
        tenant=TENANT, type="generate-report", queue="reports", input=FULL, **fields
    )
    failure = Failure(type="UnidentifiedImageError", message="x" * 500)
    progress = Progress(current=123456, total=1234567, message="x" * 500)
    # A failure's result has a traceback, and so is an item of its own.
    result, error = (FULL, None) if end == states.SUCCESS else ("item:result-0123456789ab", failure)

    with metered() as bill:
        records.create(record)
        records.claim(record.task_id, 1, OWNER, START + 60_000)
        records.report(record.task_id, OWNER, states.PROGRESS, progress=progress)
        records.retry(record.task_id, OWNER, START + 600_000, failure)
        records.resend(record.task_id)
        records.claim(record.task_id, 2, OWNER, START + 60_000)
        records.report(record.task_id, OWNER, states.PROGRESS, progress=progress)
        records.cancel(record.task_id)
        records.renew(record.task_id, OWNER, START + 120_000)
        records.finish(record.task_id, OWNER, end, result=result, failure=error)

    assert bill.largest_item <= UNIT
    assert (
        bill.units["table"]
        == bill.requests["dynamodb:PutItem"] + bill.requests["dynamodb:UpdateItem"]
    )
