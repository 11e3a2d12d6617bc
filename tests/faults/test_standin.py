"""The stand-in behaves as AWS does where the other tests rely on it."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from celeriac.local.standin import Fault, Standin
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

NO_RETRIES = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)


@pytest.fixture
def sqs(stack: Stack) -> Any:
    return boto3.client("sqs", config=NO_RETRIES)


@pytest.fixture
def url(sqs: Any, request: pytest.FixtureRequest) -> str:
    """A queue of the test's own, whose messages stay hidden for a second."""
    name = request.node.name[:70]
    created: str = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "1"})[
        "QueueUrl"
    ]
    return created


def receive(sqs: Any, url: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sqs.receive_message(QueueUrl=url, **options).get("Messages", [])
    return found


def test_a_received_message_is_hidden_and_comes_back(sqs: Any, url: str) -> None:
    """Until it is deleted; the count of its receives grows."""
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (first,) = receive(sqs, url)
    assert receive(sqs, url) == []
    (again,) = receive(
        sqs, url, WaitTimeSeconds=2, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )
    assert again["Attributes"] == {"ApproximateReceiveCount": "2"}
    assert again["ReceiptHandle"] != first["ReceiptHandle"]


def test_a_stale_receipt_handle_deletes_and_hides_nothing(sqs: Any, url: str) -> None:
    """Deleting with it is accepted and without effect; changing its visibility is refused."""
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (first,) = receive(sqs, url, VisibilityTimeout=0)
    (second,) = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    answer = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[{"Id": "0", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 30}],
    )
    assert answer["Failed"][0]["SenderFault"] is True
    (third,) = receive(sqs, url, WaitTimeSeconds=2)
    assert third["MessageId"] == second["MessageId"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    assert receive(sqs, url, WaitTimeSeconds=2) == []


def test_a_visibility_of_nothing_shows_the_message_at_once(sqs: Any, url: str) -> None:
    """To a poll that waits already, too."""
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = receive(sqs, url, VisibilityTimeout=600)
    handle = message["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    assert len(receive(sqs, url)) == 1


def test_a_closed_long_poll_swallows_no_message(stack: Stack, sqs: Any, url: str) -> None:
    """Who has hung up is given nothing."""
    where = urlsplit(stack.aws.endpoint)
    connection = http.client.HTTPConnection(str(where.hostname), where.port)
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20})
    before = stack.aws.calls()["sqs.ReceiveMessage"]
    connection.request("POST", "/", body, {"X-Amz-Target": "AmazonSQS.ReceiveMessage"})
    wait_for(lambda: stack.aws.calls()["sqs.ReceiveMessage"] > before, "the poll to begin")
    connection.close()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert len(receive(sqs, url, WaitTimeSeconds=1)) == 1


def test_a_delayed_message_is_not_received_before_its_time(sqs: Any, url: str) -> None:
    """And at most fifteen minutes are taken."""
    began_at = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=1)
    assert receive(sqs, url) == []
    assert len(receive(sqs, url, WaitTimeSeconds=2)) == 1
    assert time.monotonic() - began_at >= 1
    with pytest.raises(ClientError, match="out of range"):
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=901)


def test_a_message_received_too_often_is_dead_lettered(sqs: Any, url: str) -> None:
    """As its queue's redrive policy says."""
    dead = sqs.create_queue(QueueName="standin-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 2}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    sqs.send_message(QueueUrl=url, MessageBody="x")
    for _ in range(2):
        assert len(receive(sqs, url, VisibilityTimeout=0)) == 1
    assert receive(sqs, url) == []
    assert [each["Body"] for each in receive(sqs, dead)] == ["x"]


def test_a_lost_answer_is_of_a_call_that_was_performed(sqs: Any, url: str, aws: Standin) -> None:
    """The caller can't know; the message is there."""
    aws.inject(Fault("lose-answer", operation="SendMessage"))
    with pytest.raises(HTTPClientError):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    aws.heal()
    assert len(receive(sqs, url)) == 1


@pytest.mark.parametrize(
    ("kind", "status"), [("unavailable", 503), ("throttle", 400), ("expired", 403)]
)
def test_refusals_have_the_status_that_aws_gives_them(
    sqs: Any, url: str, aws: Standin, kind: Any, status: int
) -> None:
    """And nothing is performed."""
    aws.inject(Fault(kind, service="sqs", operation="SendMessage"))
    with pytest.raises(ClientError) as refused:
        sqs.send_message(QueueUrl=url, MessageBody="x")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    aws.heal()
    assert receive(sqs, url) == []
