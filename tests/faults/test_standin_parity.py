"""Task records behave the same on the stand-in and on moto."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import pytest
from botocore.exceptions import ClientError

from celeriac import states
from celeriac.contract import catalogue
from celeriac.local.aws import AwsServer
from celeriac.local.environment import aws_variables
from celeriac.local.provision import provision
from celeriac.local.standin import Standin
from celeriac.records import (
    Cancellation,
    Claimed,
    ClaimLost,
    DynamoRecords,
    Failure,
    LeaseLostError,
    LostClaim,
    Progress,
    RecordExistsError,
    TaskRecord,
)
from celeriac.records.store import Position
from celeriac.settings import Settings
from celeriac.topology import FAILURES, LISTING

TABLE = "parity"
NOW = 1_700_000_000_000
LATER = NOW + 60_000


@pytest.fixture(scope="module", params=[Standin, AwsServer], ids=["standin", "moto"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, request.param() as aws:
        for name, value in aws_variables(aws.endpoint).items():
            patch.setenv(name, value)
        settings = Settings(
            queue_url_prefix=f"{aws.endpoint}/123456789012/parity-",
            table_name=TABLE,
            bucket_name="parity",
            mail_from=None,
        )
        provision(settings, catalogue(), aws.endpoint)
        yield aws.endpoint


class Clock:
    """A time that tests move."""

    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(endpoint: str, clock: Clock) -> DynamoRecords:
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    return DynamoRecords(client, TABLE, clock=clock)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> TaskRecord:
    return TaskRecord(
        task_id=request.node.name,
        type="t",
        tenant="parity",
        queue="default",
        created_at=NOW,
        expires_at=NOW // 1000,
        input="={}",
        tags=("a", "b"),
    )


def test_a_record_is_created_once(records: DynamoRecords, record: TaskRecord) -> None:
    """The second time says what is there."""
    records.create(record)
    with pytest.raises(RecordExistsError) as refused:
        records.create(record)
    assert refused.value.existing == records.get(record.task_id) == record


def test_a_life_from_claim_to_finish(records: DynamoRecords, record: TaskRecord) -> None:
    """Each transition changes the version and what it is about."""
    records.create(record)
    claimed = records.claim(record.task_id, 1, "me", LATER)
    assert isinstance(claimed, Claimed)
    assert (claimed.record.state, claimed.record.lease_until) == (states.STARTED, LATER)
    half = records.report(record.task_id, "me", "PROGRESS", progress=Progress(current=1, total=2))
    assert half.progress == Progress(current=1, total=2)
    done = records.finish(record.task_id, "me", states.SUCCESS, result="=1")
    assert (done.state, done.result, done.lease_until) == (states.SUCCESS, "=1", None)
    assert done.version == 4
    assert records.get(record.task_id) == done


def test_a_live_lease_is_respected_and_a_passed_one_taken_over(
    records: DynamoRecords, record: TaskRecord, clock: Clock
) -> None:
    """And the first holder can write no more."""
    records.create(record)
    records.claim(record.task_id, 1, "first", LATER)
    refused = records.claim(record.task_id, 1, "second", LATER)
    assert isinstance(refused, ClaimLost)
    assert refused.why is LostClaim.HELD
    clock.now = LATER
    taken = records.claim(record.task_id, 1, "second", LATER + 60_000)
    assert isinstance(taken, Claimed)
    assert taken.record.lost == 1
    with pytest.raises(LeaseLostError):
        records.finish(record.task_id, "first", states.SUCCESS)


def test_a_retry_makes_room_for_the_next_attempt_only(
    records: DynamoRecords, record: TaskRecord
) -> None:
    """The message of the first is stale."""
    records.create(record)
    records.claim(record.task_id, 1, "me", LATER)
    waiting = records.retry(record.task_id, "me", NOW + 1, Failure(type="E", message="m"))
    assert (waiting.state, waiting.attempt) == (states.RETRY, 2)
    stale = records.claim(record.task_id, 1, "other", LATER)
    assert isinstance(stale, ClaimLost)
    assert stale.why is LostClaim.STALE
    assert isinstance(records.claim(record.task_id, 2, "other", LATER), Claimed)


def test_a_task_that_is_replaced_hands_its_id_on(
    records: DynamoRecords, record: TaskRecord
) -> None:
    """It waits for its next attempt, and its old holder can write no more."""
    records.create(record)
    records.claim(record.task_id, 1, "me", LATER)
    waiting = records.hand_on(record.task_id, "me")
    assert (waiting.state, waiting.attempt, waiting.lease_until) == (states.PENDING, 2, None)
    assert records.hand_on(record.task_id, "me") == waiting
    with pytest.raises(LeaseLostError):
        records.finish(record.task_id, "me", states.SUCCESS)
    assert waiting.first_attempt == 2
    assert records.await_canvas(waiting) == records.get(record.task_id)
    assert records.resend(record.task_id) is None
    assert isinstance(records.claim(record.task_id, 2, "next", LATER), ClaimLost)
    assert records.resend(record.task_id, type="sow", queue="files", input="=2")
    assert isinstance(records.claim(record.task_id, 2, "next", LATER), Claimed)


def test_cancelling(records: DynamoRecords, record: TaskRecord, clock: Clock) -> None:
    """A waiting task ends; a running one is asked; a record that isn't there is none."""
    assert records.cancel("no-such-task") is None
    records.create(record)
    records.claim(record.task_id, 1, "me", LATER)
    asked = records.cancel(record.task_id)
    assert asked is not None
    assert asked[0] is Cancellation.STOPPING
    records.finish(record.task_id, "me", states.REVOKED)
    clock.now += 1
    over = records.cancel(record.task_id)
    assert over is not None
    assert over[0] is Cancellation.OVER


def test_listings_are_in_order_and_failures_have_their_own(
    records: DynamoRecords, record: TaskRecord
) -> None:
    """Newest first, below a position, down to a floor."""
    ids = [f"listed-{n}" for n in range(5)]
    for n, task_id in enumerate(ids):
        fields = {**vars(record), "task_id": task_id, "tenant": "lister", "created_at": NOW + n}
        records.create(TaskRecord(**fields))
    start = Position(tenant="lister", shard=0, below=None)
    first = records.newest(LISTING, start, 2)
    assert [each.task_id for each in first] == ["listed-4", "listed-3"]
    assert first[0].tags == ("a", "b")
    rest = Position(tenant="lister", shard=0, below=first[-1].listing_key, created_after=NOW)
    assert [each.task_id for each in records.newest(LISTING, rest, 9)] == ["listed-2", "listed-1"]
    assert records.newest(FAILURES, start, 9) == []
    records.claim("listed-1", 1, "me", LATER)
    records.finish("listed-1", "me", states.FAILURE, failure=Failure(type="E", message="m"))
    assert [each.task_id for each in records.newest(FAILURES, start, 9)] == ["listed-1"]


def test_a_call_that_names_what_it_does_not_use_is_refused(endpoint: str) -> None:
    """As DynamoDB refuses it."""
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    with pytest.raises(ClientError) as refused:
        client.update_item(
            TableName=TABLE,
            Key={"pk": {"S": "x"}, "sk": {"S": "x"}},
            UpdateExpression="SET a = :a",
            ExpressionAttributeValues={":a": {"S": "x"}, ":b": {"S": "y"}},
        )
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def in_index(records: DynamoRecords, record: TaskRecord) -> bool:
    return record.task_id in {each.task_id for each in records.unfinished()}


END_BY: dict[str, Callable[[DynamoRecords, str], object]] = {
    "success": lambda records, task: records.finish(task, "me", states.SUCCESS),
    "failure": lambda records, task: records.finish(
        task, "me", states.FAILURE, failure=Failure(type="E", message="m")
    ),
    "revoked": lambda records, task: records.finish(task, "me", states.REVOKED),
    "cancelled before its retry": lambda records, task: (
        records.cancel(task),
        records.retry(task, "me", NOW + 1, Failure(type="E", message="m")),
    ),
    "cancelled while it waits for its retry": lambda records, task: (
        records.retry(task, "me", NOW + 1, Failure(type="E", message="m")),
        records.cancel(task),
    ),
    "ended while it waits": lambda records, task: (
        records.retry(task, "me", NOW + 1, Failure(type="E", message="m")),
        records.finish(task, None, states.FAILURE, failure=Failure(type="E", message="m")),
    ),
    "given up after its replacement": lambda records, task: (
        records.await_canvas(records.hand_on(task, "me")),
        records.finish(task, None, states.FAILURE, failure=Failure(type="E", message="m")),
    ),
}


@pytest.mark.parametrize("end", END_BY.values(), ids=END_BY)
def test_a_task_is_in_the_unfinished_index_until_it_ends(
    records: DynamoRecords, record: TaskRecord, end: Callable[[DynamoRecords, str], object]
) -> None:
    """From its creation on, through each claim, report and hand-back, to whatever ends it."""
    records.create(record)
    assert in_index(records, record)
    records.claim(record.task_id, 1, "another", LATER, ahead=True)
    records.report(record.task_id, "another", "PROGRESS")
    records.release(record.task_id, "another", crash="exit code 9")
    records.claim(record.task_id, 1, "me", LATER)
    assert in_index(records, record)

    end(records, record.task_id)

    found = records.get(record.task_id)
    assert found is not None
    assert found.terminal
    assert not in_index(records, record)


def test_a_cancelled_task_of_a_lost_worker_leaves_the_index(
    records: DynamoRecords, record: TaskRecord, clock: Clock
) -> None:
    """The next claim ends it, since nobody else is left to do so."""
    records.create(record)
    records.claim(record.task_id, 1, "lost", LATER)
    records.cancel(record.task_id)
    assert in_index(records, record)
    clock.now = LATER + 1

    records.claim(record.task_id, 1, "next", LATER + 60_000)

    assert not in_index(records, record)


def test_a_task_that_was_taken_back_leaves_the_index(
    records: DynamoRecords, record: TaskRecord
) -> None:
    """It was never accepted, and its record is gone."""
    records.create(record)

    assert records.discard(record.task_id)

    assert not in_index(records, record)
