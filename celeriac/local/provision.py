"""Create the resources that ``celeriac.topology`` describes, in the AWS on this machine.

A deployment's templates are made from the same description.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import boto3

from celeriac import clock, topology
from celeriac.app.declared import of_types
from celeriac.app.declared_schedule import PREFIXES, DeclaredSchedule
from celeriac.contract import Catalogue
from celeriac.settings import Settings
from celeriac.storage.event_bridge import REPAIR, REPAIRED, EventBridge

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import GlobalSecondaryIndexTypeDef
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

LONGEST_POLL_SECONDS = 20


def provision(
    settings: Settings,
    catalogue: Catalogue,
    endpoint: str | None = None,
    beat: Iterable[DeclaredSchedule] = (),
) -> None:
    """Create queues, schedules, table, bucket and mail identity. Existing ones stay.

    Args:
        settings: their names.
        catalogue: the task types, whose time limits decide how long messages stay hidden.
        endpoint: the URL of AWS; ``AWS_ENDPOINT_URL`` if not given.
        beat: the entries of the project's ``beat_schedule``.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached, or there are no credentials.
        botocore.exceptions.ClientError: AWS refused.
    """
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    for shape in topology.queues(catalogue, settings.visibility):
        _queue(sqs, shape, settings)
    scheduler = boto3.client("scheduler", endpoint_url=endpoint)
    _schedules(scheduler, sqs, topology.SCHEDULES, settings)
    _declared(scheduler, [*of_types(catalogue), *beat], settings)
    _table(boto3.client("dynamodb", endpoint_url=endpoint), settings.table_name, topology.TABLE)
    _bucket(boto3.client("s3", endpoint_url=endpoint), settings)
    if settings.mail_from is not None:
        _mail_identity(boto3.client("sesv2", endpoint_url=endpoint), settings.mail_from)


def _queue(sqs: SQSClient, shape: topology.QueueShape, settings: Settings) -> None:
    retention = _retention(shape.retention)
    dead_letters = sqs.create_queue(QueueName=_name(settings.dead_letter_url(shape.queue)))
    sqs.set_queue_attributes(
        QueueUrl=dead_letters["QueueUrl"],
        Attributes=_retention(topology.LONGEST_RETENTION),
    )
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters["QueueUrl"], AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    # Attributes in a second call: creating an existing queue with others is an error.
    for lane in shape.lanes:
        queue = sqs.create_queue(QueueName=_name(settings.queue_url_prefix + lane))
        sqs.set_queue_attributes(
            QueueUrl=queue["QueueUrl"],
            Attributes=retention
            | {
                "VisibilityTimeout": str(int(shape.visibility.total_seconds())),
                "ReceiveMessageWaitTimeSeconds": str(LONGEST_POLL_SECONDS),
                "RedrivePolicy": json.dumps(
                    {"deadLetterTargetArn": arn, "maxReceiveCount": shape.max_receives}
                ),
            },
        )


def _schedules(
    scheduler: EventBridgeSchedulerClient,
    sqs: SQSClient,
    shape: topology.SchedulesShape,
    settings: Settings,
) -> None:
    queue = sqs.create_queue(QueueName=_name(settings.queue_url_prefix + shape.dead_letter_name))
    sqs.set_queue_attributes(QueueUrl=queue["QueueUrl"], Attributes=_retention(shape.retention))
    groups = scheduler.list_schedule_groups(NamePrefix=settings.schedule_group)
    # moto replaces a group that exists, with its schedules, where AWS refuses.
    if settings.schedule_group not in (each["Name"] for each in groups["ScheduleGroups"]):
        scheduler.create_schedule_group(Name=settings.schedule_group)


def _declared(
    scheduler: EventBridgeSchedulerClient, declared: Iterable[DeclaredSchedule], settings: Settings
) -> None:
    """Have the group's ``type-…`` and ``beat-…`` schedules be those that code declares."""
    event_bridge = EventBridge(scheduler, settings)
    now = clock.to_datetime(clock.now())
    wanted = {each.schedule_id: each.schedule for each in declared}
    there = {
        each["Name"]
        for prefix in PREFIXES
        for page in scheduler.get_paginator("list_schedules").paginate(
            GroupName=settings.schedule_group, NamePrefix=prefix
        )
        for each in page["Schedules"]
    }
    for name in there - set(wanted):
        event_bridge.delete(name)
    for name, schedule in wanted.items():
        if not any(schedule.fire_times(now)):
            event_bridge.delete(name)
        elif not event_bridge.holds(name, schedule, name):
            # The firer reads a changed schedule again, so one that is the same stays untouched.
            event_bridge.update(name, schedule, name)


def repair_hourly(settings: Settings) -> None:
    """Have lost tasks repaired each hour, as in each deployment. The group must exist."""
    event_bridge = EventBridge(boto3.client("scheduler"), settings)
    if not event_bridge.holds(REPAIR, REPAIRED, REPAIR):
        event_bridge.update(REPAIR, REPAIRED, REPAIR)


def _retention(duration: timedelta) -> dict[QueueAttributeNameType, str]:
    return {"MessageRetentionPeriod": str(int(duration.total_seconds()))}


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _table(dynamodb: DynamoDBClient, name: str, shape: topology.TableShape) -> None:
    keys = {shape.partition_key, shape.sort_key}
    keys |= {key for index in shape.indexes for key in (index.partition_key, index.sort_key)}
    with suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName=name,
            BillingMode=shape.billing,
            AttributeDefinitions=[
                {"AttributeName": key, "AttributeType": "S"} for key in sorted(keys)
            ],
            KeySchema=[
                {"AttributeName": shape.partition_key, "KeyType": "HASH"},
                {"AttributeName": shape.sort_key, "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[_index(index) for index in shape.indexes],
        )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if expiry["TimeToLiveStatus"] == "DISABLED":  # enabling it again is an error
        dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": shape.ttl_attribute},
        )


def _index(shape: topology.IndexShape) -> GlobalSecondaryIndexTypeDef:
    return {
        "IndexName": shape.name,
        "KeySchema": [
            {"AttributeName": shape.partition_key, "KeyType": "HASH"},
            {"AttributeName": shape.sort_key, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(shape.projects)}
        if shape.projects
        else {"ProjectionType": "KEYS_ONLY"},
    }


def _bucket(s3: S3Client, settings: Settings) -> None:
    name = settings.bucket_name
    # No location constraint: S3's first region, the one used here, refuses its own name as one.
    # docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name)
    rules: list[LifecycleRuleTypeDef] = [
        {
            "ID": each.name,
            "Status": "Enabled",
            "Filter": {"Prefix": each.prefix},
            "Expiration": {"Days": each.days},
        }
        for each in topology.expiries(
            record_ttl=settings.record_ttl, upload_ttl=settings.upload_ttl
        )
    ]
    abandoned: LifecycleRuleTypeDef = {
        "ID": "abandoned-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": topology.UNFINISHED_UPLOADS.days},
    }
    # Kept by moto and by the stand-in, which delete nothing: all they hold ends with them.
    s3.put_bucket_lifecycle_configuration(
        Bucket=name, LifecycleConfiguration={"Rules": [*rules, abandoned]}
    )


def _mail_identity(ses: SESV2Client, address: str) -> None:
    with suppress(ses.exceptions.AlreadyExistsException):
        ses.create_email_identity(EmailIdentity=address)
