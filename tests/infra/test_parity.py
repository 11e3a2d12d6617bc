"""``make run`` provisions the same resources as the template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from celeriac.contract import Queue, catalogue
from celeriac.local.provision import provision
from celeriac.settings import Settings
from celeriac.topology import SCHEDULES
from tests.infra.conftest import SAMPLE, Synthesized

QUEUES = catalogue().queues


pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS:UserWarning")

SAME_ATTRIBUTES = (
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "DelaySeconds",
    "MaximumMessageSize",
)


@pytest.fixture(scope="module")
def both(dev: Synthesized) -> Iterator[tuple[Settings, Settings]]:
    """Settings of the local system and of the deployed one, both in one account of moto's."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        local = Settings()
        provision(local, SAMPLE)
        template = dev.template("data")
        # What the command line looks up before it deploys.
        template.pop("Parameters")
        template.pop("Rules")
        boto3.client("cloudformation").create_stack(
            StackName="data", TemplateBody=json.dumps(template)
        )
        deployed = Settings(
            table_name="celeriac-dev",
            bucket_name="celeriac-dev-123456789012-us-east-1",
            queue_url_prefix="https://sqs.us-east-1.amazonaws.com/123456789012/celeriac-dev-",
            schedule_group="celeriac-dev",
            schedule_dead_letter_arn=(
                "arn:aws:sqs:us-east-1:123456789012:celeriac-dev-schedules-dead-letter"
            ),
        )
        yield local, deployed


def _queue(url: str) -> dict[str, Any]:
    sqs = boto3.client("sqs")
    here = sqs.get_queue_url(QueueName=url.rpartition("/")[2])["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=here, AttributeNames=["All"])["Attributes"]
    return {str(name): value for name, value in found.items()}


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_queues_have_the_same_attributes_and_redrive(
    both: tuple[Settings, Settings], queue: Queue
) -> None:
    """Visibility, retention, polling and redrive of each queue and its dead-letter queue."""
    for url in (Settings.queue_url, Settings.dead_letter_url):
        local, deployed = (_queue(url(each, queue)) for each in both)
        for name in SAME_ATTRIBUTES:
            assert local[name] == deployed[name], (url.__name__, name)
    redrives = []
    for each in both:
        redrive = json.loads(_queue(each.queue_url(queue))["RedrivePolicy"])
        target = redrive["deadLetterTargetArn"].rpartition(":")[2]
        assert target == each.dead_letter_url(queue).rpartition("/")[2]
        redrives.append(int(redrive["maxReceiveCount"]))
    assert redrives[0] == redrives[1]


def test_what_schedules_could_not_send_is_kept_alike(both: tuple[Settings, Settings]) -> None:
    """Both have the queue that the settings name, with the same retention and no other behind."""
    local, deployed = (_queue(each.schedule_dead_letter_arn.rpartition(":")[2]) for each in both)

    for name in (*SAME_ATTRIBUTES, "RedrivePolicy"):
        assert local.get(name) == deployed.get(name), name
    assert local["MessageRetentionPeriod"] == str(int(SCHEDULES.retention.total_seconds()))


def test_schedules_have_the_group_that_the_settings_name(
    both: tuple[Settings, Settings], dev: Synthesized
) -> None:
    """moto's CloudFormation passes groups over, so the deployed one is read from the template."""
    made = boto3.client("scheduler").list_schedule_groups()["ScheduleGroups"]
    groups = {each["Name"] for each in made} - {"default"}
    group = dev.one("data", "AWS::Scheduler::ScheduleGroup")
    function = dev.function["Environment"]["Variables"]
    local, deployed = both

    assert groups == {local.schedule_group}
    assert group.keys() - {"Tags"} == {"Name"}
    assert group["Name"] == deployed.schedule_group == function["CELERIAC_SCHEDULE_GROUP"]


def test_tables_have_the_same_keys_indexes_and_expiry(
    both: tuple[Settings, Settings], dev: Synthesized
) -> None:
    """Keys, index projections, billing and time to live."""
    dynamodb = boto3.client("dynamodb")

    def shape(name: str) -> dict[str, Any]:
        table: Any = dynamodb.describe_table(TableName=name)["Table"]
        return {
            "keys": table["KeySchema"],
            "attributes": sorted(map(str, table["AttributeDefinitions"])),
            "billing": table["BillingModeSummary"]["BillingMode"],
            "indexes": {
                index["IndexName"]: (index["KeySchema"], index["Projection"])
                for index in table["GlobalSecondaryIndexes"]
            },
        }

    local, deployed = (shape(each.table_name) for each in both)
    assert local == deployed
    # moto's CloudFormation passes the template's expiry over, so it is read from the template.
    expiry = dynamodb.describe_time_to_live(TableName=both[0].table_name)["TimeToLiveDescription"]
    specified = dev.one("data", "AWS::DynamoDB::Table")["TimeToLiveSpecification"]
    assert expiry["TimeToLiveStatus"] == "ENABLED"
    assert specified == {"AttributeName": expiry["AttributeName"], "Enabled": True}


def test_both_have_their_bucket(both: tuple[Settings, Settings]) -> None:
    """The names that the settings give exist."""
    s3 = boto3.client("s3")
    for each in both:
        assert s3.head_bucket(Bucket=each.bucket_name)
