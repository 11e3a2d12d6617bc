"""The account: its clock, its quotas, its mail."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from infra.verify.check import NotHeld
from infra.verify.checks import account
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    Aws,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "takes", "holds"),
    [
        (0.0, 0.0, True),
        (0.9, 0.0, True),
        (-0.9, 0.0, True),
        (-0.9, 20.0, True),
        (20.0, 20.0, True),
        (-5.0, 0.0, False),
        (-5.0, 20.0, False),
        (5.0, 0.0, False),
        (25.0, 20.0, False),
    ],
)
def test_a_clock_that_differs_is_found(
    ahead: float, takes: float, holds: bool, aws: Aws, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header's whole seconds and a slow answer are no difference; five seconds are."""
    date = format_datetime(NOW + timedelta(seconds=ahead))
    metadata = {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}
    for _ in range(2):
        aws.gives("dynamodb", "describe_table", metadata)
        aws.gives("s3", "head_bucket", metadata)
        aws.gives("sqs", "get_queue_attributes", metadata)
    # Asked before each second call, and after it.
    clock = itertools.cycle([NOW.timestamp(), NOW.timestamp() + takes])
    monkeypatch.setattr(account, "time", lambda: next(clock))

    if holds:
        assert "dynamodb" in account.clock.attempt(trial)
    else:
        with pytest.raises(NotHeld, match="NTP"):
            account.clock.attempt(trial)


def quotas(aws: Aws, *, vcpus: float, runs: int) -> None:
    named = [
        {"QuotaName": "Fargate On-Demand vCPU resource count", "Value": vcpus},
        {"QuotaName": "Fargate Spot vCPU resource count", "Value": 6.0},
    ]
    aws.gives("service-quotas", "list_service_quotas", {"Quotas": named}, ServiceCode="fargate")
    aws.gives("service-quotas", "list_service_quotas", {"Quotas": []}, ServiceCode="dynamodb")
    aws.gives(
        "service-quotas", "list_requested_service_quota_change_history", {"RequestedQuotas": []}
    )
    aws.gives("lambda", "get_account_settings", {"AccountLimit": {"ConcurrentExecutions": runs}})
    aws.gives("ec2", "describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]})


def test_quotas_that_suffice_are_held(aws: Aws, trial: Trial) -> None:
    """The evidence has what is needed and what there is."""
    quotas(aws, vcpus=140, runs=1000)

    evidence = account.quotas.attempt(trial)

    assert "36.5 vCPUs are needed; Fargate has 140, Spot 6. Lambda runs 1000" in evidence


@pytest.mark.parametrize(("vcpus", "runs"), [(6, 1000), (140, 10)])
def test_a_new_accounts_quotas_are_not(vcpus: float, runs: int, aws: Aws, trial: Trial) -> None:
    """Too few vCPUs, or ten concurrent runs, as a new account may have."""
    quotas(aws, vcpus=vcpus, runs=runs)

    with pytest.raises(NotHeld):
        account.quotas.attempt(trial)


@pytest.mark.parametrize("verified", [True, False])
def test_an_unverified_sender_is_not_held(verified: bool, aws: Aws, trial: Trial) -> None:
    """A sandbox is shown, and no failure: its owner may want to stay there."""
    quota = {"Max24HourSend": 200.0, "MaxSendRate": 1.0, "SentLast24Hours": 0.0}
    aws.gives(
        "sesv2",
        "get_account",
        {"ProductionAccessEnabled": False, "SendingEnabled": True, "SendQuota": quota},
    )
    aws.gives(
        "sesv2",
        "get_email_identity",
        {"VerifiedForSendingStatus": verified},
        EmailIdentity="tasks@celeriac.dev",
    )

    if verified:
        assert account.mail.attempt(trial).endswith("in a sandbox: 200 a day, 1 a second")
    else:
        with pytest.raises(NotHeld, match="not verified"):
            account.mail.attempt(trial)
