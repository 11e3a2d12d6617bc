"""AWS on this machine: the server's life, and what provisioning makes in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.sqs.models import Queue as MotoQueue

from celeriac import topology
from celeriac.contract import BaseModel, Catalogue, Queue, Schedule, TaskContext, catalogue, task
from celeriac.local import environment
from celeriac.local.aws import AwsServer, AwsServerError
from celeriac.local.provision import provision
from celeriac.local.queue_attributes import LazyAttributes
from celeriac.settings import Settings
from tasks.queues import DEFAULT, FILES, REPORTS
from tests.integration.processes import is_alive, wait_for

QUEUES = catalogue().queues


ROOT = Path(__file__).parents[2]
DAYS_14 = "1209600"
DAYS_10 = str(10 * 24 * 3600)


class Nothing(BaseModel):
    """Neither payload nor result."""


@task(name="two-minutes", queue=FILES, time_limit=timedelta(minutes=2))
def two_minutes(payload: Nothing, context: TaskContext) -> Nothing:
    """Take up to two minutes on the queue of files."""
    return payload


@task(schedule=Schedule.rate(timedelta(hours=1)))
def hourly(payload: Nothing, context: TaskContext) -> Nothing:
    """Be submitted by a schedule."""
    return payload


CATALOGUE = Catalogue([two_minutes], QUEUES)


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    """One server, provisioned."""
    with AwsServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.aws_variables(server.endpoint).items():
            patch.setenv(name, value)
        provision(environment.settings_at(server.endpoint), CATALOGUE, server.endpoint)
        yield server


@pytest.fixture(scope="module")
def settings(aws: AwsServer) -> Settings:
    """The settings that name what was provisioned."""
    return environment.settings_at(aws.endpoint)


def attributes(url: str) -> dict[str, Any]:
    answer = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer["Attributes"].items()}


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_exists_under_the_url_of_the_settings(settings: Settings, queue: Queue) -> None:
    """A message sent to a queue's URL, or to its dead-letter queue's, arrives there."""
    sqs = boto3.client("sqs")
    for url in (settings.queue_url(queue), settings.dead_letter_url(queue)):
        sqs.send_message(QueueUrl=url, MessageBody=url)
        [message] = sqs.receive_message(QueueUrl=url)["Messages"]
        assert message["Body"] == url
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_a_queue_hides_messages_for_the_visibility_of_the_settings(settings: Settings) -> None:
    """However long a queue's tasks may take: workers renew what they hold."""
    expected = str(int(settings.visibility.total_seconds()))

    for queue in QUEUES:
        assert attributes(settings.queue_url(queue))["VisibilityTimeout"] == expected


def test_a_queue_keeps_messages_long_and_is_polled_long(settings: Settings) -> None:
    """Messages are kept for 10 days, dead letters for SQS's 14, and a poll waits its 20 seconds."""
    queue = attributes(settings.queue_url(DEFAULT))
    dead_letters = attributes(settings.dead_letter_url(DEFAULT))

    assert queue["MessageRetentionPeriod"] == DAYS_10
    assert dead_letters["MessageRetentionPeriod"] == DAYS_14
    assert queue["ReceiveMessageWaitTimeSeconds"] == "20"


def test_a_message_that_nobody_settles_becomes_a_dead_letter(settings: Settings) -> None:
    """After MAX_RECEIVES receives a message moves to its queue's own dead-letter queue."""
    sqs = boto3.client("sqs")
    url = settings.queue_url(REPORTS)
    policy = json.loads(attributes(url)["RedrivePolicy"])
    assert policy["maxReceiveCount"] == topology.MAX_RECEIVES

    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(topology.MAX_RECEIVES + 1):
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=0)

    [dead] = sqs.receive_message(QueueUrl=settings.dead_letter_url(REPORTS))["Messages"]
    assert dead["Body"] == "poison"


def test_the_table_has_its_keys_indexes_and_expiry(settings: Settings) -> None:
    """The table is the topology's: keys, indexes with what they project, on demand, TTL."""
    dynamodb = boto3.client("dynamodb")

    table = dynamodb.describe_table(TableName=settings.table_name)["Table"]
    expiry = dynamodb.describe_time_to_live(TableName=settings.table_name)

    def keys(schema: list[Any]) -> list[tuple[str, str]]:
        return [(key["AttributeName"], key["KeyType"]) for key in schema]

    assert keys(table["KeySchema"]) == [("pk", "HASH"), ("sk", "RANGE")]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert {name: keys(index["KeySchema"]) for name, index in indexes.items()} == {
        "listing": [("list_pk", "HASH"), ("list_sk", "RANGE")],
        "failures": [("failed_pk", "HASH"), ("list_sk", "RANGE")],
        "unfinished": [("open_pk", "HASH"), ("open_sk", "RANGE")],
    }
    assert indexes.pop("unfinished")["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    for index in indexes.values():
        assert index["Projection"]["ProjectionType"] == "INCLUDE"
        assert sorted(index["Projection"]["NonKeyAttributes"]) == ["tags", "type"]
    assert expiry["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }


def test_the_bucket_takes_files(settings: Settings) -> None:
    """What is put into the bucket can be read again."""
    s3 = boto3.client("s3")
    s3.put_object(Bucket=settings.bucket_name, Key="a", Body=b"content")
    assert s3.get_object(Bucket=settings.bucket_name, Key="a")["Body"].read() == b"content"


def test_mail_from_our_address_can_be_sent_and_read(aws: AwsServer, settings: Settings) -> None:
    """The sender, and nobody else, is a verified identity; sent mail shows at moto's own URL."""
    ses = boto3.client("sesv2")

    def send(sender: str) -> None:
        ses.send_email(
            FromEmailAddress=sender,
            Destination={"ToAddresses": ["ada@example.org"]},
            Content={"Raw": {"Data": b"Subject: Hello\r\n\r\nThere"}},
        )

    assert settings.mail_from is not None
    send(settings.mail_from)
    with pytest.raises(ses.exceptions.MessageRejected):
        send("somebody@example.net")

    [sent] = httpx.get(f"{aws.endpoint}/moto-api/data.json").json()["ses"]["RawMessage"]
    assert sent["source"] == settings.mail_from
    assert sent["raw_data"] == "Subject: Hello\r\n\r\nThere"


def test_provisioning_again_keeps_everything(settings: Settings) -> None:
    """What exists stays, content included; a changed time limit changes its queue."""
    boto3.client("s3").put_object(Bucket=settings.bucket_name, Key="kept", Body=b"kept")

    provision(settings, CATALOGUE)
    shorter = attributes(settings.queue_url(FILES))["VisibilityTimeout"]
    provision(settings, CATALOGUE)

    assert shorter == "60"
    assert boto3.client("s3").get_object(Bucket=settings.bucket_name, Key="kept")
    queues = boto3.client("sqs").list_queues()["QueueUrls"]
    # The lanes of each and its dead letters, and those of the schedules.
    shapes = topology.queues(CATALOGUE, settings.visibility)
    assert len(queues) == sum(len(each.lanes) + 1 for each in shapes) + 1


def test_declared_schedules_follow_the_code(settings: Settings) -> None:
    """They are made once, stay untouched while they are the same, and go with their type."""
    scheduler = boto3.client("scheduler")

    def there() -> dict[str, datetime]:
        found = scheduler.list_schedules(GroupName=settings.schedule_group, NamePrefix="type-")
        return {each["Name"]: each["LastModificationDate"] for each in found["Schedules"]}

    declaring = Catalogue([hourly], QUEUES)
    provision(settings, declaring)
    first = there()
    provision(settings, declaring)

    assert first.keys() == {"type-hourly"}
    assert there() == first
    provision(settings, CATALOGUE)
    assert there() == {}


def test_a_deep_queue_is_as_quick_as_a_shallow_one() -> None:
    """Messages are counted when, and only when, it is asked how many there are."""
    queue = MotoQueue("a", environment.REGION, environment.ACCOUNT)  # type: ignore[abstract]
    queue._messages = None  # type: ignore[assignment] # counting would fail

    lazy = LazyAttributes(queue)
    assert lazy["MessageRetentionPeriod"] == 4 * 86400
    with pytest.raises(TypeError):
        lazy["ApproximateNumberOfMessages"]


def test_attributes_are_what_moto_says() -> None:
    """The quick attributes are moto's own, names and values, for each kind of queue."""
    for options in ({}, {"FifoQueue": "true"}, {"KmsMasterKeyId": "key"}):
        name = "a.fifo" if "FifoQueue" in options else "a"
        queue = MotoQueue(name, environment.REGION, environment.ACCOUNT, **options)  # type: ignore[abstract]
        assert dict(LazyAttributes(queue)) == queue.attributes


def test_a_port_in_use_is_an_error_that_says_so(aws: AwsServer) -> None:
    """A second server on one port fails instead of waiting forever."""
    port = int(aws.endpoint.rpartition(":")[2])
    with pytest.raises(AwsServerError, match=f"port {port}"):
        AwsServer(port).start()


def test_a_stopped_server_starts_again_at_the_same_place() -> None:
    """Stopping is the end of its process and state; its endpoint stays."""
    server = AwsServer().start()
    endpoint, pid = server.endpoint, server.pid
    try:
        server.stop()
        assert not is_alive(pid)
        server.start()
        assert server.endpoint == endpoint
        assert httpx.get(f"{endpoint}/moto-api/").is_success
    finally:
        server.stop()


def test_a_server_ends_with_the_process_that_started_it() -> None:
    """A test run that is killed leaves no server behind."""
    code = (
        "from celeriac.local.aws import AwsServer\n"
        "print(AwsServer().start().pid, flush=True)\n"
        "input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), "the server to end")
