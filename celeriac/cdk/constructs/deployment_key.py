"""The KMS key that encrypts a deployment's data, and what AWS's own services may do with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict

from aws_cdk import Duration, RemovalPolicy, Stack, aws_iam, aws_kms, aws_sqs
from constructs import Construct

from celeriac.cdk.convert import duration

#: KMS's longest. Until then a deletion can be taken back, and the key costs nothing.
#: docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html
_PENDING = timedelta(days=30)
# SQS asks KMS for a new data key of each queue and caller as often. Five minutes, its default,
# would be twelve times the calls.
# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
_REUSE = timedelta(hours=1)


class DeploymentKey(Construct):
    """A key that KMS renews each year, with the alias ``alias/<name>``.

    The account's policies say which roles may use it; ``allowed`` are the services that have none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        allowed: Sequence[aws_iam.PolicyStatement],
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self.key = aws_kms.Key(
            self,
            "Key",
            alias=name,
            description=f"Encrypts the data of the deployment {name}.",
            enable_key_rotation=True,
            pending_window=duration(_PENDING),
            removal_policy=removal_policy,
        )
        for statement in allowed:
            self.key.add_to_resource_policy(statement)


def for_logs(stack: Stack, *groups: str) -> aws_iam.PolicyStatement:
    """CloudWatch Logs encrypts and decrypts the lines of these log groups, and of no others.

    docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    return aws_iam.PolicyStatement(
        sid="Logs",
        principals=[aws_iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
        actions=[
            "kms:Decrypt*",
            "kms:Describe*",
            "kms:Encrypt*",
            "kms:GenerateDataKey*",
            "kms:ReEncrypt*",
        ],
        resources=["*"],
        conditions={
            "ArnLike": {
                # Written out, as the ARN of a group has a colon before its name.
                "kms:EncryptionContext:aws:logs:arn": [
                    f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:{group}"
                    for group in groups
                ]
            }
        },
    )


def for_alarms(stack: Stack) -> aws_iam.PolicyStatement:
    """CloudWatch and AWS Budgets publish to the encrypted topic of the alarms.

    docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
    """
    return _publishers(
        "Alarms",
        ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"],
        {"StringEquals": {"aws:SourceAccount": stack.account}},
    )


def for_mail(stack: Stack, *, topic: str) -> list[aws_iam.PolicyStatement]:
    """SES publishes its events to a topic, and SNS sets those aside that it can't deliver.

    docs.aws.amazon.com/ses/latest/dg/configure-sns-notifications.html: AWS gives SES's statement no
    condition, and an event that a condition keeps out would be lost without a word.
    docs.aws.amazon.com/sns/latest/dg/sns-configure-dead-letter-queue.html
    """
    arn = stack.format_arn(service="sns", resource=topic)
    return [
        _publishers("MailEvents", ["ses.amazonaws.com"]),
        _publishers(
            "UndeliveredMailEvents", ["sns.amazonaws.com"], {"ArnEquals": {"aws:SourceArn": arn}}
        ),
    ]


def _publishers(
    sid: str, services: Sequence[str], conditions: dict[str, dict[str, str]] | None = None
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        principals=[aws_iam.ServicePrincipal(each) for each in services],
        actions=["kms:Decrypt", "kms:GenerateDataKey*"],
        resources=["*"],
        conditions=conditions,
    )


class QueueEncryption(TypedDict, total=False):
    """The arguments of ``aws_sqs.Queue`` that say how it is encrypted."""

    encryption: aws_sqs.QueueEncryption
    encryption_master_key: aws_kms.IKey
    data_key_reuse: Duration


def queue_encryption(key: aws_kms.IKey | None) -> QueueEncryption:
    """With this key; without one, with SQS's own."""
    if key is None:
        return {"encryption": aws_sqs.QueueEncryption.SQS_MANAGED}
    return {
        "encryption": aws_sqs.QueueEncryption.KMS,
        "encryption_master_key": key,
        "data_key_reuse": duration(_REUSE),
    }
