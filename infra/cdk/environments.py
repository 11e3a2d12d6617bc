"""The deployments there are: one frozen value each. To make another, add it to ``ENVIRONMENTS``.

Account and region are those of the credentials that deploy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Network = Literal["public", "nat", "endpoints"]

# A resource name is the prefix, the name and a queue's name; the tightest limit is that of an IAM
# role, 64 characters.
NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")


@dataclass(frozen=True, kw_only=True)
class Jwt:
    """Who signs the tokens that the API takes in place of its own keys, and what they say.

    ``tenant_claim`` names the claim that says whose tasks a caller sees. ``scope_prefix`` stands
    before ``submit``, ``read``, ``cancel`` and ``admin`` in a token's scopes: Cognito puts its
    resource server's name there, as in ``tasks/submit``.
    """

    issuer: str
    audience: tuple[str, ...]
    tenant_claim: str
    scope_prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The API's own name, in a Route 53 zone of this account."""

    name: str
    zone_name: str
    zone_id: str


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """The repository whose workflow may deploy, through a short-lived token (OIDC).

    ``create_provider``: an account holds GitHub's identity provider once; set it in one of the
    account's environments only.
    """

    repository: str
    create_provider: bool


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One deployment.

    ``protect`` keeps data safe from mistakes: termination protection, resources that outlive their
    stack, point-in-time recovery. ``network`` is how workers reach AWS: ``public`` (own addresses,
    nothing listens, no hourly price), ``nat`` (private subnets behind one NAT gateway) or
    ``endpoints`` (private subnets with no way to the internet at all).

    ``mail_from`` is the address that mail is sent from; without it none is sent. Mail goes by SES
    unless ``smtp_secret_arn`` names a secret of Secrets Manager that holds an SMTP server's URL,
    which takes a network with a way to the internet.

    ``runbook`` is the URL that the alarms' mails lead to, if it isn't the repository's own page.

    ``oldest_age`` is the objective for how long a message may wait; alarms watch it, and fleets
    grow to meet it. ``idle`` is how long a queue has been empty before its last worker stops.
    """

    name: str
    protect: bool
    network: Network = "public"
    mail_from: str | None = None
    smtp_secret_arn: str | None = None
    alarm_email: str | None = None
    runbook: str | None = None
    log_retention: timedelta = timedelta(days=30)
    record_ttl: timedelta = timedelta(days=7)
    listing_shards: int = 1
    oldest_age: timedelta = timedelta(minutes=5)
    idle: timedelta = timedelta(minutes=10)
    monthly_budget_usd: int = 50
    requests_per_second: int = 50
    request_burst: int = 100
    lambda_memory_mib: int = 1024
    snap_start: bool = False
    jwt: Jwt | None = None
    domain: Domain | None = None
    github: GitHub | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name == "local":
            raise ValueError(
                f"Environment(name={self.name!r}): use up to 15 lower-case letters, digits and "
                "dashes, beginning with a letter. 'local' is the name of a laptop."
            )
        if self.network == "endpoints" and self.smtp_secret_arn:
            raise ValueError(
                f"Environment(name={self.name!r}): network='endpoints' has no way to an SMTP "
                "server. Leave smtp_secret_arn out, so that mail goes by SES, or choose another "
                "network."
            )

    @property
    def runbook_url(self) -> str:
        """Where the runbook can be read; with neither a URL nor ``github``, where it is kept."""
        page = "docs/runbook.md"
        if self.runbook:
            return self.runbook
        return (
            f"https://github.com/{self.github.repository}/blob/main/{page}" if self.github else page
        )

    @property
    def prefix(self) -> str:
        """What the names of this deployment's resources begin with."""
        return f"celeriac-{self.name}"


DEV = Environment(
    name="dev",
    protect=False,
    log_retention=timedelta(days=7),
    record_ttl=timedelta(days=2),
    monthly_budget_usd=20,
)
PROD = Environment(
    name="prod",
    protect=True,
    log_retention=timedelta(days=90),
    monthly_budget_usd=200,
    requests_per_second=500,
    request_burst=1000,
)

ENVIRONMENTS = {each.name: each for each in (DEV, PROD)}


def environment(name: str) -> Environment:
    """The deployment of this name.

    Raises:
        LookupError: there is none; the message lists those there are.
    """
    try:
        return ENVIRONMENTS[name]
    except KeyError:
        raise LookupError(
            f"There is no environment {name!r}: choose one of {', '.join(ENVIRONMENTS)}, "
            "or add it in infra/cdk/environments.py."
        ) from None
