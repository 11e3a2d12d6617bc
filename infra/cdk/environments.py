"""Your deployments: one frozen value each. A new one is one more value in ``ENVIRONMENTS``.

Account and region are those of the credentials that deploy.
"""

from __future__ import annotations

from datetime import timedelta

from celeriac.cdk import Environment

#: The beginning of all resources' names: an account may have the deployments of other projects.
PROJECT = "celeriac"
#: Every resource carries this tag, with its deployment's name: bills and budgets go by it.
TAG = "celeriac:environment"

DEV = Environment(
    project=PROJECT,
    name="dev",
    protect=False,
    log_retention=timedelta(days=7),
    record_ttl=timedelta(days=2),
    monthly_budget_usd=20,
)
PROD = Environment(
    project=PROJECT,
    name="prod",
    protect=True,
    log_retention=timedelta(days=90),
    monthly_budget_usd=200,
    # A partition of the listing takes 1,000 new tasks a second of one tenant.
    listing_shards=8,
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
