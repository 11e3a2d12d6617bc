"""The stack of what must outlive a deployment."""

from __future__ import annotations

import json
from datetime import timedelta

from celeriac.contract import catalogue
from celeriac.settings import Settings
from celeriac.topology import FURTHEST_DUE, TABLE, queues
from tests.infra.conftest import (
    SAMPLE,
    Synthesized,
    as_list,
    statements,
)

QUEUES = catalogue().queues
#: What has a fixed name, besides the table.
DATA_TYPES = {
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::Scheduler::ScheduleGroup",
}


def test_each_queue_of_the_catalogue_has_two_lanes_and_one_dead_letter_queue(
    dev: Synthesized,
) -> None:
    """Name, visibility, retention and redrive of each are those of the shared shape."""
    resources = dev.template("data")["Resources"]
    lanes = [
        (shape, lane)
        for shape in queues(SAMPLE, Settings().visibility)
        for lane in (shape.queue.name, f"{shape.queue.name}-high")
    ]
    for shape, lane in lanes:
        queue = dev.one("data", "AWS::SQS::Queue", QueueName=f"celeriac-dev-{lane}")
        assert queue["VisibilityTimeout"] == shape.visibility.total_seconds()
        assert queue["MessageRetentionPeriod"] == shape.retention.total_seconds()
        assert queue["ReceiveMessageWaitTimeSeconds"] == 20
        assert queue["SqsManagedSseEnabled"] is True
        redrive = queue["RedrivePolicy"]
        assert redrive["maxReceiveCount"] == shape.max_receives
        target = resources[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]["Properties"]
        assert target["QueueName"] == f"celeriac-dev-{shape.queue.dead_letter_name}"
        assert target["MessageRetentionPeriod"] == timedelta(days=14).total_seconds()


def test_queues_refuse_plain_http(dev: Synthesized) -> None:
    """Each queue's policy denies what doesn't come over TLS."""
    policies = dev.properties("data", "AWS::SQS::QueuePolicy")
    assert len(policies) == len(dev.all("data", "AWS::SQS::Queue"))
    for statement in statements(policies):
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_table_is_the_shared_shape(dev: Synthesized) -> None:
    """Keys, indexes, projections, time to live and billing come from one place."""
    table = dev.one("data", "AWS::DynamoDB::Table")

    assert table["TableName"] == "celeriac-dev"
    assert table["BillingMode"] == TABLE.billing
    assert table["TimeToLiveSpecification"] == {
        "AttributeName": TABLE.ttl_attribute,
        "Enabled": True,
    }
    assert _keys(table["KeySchema"]) == (TABLE.partition_key, TABLE.sort_key)
    assert {
        index["IndexName"]: (
            *_keys(index["KeySchema"]),
            tuple(index["Projection"].get("NonKeyAttributes", ())),
        )
        for index in table["GlobalSecondaryIndexes"]
    } == {
        index.name: (index.partition_key, index.sort_key, index.projects) for index in TABLE.indexes
    }
    assert all(each["AttributeType"] == "S" for each in table["AttributeDefinitions"])


def test_prod_is_kept_from_mistakes(dev: Synthesized, prod: Synthesized) -> None:
    """Records, files, messages and schedules outlive prod's stack; nothing of dev's is left."""
    for resource in prod.template("data")["Resources"].values():
        if resource["Type"] in {
            "AWS::DynamoDB::Table",
            "AWS::S3::Bucket",
            "AWS::SQS::Queue",
            "AWS::Scheduler::ScheduleGroup",
        }:
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
            assert resource["UpdateReplacePolicy"] == "Retain"
    for resource in dev.template("data")["Resources"].values():
        assert resource.get("DeletionPolicy", "Delete") == "Delete"
    assert prod.one("data", "AWS::DynamoDB::Table")["DeletionProtectionEnabled"] is True
    recovery = "PointInTimeRecoverySpecification"
    assert prod.one("data", "AWS::DynamoDB::Table")[recovery] == {
        "PointInTimeRecoveryEnabled": True
    }
    assert dev.one("data", "AWS::DynamoDB::Table")[recovery] == {
        "PointInTimeRecoveryEnabled": False
    }
    assert _stack_of(prod)["terminationProtection"] is True
    assert not _stack_of(dev).get("terminationProtection")


def test_a_first_deployment_that_fails_leaves_nothing(
    prod: Synthesized, with_options: Synthesized
) -> None:
    """Nothing of a fixed name stays in the next one's way.

    DynamoDB won't delete a protected table, so it is made when all else stands.
    """
    for synthesized in (prod, with_options):
        resources = synthesized.template("data")["Resources"]
        (table,) = (each for each in resources.values() if each["Type"] == "AWS::DynamoDB::Table")
        first = {name for name, each in resources.items() if each["Type"] in DATA_TYPES}
        assert {resources[each]["Type"] for each in first} >= {"AWS::SQS::Queue"}
        assert first <= set(as_list(table["DependsOn"]))
        assert {each.get("DeletionPolicy") for each in resources.values()} <= {
            None,
            "Delete",
            "RetainExceptOnCreate",
        }


def test_artifacts_are_private_and_expire_after_their_records(dev: Synthesized) -> None:
    """No public access, TLS only, and an object goes no earlier than the record that names it.

    Uploads have a time of their own, and parts of an upload that broke off go too.
    """
    bucket = dev.one("data", "AWS::S3::Bucket")

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    rules = {each["Id"]: each for each in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["expire"]["Prefix"] == "tenants/"
    assert timedelta(days=rules["expire"]["ExpirationInDays"]) > dev.environment.record_ttl
    assert rules["expire-uploads"]["Prefix"] == "uploads/"
    assert rules["expire-uploads"]["ExpirationInDays"] == 1
    assert rules["expire-delayed"]["Prefix"] == "delayed/"
    kept = timedelta(days=rules["expire-delayed"]["ExpirationInDays"])
    assert kept > FURTHEST_DUE + dev.environment.record_ttl
    abandoned = rules["abandoned-uploads"]
    assert abandoned["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    policy = dev.one("data", "AWS::S3::BucketPolicy")
    assert all(each["Effect"] == "Deny" for each in statements([policy]))


def test_schedules_may_only_fire_and_send_to_the_queues(dev: Synthesized) -> None:
    """The scheduler's role calls one function, and sends to the queues, for this group alone."""
    role = dev.one("data", "AWS::IAM::Role")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    granted = {
        each["Action"]: each for each in statements(dev.properties("data", "AWS::IAM::Policy"))
    }
    statement = granted["sqs:SendMessage"]

    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert "schedule-group/celeriac-dev" in str(trust["Condition"]["StringEquals"]["aws:SourceArn"])
    assert granted.keys() == {"sqs:SendMessage", "lambda:InvokeFunction"}
    assert "function:celeriac-dev-fire" in str(granted["lambda:InvokeFunction"]["Resource"])
    assert len(as_list(statement["Resource"])) == 2 * len(QUEUES) + 1
    assert dev.one("data", "AWS::Scheduler::ScheduleGroup")["Name"] == "celeriac-dev"
    assert dev.one("data", "AWS::SQS::Queue", QueueName="celeriac-dev-schedules-dead-letter")


def test_what_begins_the_queues_addresses_is_no_queue_of_the_catalogues(dev: Synthesized) -> None:
    """Any task queue can be removed: no setting is read from one that another stack then misses."""
    resources = dev.template("data")["Resources"]
    settings = str(dev.function["Environment"]["Variables"])
    queues = [name for name, each in resources.items() if each["Type"] == "AWS::SQS::Queue"]
    named = {resources[name]["Properties"]["QueueName"] for name in queues if name in settings}

    assert named == {"celeriac-dev-schedules-dead-letter"}


def _keys(schema: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(key["AttributeName"] for key in schema)


def _stack_of(synthesized: Synthesized) -> dict[str, object]:
    manifest = json.loads((synthesized.directory / "manifest.json").read_text())
    properties = manifest["artifacts"][f"{synthesized.environment.prefix}-data"]["properties"]
    assert isinstance(properties, dict)
    return properties
