"""What the account lends a deployment: quotas, mail, and a clock."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from celeriac import catalogue
from infra.verify.check import NotHeld, NotShown, check
from infra.verify.trial import Trial

#: The whole seconds of a header hide up to one more.
_APART = timedelta(seconds=1)
_VCPUS = "Fargate On-Demand vCPU resource count"
_SPOT = "Fargate Spot vCPU resource count"
#: Fewer concurrent runs than that are used up by some followers that long-poll.
_FEWEST_RUNS = 100


@check(
    "clock",
    claims="The clocks of DynamoDB, SQS and S3 agree with this machine's, within 2 s.",
    proves="delivery.md#when-something-fails",
    only_aws="moto's clock is this machine's own.",
)
def clock(trial: Trial) -> str:
    deployment = trial.deployment
    calls: dict[str, Any] = {
        "dynamodb": lambda client: client.describe_table(
            TableName=deployment.setting("TABLE_NAME")
        ),
        "s3": lambda client: client.head_bucket(Bucket=deployment.setting("BUCKET_NAME")),
        "sqs": lambda client: client.get_queue_attributes(
            QueueUrl=deployment.queue_url(catalogue().queues[0].name), AttributeNames=["QueueArn"]
        ),
    }
    ahead = {}
    for name, call in calls.items():
        client = deployment.client(name)
        call(client)  # the first call makes the connection
        asked_at = time()
        answer = call(client)["ResponseMetadata"]["HTTPHeaders"]
        ahead[name] = _ahead(parsedate_to_datetime(answer["date"]).timestamp(), asked_at)
    evidence = ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in ahead.items())
    if max(map(abs, ahead.values())) > _APART.total_seconds():
        raise NotHeld(f"{evidence}: is this machine's clock set by NTP?")
    return evidence


def _ahead(date: float, asked_at: float) -> float:
    """By how many seconds a clock is ahead of this machine's, at least; negative if it is behind.

    ``date`` is what it showed at some moment between ``asked_at`` and now, cut to whole seconds.
    """
    answered_at = time()
    if date > answered_at:
        return date - answered_at
    return min(0, date + 1 - asked_at)


@check(
    "quotas",
    claims="The account's quotas suffice for every fleet at its most workers, and can be listed.",
    proves="quotas.md#look",
    only_aws="moto has no account's quotas.",
)
def quotas(trial: Trial) -> str:
    client = trial.deployment.client
    service_quotas = client("service-quotas")
    found = {
        service: {
            each["QuotaName"]: each["Value"]
            for page in service_quotas.get_paginator("list_service_quotas").paginate(
                ServiceCode=service
            )
            for each in page["Quotas"]
        }
        for service in ("fargate", "dynamodb")
    }
    runs = client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    vpcs = len(client("ec2").describe_vpcs()["Vpcs"])
    asked = service_quotas.list_requested_service_quota_change_history()["RequestedQuotas"]
    needed = sum(each.fleet.cpu * each.fleet.max_workers for each in catalogue().queues) / 1024
    vcpus, spot = found["fargate"].get(_VCPUS, 0), found["fargate"].get(_SPOT, 0)
    evidence = (
        f"{needed:g} vCPUs are needed; Fargate has {vcpus:g}, Spot {spot:g}. Lambda runs {runs:g} "
        f"at once. {vpcs} VPCs, {len(found['dynamodb'])} quotas of DynamoDB, {len(asked)} requests"
    )
    if vcpus < needed or runs < _FEWEST_RUNS:
        raise NotHeld(evidence)
    return evidence


@check(
    "mail",
    claims="SES has verified the sender's address, and lets the account send.",
    proves="deploying.md#the-first-deployment",
    only_aws="moto verifies every address by itself.",
)
def mail(trial: Trial) -> str:
    sender = trial.deployment.setting("MAIL_FROM")
    if sender == "null":
        raise NotShown("The deployment sends no mail: it has no `mail`.")
    if trial.deployment.environment.smtp_secret_arn:
        raise NotShown("Mail goes through an SMTP server.")
    ses = trial.deployment.client("sesv2")
    account = ses.get_account()
    identity = ses.get_email_identity(EmailIdentity=sender)
    place = "production" if account["ProductionAccessEnabled"] else "a sandbox"
    quota = account["SendQuota"]
    evidence = (
        f"{sender} in {place}: {quota['Max24HourSend']:g} a day, {quota['MaxSendRate']:g} a second"
    )
    if not identity["VerifiedForSendingStatus"] or not account["SendingEnabled"]:
        raise NotHeld(f"{evidence}; not verified: answer SES's mail")
    return evidence


CHECKS = (clock, quotas, mail)
