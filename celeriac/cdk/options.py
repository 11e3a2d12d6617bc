"""The values of an environment's fields that have parts of their own. Plain data, without CDK."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Network = Literal["public", "nat", "endpoints"]


@dataclass(frozen=True, kw_only=True)
class Jwt:
    """The tokens that the API takes in place of its own keys: their issuer, audience and claims.

    ``tenant_claim`` names the claim with the caller's tenant. ``scope_prefix`` stands before
    ``submit``, ``read``, ``cancel`` and ``admin`` in a token's scopes: Cognito puts its resource
    server's name there, as in ``tasks/submit``.
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
class ExistingVpc:
    """The ids of a network that exists: its VPC, the subnets of workers, their security groups.

    The subnets need a way to AWS: a NAT gateway, the VPC's endpoints, or the internet with
    ``public``, which gives each worker an address of its own. Workers have a security group of the
    deployment's own too, which lets nothing in.

    Raises:
        ValueError: an id isn't of its kind, or there is no subnet.
    """

    id: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...] = ()
    public: bool = False

    def __post_init__(self) -> None:
        for kind, ids in (
            ("vpc", (self.id,)),
            ("subnet", self.subnets),
            ("sg", self.security_groups),
        ):
            for each in ids:
                if not re.fullmatch(rf"{kind}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", each):
                    raise ValueError(f"ExistingVpc: {each!r} is no id such as {kind}-0123abcd.")
        if not self.subnets:
            raise ValueError(f"ExistingVpc(id={self.id!r}): name the subnets of the workers.")


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """The repository whose workflow may deploy, through a short-lived token (OIDC).

    ``create_provider`` creates GitHub's identity provider. An account can have only one, so set it
    in only one of the account's environments.
    """

    repository: str
    create_provider: bool


#: What a new table and each of its indexes can serve at once, a second, in units of reads and of
#: writes. docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html
WARM_READS = 12_000
WARM_WRITES = 4_000


@dataclass(frozen=True, kw_only=True)
class WarmThroughput:
    """What the table and each of its indexes can serve at once, in units a second.

    DynamoDB raises the values by itself as the load grows, in half hours. AWS charges once for a
    higher value, and a table's value can't be lowered.

    Raises:
        ValueError: a value is below that of a new table.
    """

    read_units: int = WARM_READS
    write_units: int = WARM_WRITES

    def __post_init__(self) -> None:
        for name, least in (("read_units", WARM_READS), ("write_units", WARM_WRITES)):
            if (value := getattr(self, name)) < least:
                raise ValueError(
                    f"WarmThroughput({name}={value}): a new table has {least}, and DynamoDB takes "
                    "no less. Leave it out, or give more."
                )
