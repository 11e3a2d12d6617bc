"""The repair's work grows with the tasks that have not ended, never with those that are stored."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from celeriac import clock, states
from celeriac.contract import Catalogue
from celeriac.local.standin.dynamodb import DynamoDb
from celeriac.operations import maintenance
from celeriac.operations.maintenance import repair
from celeriac.records import DynamoRecords, TaskRecord
from celeriac.records.items import partition
from celeriac.records.table import BATCH_GET_LIMIT
from celeriac.topology import OPEN_SHARDS, TABLE

NOW = clock.now()
GRACE = timedelta(minutes=15)
HOUR = 3_600_000


def a_record(task_id: str, **fields: Any) -> TaskRecord:
    given: dict[str, Any] = {"created_at": NOW - HOUR, "tenant": "acme", **fields}
    return TaskRecord(
        task_id=task_id,
        type="t",
        queue="default",
        expires_at=(NOW + HOUR) // 1000,
        input="={}",
        **given,
    )


class Deployment:
    """The stand-in's table in this process, which counts calls, and takes items in bulk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._service = DynamoDb()
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
        app = SimpleNamespace(catalogue=Catalogue([]), settings=None, resend=self._resend)
        monkeypatch.setattr(maintenance, "celery_app", lambda: app)
        monkeypatch.setattr(maintenance, "services", lambda: SimpleNamespace(records=self.records))

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
        self.resent.append(record.task_id)
        return self.records.resend(record.task_id) is not None

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"]
        name = (operation if isinstance(operation, str) else operation.decode()).split(".")[1]
        self.calls[name] += 1
        answer = json.dumps(self._service.perform(name, json.loads(request.body))).encode()
        raw: Any = SimpleNamespace(stream=lambda: [answer])
        headers: Any = {}
        return AWSResponse(request.url, 200, headers, raw)


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
