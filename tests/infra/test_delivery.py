"""The stack that GitHub Actions deploys through."""

from __future__ import annotations

from dataclasses import replace

from celeriac.cdk import GitHub
from infra.cdk.environments import DEV
from tests.infra.conftest import OPTIONS, Synthesize, Synthesized, statements

ISSUER = "token.actions.githubusercontent.com"


def test_only_the_workflow_of_that_environment_takes_the_role(with_options: Synthesized) -> None:
    """The token is for AWS, and of the repository's job in the GitHub environment: no branch, no
    pull request, no other repository."""
    role = with_options.one("delivery", "AWS::IAM::Role")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"] == {
        "StringEquals": {
            f"{ISSUER}:aud": "sts.amazonaws.com",
            f"{ISSUER}:sub": "repo:celeriac/celeriac:environment:prod",
        }
    }
    provider = with_options.one("delivery", "AWS::IAM::OIDCProvider")
    assert provider["Url"] == f"https://{ISSUER}"
    assert provider["ClientIdList"] == ["sts.amazonaws.com"]


def test_the_role_takes_on_what_bootstrap_made_and_nothing_else(with_options: Synthesized) -> None:
    """Four roles by name, of this account and region."""
    (statement,) = statements(with_options.properties("delivery", "AWS::IAM::Policy"))
    partition, account, region = (
        {"Ref": f"AWS::{each}"} for each in ("Partition", "AccountId", "Region")
    )

    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Resource"] == [
        {
            "Fn::Join": [
                "",
                [
                    "arn:",
                    partition,
                    ":iam::",
                    account,
                    f":role/cdk-hnb659fds-{each}-role-",
                    account,
                    "-",
                    region,
                ],
            ]
        }
        for each in ("deploy", "file-publishing", "image-publishing", "lookup")
    ]


def test_a_second_environment_shares_githubs_provider(synthesize: Synthesize) -> None:
    """An account has it once, so with ``create_provider=False`` it is named, not made."""
    github = replace(OPTIONS["github"], create_provider=False)
    assert isinstance(github, GitHub)
    second = synthesize(replace(DEV, github=github))
    (trust,) = second.one("delivery", "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"]

    assert second.all("delivery", "AWS::IAM::OIDCProvider") == []
    assert f":oidc-provider/{ISSUER}" in str(trust["Principal"]["Federated"])
