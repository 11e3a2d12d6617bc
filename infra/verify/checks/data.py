"""Table, bucket and queues are as the pages say, and roles reach no more than they should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from celeriac import catalogue
from infra.verify.check import NotHeld, check
from infra.verify.trial import Trial


@check(
    "table",
    claims="The table is billed on demand, has its indexes, and is protected as its environment "
    "says.",
    proves="architecture.md#what-it-costs",
)
def table(trial: Trial) -> str:
    deployment = trial.deployment
    dynamodb = deployment.client("dynamodb")
    name = deployment.setting("TABLE_NAME")
    found = dynamodb.describe_table(TableName=name)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    protect = deployment.environment.protect
    _same(
        {
            "billing": found["BillingModeSummary"]["BillingMode"],
            "indexes": sorted(each["IndexName"] for each in found["GlobalSecondaryIndexes"]),
            "deletion protection": found.get("DeletionProtectionEnabled", False),
            "recovery": recovery,
        },
        {
            "billing": "PAY_PER_REQUEST",
            "indexes": ["failures", "listing", "unfinished"],
            "deletion protection": protect,
            "recovery": "ENABLED" if protect else "DISABLED",
        },
    )
    return f"{name}: on demand, three indexes, recovery {recovery}"


@check(
    "expiry",
    claims="DynamoDB removes records whose `expires_at` has passed.",
    proves="architecture.md#what-it-costs",
    only_aws="moto's CloudFormation sets no expiry.",
)
def expiry(trial: Trial) -> str:
    name = trial.deployment.setting("TABLE_NAME")
    found = trial.deployment.client("dynamodb").describe_time_to_live(TableName=name)
    _same(
        found["TimeToLiveDescription"],
        {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"},
    )
    return "enabled"


@check(
    "bucket",
    claims="The bucket is closed to the public and encrypted, and its files expire.",
    proves="architecture.md#files",
    only_aws="moto's CloudFormation makes a bucket without its properties.",
)
def bucket(trial: Trial) -> str:
    name = trial.deployment.setting("BUCKET_NAME")
    s3 = trial.deployment.client("s3")
    closed = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    (rule,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    # An older form of a rule has its prefix outside the filter.
    expiring = {
        each.get("Prefix") or each.get("Filter", {}).get("Prefix"): each["Expiration"]["Days"]
        for each in rules
        if "Expiration" in each
    }
    _same(
        {
            "public access": all(closed.values()),
            "encryption": rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
            "expiring": sorted(map(str, expiring)),
        },
        {
            "public access": True,
            "encryption": "AES256",
            "expiring": ["delayed/", "tenants/", "uploads/"],
        },
    )
    return f"{name}: closed, encrypted, {expiring['tenants/']} days"


@check(
    "bucket-over-tls",
    claims="The bucket refuses plain HTTP.",
    proves="architecture.md#files",
    only_aws="Plain HTTP is all there is here.",
)
def bucket_over_tls(trial: Trial) -> str:
    name = trial.deployment.setting("BUCKET_NAME")
    s3 = trial.deployment.client("s3")
    url = s3.generate_presigned_url("list_objects_v2", {"Bucket": name, "MaxKeys": 1})
    secure = httpx.get(url).status_code
    plain = httpx.get(url.replace("https://", "http://", 1)).status_code
    if (secure, plain) != (httpx.codes.OK, httpx.codes.FORBIDDEN):
        raise NotHeld(f"S3 answered {secure} over HTTPS and {plain} over HTTP")
    return "200 over HTTPS, 403 over HTTP"


@check(
    "queues",
    claims="Each lane of each queue is encrypted, hides a message for `CELERIAC_VISIBILITY`, and "
    "sets it aside after 20 receives.",
    proves="delivery.md#poison",
)
def queues(trial: Trial) -> str:
    deployment = trial.deployment
    sqs = deployment.client("sqs")
    shapes = {each["QueueName"]: each for each in deployment.resources("data", "AWS::SQS::Queue")}
    lanes = [name for queue in catalogue().queues for name in (queue.name, queue.high_name)]
    for name in lanes:
        shape = shapes[f"{deployment.environment.prefix}-{name}"]
        found = sqs.get_queue_attributes(
            QueueUrl=deployment.queue_url(name), AttributeNames=["All"]
        )["Attributes"]
        _same(
            {
                "visibility": int(found["VisibilityTimeout"]),
                "retention": int(found["MessageRetentionPeriod"]),
                "receives": '"maxReceiveCount":20' in found["RedrivePolicy"].replace(" ", ""),
                "encrypted": found["SqsManagedSseEnabled"],
            },
            {
                "visibility": int(shape["VisibilityTimeout"]),
                "retention": int(shape["MessageRetentionPeriod"]),
                "receives": True,
                "encrypted": "true",
            },
        )
    return f"{len(lanes)} lanes of {len(catalogue().queues)} queues"


@check(
    "roles",
    claims="A worker's role reads and writes records, and can't read or write API keys.",
    proves="architecture.md#in-aws",
    only_aws="moto doesn't simulate policies. The rehearsal holds each call against its role.",
)
def roles(trial: Trial) -> str:
    deployment = trial.deployment
    ecs, iam = deployment.client("ecs"), deployment.client("iam")
    table_arn = deployment.client("dynamodb").describe_table(
        TableName=deployment.setting("TABLE_NAME")
    )["Table"]["TableArn"]
    for queue in catalogue().queues:
        (service,) = ecs.describe_services(
            cluster=deployment.setting("CLUSTER_NAME"), services=[queue.name]
        )["services"]
        role = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])[
            "taskDefinition"
        ]["taskRoleArn"]
        decisions = {
            partition: _decision(iam, role, table_arn, partition)
            for partition in ("task#0198c0de", "keys", "tenants")
        }
        _same(decisions, {"task#0198c0de": {"allowed"}, "keys": {"denied"}, "tenants": {"denied"}})
    return f"{len(catalogue().queues)} roles"


def _decision(iam: Any, role: str, table: str, partition: str) -> set[str]:
    """What IAM decides of reading and of writing an item in this partition."""
    # docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=["dynamodb:GetItem", "dynamodb:PutItem"],
        ResourceArns=[table],
        ContextEntries=[
            {
                "ContextKeyName": "dynamodb:LeadingKeys",
                "ContextKeyValues": [partition],
                "ContextKeyType": "stringList",
            }
        ],
    )
    return {
        "allowed" if each["EvalDecision"] == "allowed" else "denied"
        for each in answer["EvaluationResults"]
    }


def _same(found: Mapping[str, Any], wanted: dict[str, Any]) -> None:
    differ = [
        f"{name} is {found.get(name)}, not {wanted[name]}"
        for name in wanted
        if found.get(name) != wanted[name]
    ]
    if differ:
        raise NotHeld("; ".join(differ))


CHECKS = (table, expiry, bucket, bucket_over_tls, queues, roles)
