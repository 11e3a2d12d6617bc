"""The repair's work grows with the tasks that have not ended, never with those that are stored."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from celeriac import clock, states
from celeriac.contract import Catalogue, Queue
from celeriac.local.standin.dynamodb import DynamoDb
from celeriac.local.standin.errors import AwsError
from celeriac.operations import keeping, lost_messages, maintenance
from celeriac.operations.maintenance import repair
from celeriac.records import Claimed, ClaimLost, DynamoRecords, TaskRecord
from celeriac.records.items import partition
from celeriac.records.table import BATCH_GET_LIMIT
from celeriac.storage.heartbeats import Workers
from celeriac.storage.pauses import Pauses
from celeriac.storage.values import AwsValues
from celeriac.topology import OPEN_SHARDS, TABLE

NOW = clock.now()
GRACE = timedelta(minutes=15)
HOUR = 3_600_000
RECORD_TTL = timedelta(days=1)


def a_record(task_id: str, **fields: Any) -> TaskRecord:
    given: dict[str, Any] = {
        "created_at": NOW - HOUR,
        "tenant": "acme",
        "expires_at": (NOW + clock.millis(RECORD_TTL)) // 1000,
        "input": "={}",
        **fields,
    }
    return TaskRecord(task_id=task_id, type="t", queue="default", **given)


class KilledError(BaseException):
    """Where a worker dies."""


class Deployment:
    """The stand-in's table in this process, which counts calls, and takes items in bulk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._service = DynamoDb()
        self._one_at_a_time = threading.Lock()
        self.calls: Counter[str] = Counter()
        client = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9")
        events: Any = client.meta.events
        events.register("before-send.dynamodb", self._answer)
        table = TABLE
        names = {table.partition_key, table.sort_key}
        client.create_table(
            TableName="t",
            BillingMode=table.billing,
            AttributeDefinitions=[
                {"AttributeName": each, "AttributeType": "S"} for each in sorted(names)
            ],
            KeySchema=_keys(table.partition_key, table.sort_key),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": each.name,
                    "KeySchema": _keys(each.partition_key, each.sort_key),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
                for each in table.indexes
            ],
        )
        self._table = self._service.tables["t"]
        self.records = DynamoRecords(client, "t")
        self.resent: list[str] = []
        #: Those whose message no worker has received since.
        self.in_lane: list[str] = []
        #: After how many sendings the worker dies.
        self.dies_after: int | None = None
        app = SimpleNamespace(
            catalogue=Catalogue([], [Queue("default")]),
            settings=SimpleNamespace(
                lane_urls=lambda queue: (queue.name, queue.high_name), record_ttl=RECORD_TTL
            ),
            resend=self._resend,
            tasks={},
        )
        artifacts: Any = None
        own = SimpleNamespace(
            records=self.records,
            values=AwsValues(client, "t", artifacts, record_ttl=RECORD_TTL),
            pauses=Pauses(client, "t"),
            workers=Workers(client, "t"),
        )
        monkeypatch.setattr(maintenance, "celery_app", lambda: app)
        for module in (maintenance, keeping, lost_messages):
            monkeypatch.setattr(module, "services", lambda: own)
        monkeypatch.setattr(lost_messages, "counts_of", lambda _: (len(self.in_lane), 0, 0))

    def store_finished(self, count: int, tenants: int) -> None:
        """Put records of ended tasks into the table, past the API."""
        shared = {"sk": {"S": "task"}, "state": {"S": states.SUCCESS}}
        lists = [{"S": f"tenant-{number}#0"} for number in range(tenants)]
        for number in range(count):
            pk = partition(f"done-{number:07d}")
            item = {
                **shared,
                "pk": {"S": pk},
                "list_pk": lists[number % tenants],
                "list_sk": {"S": f"{NOW - HOUR:013d}#{number:07d}"},
            }
            self._table.put(self._table.key(item), item)

    def _resend(self, record: TaskRecord) -> bool:
        if self.dies_after is not None and len(self.resent) == self.dies_after:
            raise KilledError
        if self.records.resend(record.task_id) is None:
            return False
        self.resent.append(record.task_id)
        self.in_lane.append(record.task_id)
        return True

    def work(self) -> None:
        """Have workers receive what is in the lane, and claim it."""
        while self.in_lane:
            self.records.claim(self.in_lane.pop(), 1, "a worker", clock.now() + HOUR)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"]
        name = (operation if isinstance(operation, str) else operation.decode()).split(".")[1]
        with self._one_at_a_time:
            self.calls[name] += 1
            try:
                status, body = 200, self._service.perform(name, json.loads(request.body))
            except AwsError as error:
                status, body = error.status, {"__type": error.type, **error.details}
        raw: Any = SimpleNamespace(stream=lambda: [json.dumps(body).encode()])
        headers: Any = {}
        return AWSResponse(request.url, status, headers, raw)


def _keys(partition_key: str, sort_key: str) -> list[Any]:
    return [
        {"AttributeName": partition_key, "KeyType": "HASH"},
        {"AttributeName": sort_key, "KeyType": "RANGE"},
    ]


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Deployment(monkeypatch)


@pytest.mark.parametrize(("stored", "tenants"), [(1_000, 1), (1_000, 500), (1_000_000, 500)])
def test_calls_are_the_same_however_much_is_stored(
    deployment: Deployment, stored: int, tenants: int
) -> None:
    """A query of each partition, a read of each hundred unfinished tasks, a write of each lost."""
    unfinished, lost = 250, 40
    deployment.store_finished(stored, tenants)
    for number in range(unfinished):
        running = number >= lost
        task_id = f"open-{number:03d}"
        deployment.records.create(a_record(task_id, tenant=f"tenant-{number % tenants}"))
        if running:
            deployment.records.claim(task_id, 1, "a worker", clock.now() + HOUR)
    deployment.calls.clear()

    repaired = repair(GRACE)

    assert (repaired.examined, len(repaired.resent)) == (unfinished, lost)
    assert deployment.calls == {
        "Query": OPEN_SHARDS,
        "BatchGetItem": -(-unfinished // BATCH_GET_LIMIT),
        "UpdateItem": lost,
    }


def test_keeping_costs_a_write_for_each_task_that_needs_it(deployment: Deployment) -> None:
    """And one more for an input next to the record. The others are read, as in any repair."""
    for number in range(250):
        task_id = f"open-{number:03d}"
        left = 18 if number < 30 else 20
        changes = {
            "expires_at": (NOW + left * HOUR) // 1000,
            "input": "={}" if number % 2 else "item:input-1",
        }
        deployment.records.create(a_record(task_id, **changes))
        deployment.records.claim(task_id, 1, "a worker", clock.now() + HOUR)
    deployment.calls.clear()

    first = repair(GRACE)
    calls = dict(deployment.calls)
    second = repair(GRACE)

    assert (len(first.kept), len(second.kept)) == (30, 0)
    assert calls == {
        "Query": OPEN_SHARDS,
        "BatchGetItem": -(-250 // BATCH_GET_LIMIT),
        "UpdateItem": 30 + 15,
    }


@pytest.mark.parametrize("sent", [0, 1, 19, 20])
def test_the_next_repair_goes_on_where_a_worker_died(deployment: Deployment, sent: int) -> None:
    """Each lost task is sent again once in the end, when the lane shows that it is lost."""
    lost = {f"lost-{number:02d}" for number in range(20)}
    for task_id in lost:
        deployment.records.create(a_record(task_id))
    deployment.dies_after = sent
    if sent < len(lost):
        with pytest.raises(KilledError):
            repair(GRACE)
    else:
        repair(GRACE)
    assert len(deployment.resent) == sent

    deployment.dies_after = None
    deployment.work()
    repair(GRACE)

    assert sorted(deployment.resent) == sorted(lost)


def test_two_repairs_at_once_leave_each_task_to_one_worker(deployment: Deployment) -> None:
    """Each lost task is sent again, some maybe twice, and a second message claims nothing."""
    lost = {f"lost-{number:02d}" for number in range(20)}
    for task_id in lost:
        deployment.records.create(a_record(task_id))

    with ThreadPoolExecutor(2) as pool:
        both = [future.result() for future in [pool.submit(repair, GRACE) for _ in range(2)]]

    assert {each for repaired in both for each in repaired.resent} == lost
    assert set(deployment.resent) == lost
    until = clock.now() + HOUR
    for task_id in lost:
        answers = [deployment.records.claim(task_id, 1, owner, until) for owner in ("a", "b")]
        assert [type(each) for each in answers] == [Claimed, ClaimLost]
