"""DynamoDB on this machine: a condition and its write are one step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from celeriac.settings import Settings

WRITERS = 8
ROUNDS = 25


@pytest.fixture(autouse=True)
def threads_that_change_often() -> Iterator[None]:
    """A change of threads at nearly every step, so that a race is met within a few rounds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def key_of(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": {"S": "task"}}


def test_of_many_that_create_an_item_at_once_one_does(aws: Settings) -> None:
    """The others find it there."""
    client = boto3.client("dynamodb")

    def create(key: str) -> bool:
        try:
            client.put_item(
                TableName=aws.table_name,
                Item=key_of(key),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as writers:
        for number in range(ROUNDS):
            created = list(writers.map(create, [f"item-{number}"] * WRITERS))
            assert created.count(True) == 1


def test_of_many_that_claim_an_item_at_once_one_does(aws: Settings) -> None:
    """A conditional update is as atomic as a put."""
    client = boto3.client("dynamodb")
    client.put_item(TableName=aws.table_name, Item=key_of("claimed") | {"turn": {"N": "0"}})

    def claim(turn: int) -> bool:
        try:
            client.update_item(
                TableName=aws.table_name,
                Key=key_of("claimed"),
                UpdateExpression="SET turn = :next",
                ConditionExpression="turn = :turn",
                ExpressionAttributeValues={
                    ":turn": {"N": str(turn)},
                    ":next": {"N": str(turn + 1)},
                },
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as writers:
        for turn in range(ROUNDS):
            assert list(writers.map(claim, [turn] * WRITERS)).count(True) == 1
