"""Deploying from GitHub Actions without a stored key: a role for the workflow's own token."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Stack, aws_iam
from constructs import Construct

from celeriac.cdk import Environment, GitHub, grant

_ISSUER = "token.actions.githubusercontent.com"

# The roles that the command line assumes: to deploy, to publish zip and image, to look things up.
# docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html
_BOOTSTRAPPED = ("deploy", "file-publishing", "image-publishing", "lookup")


class Delivery(Stack):
    """The role that a workflow assumes when it runs in the GitHub environment of the same name.

    It may do one thing: assume the roles that ``cdk bootstrap`` made in this account and region.
    """

    def __init__(
        self, scope: Construct, id: str, *, environment: Environment, github: GitHub
    ) -> None:
        super().__init__(
            scope,
            id,
            env=environment.env,
            stack_name=f"{environment.prefix}-delivery",
            description="Celeriac: deploying from GitHub Actions.",
        )
        provider_arn = (
            aws_iam.OidcProviderNative(
                self, "GitHub", url=f"https://{_ISSUER}", client_ids=["sts.amazonaws.com"]
            ).oidc_provider_arn
            if github.create_provider
            else self.format_arn(
                service="iam", region="", resource="oidc-provider", resource_name=_ISSUER
            )
        )
        self.role = aws_iam.Role(
            self,
            "Role",
            description=f"Deploys {environment.name} from {github.repository}.",
            # CloudFormation waits up to three hours for busy workers; the workflow's job takes
            # 200 minutes at most, and asks for a session as long.
            max_session_duration=Duration.hours(4),
            assumed_by=aws_iam.WebIdentityPrincipal(
                provider_arn,
                {
                    "StringEquals": {
                        f"{_ISSUER}:aud": "sts.amazonaws.com",
                        f"{_ISSUER}:sub": (
                            f"repo:{github.repository}:environment:{environment.name}"
                        ),
                    }
                },
            ),
        )
        qualifier = self.synthesizer.bootstrap_qualifier
        grant(
            self.role,
            "CdkRoles",
            ["sts:AssumeRole"],
            [
                self.format_arn(
                    service="iam",
                    region="",
                    resource="role",
                    resource_name=f"cdk-{qualifier}-{each}-role-{self.account}-{self.region}",
                )
                for each in _BOOTSTRAPPED
            ],
        )
        CfnOutput(self, "RoleArn", value=self.role.role_arn, description="For the workflow.")
