"""Copying records back from a restored table, by the program that docs/recovering.md gives."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

import boto3
import pytest
from moto import mock_aws

from celeriac.topology import TABLE
from tests.infra.conftest import ROOT

NOW, RESTORED = "celeriac-prod", "celeriac-prod-restored"


@pytest.fixture
def program() -> str:
    page = (ROOT / "docs" / "recovering.md").read_text()
    found = re.search(
        r"^    \.venv/bin/python - <<'END'\n(.*?)^    END$", page, re.DOTALL | re.MULTILINE
    )
    assert found
    return dedent(found[1])


def item(pk: str, sk: str, **values: str) -> dict[str, Any]:
    keys = {TABLE.partition_key: pk, TABLE.sort_key: sk}
    return {name: {"S": value} for name, value in (keys | values).items()}


@mock_aws
def test_what_is_missing_comes_back_and_what_is_there_stays(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records with their inputs; not a newer state's older one, and no key that was revoked."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    dynamodb = boto3.client("dynamodb")
    keys = (TABLE.partition_key, TABLE.sort_key)
    for name in (NOW, RESTORED):
        dynamodb.create_table(
            TableName=name,
            BillingMode=TABLE.billing,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[
                {"AttributeName": keys[0], "KeyType": "HASH"},
                {"AttributeName": keys[1], "KeyType": "RANGE"},
            ],
        )
    lost = [item("task#lost", "record", state="SUCCESS"), item("task#lost", "input", of="it")]
    older = item("task#there", "record", state="PENDING")
    newer = item("task#there", "record", state="SUCCESS")
    for each in (*lost, older, item("keys", "revoked")):
        dynamodb.put_item(TableName=RESTORED, Item=each)
    dynamodb.put_item(TableName=NOW, Item=newer)

    exec(compile(program, "docs/recovering.md", "exec"), {})

    found = dynamodb.scan(TableName=NOW)["Items"]
    assert sorted(map(str, found)) == sorted(map(str, (*lost, newer)))
