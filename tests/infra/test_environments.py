"""What an environment may be called, and finding one by its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from infra.cdk.durations import retention
from infra.cdk.environments import DEV, Environment, environment


@pytest.mark.parametrize("name", ["", "Prod", "9lives", "a-name-that-is-too-long", "local"])
def test_a_name_that_resources_cannot_carry_is_refused(name: str) -> None:
    """The message says what a name may be."""
    with pytest.raises(ValueError, match="lower-case"):
        Environment(name=name, protect=False)


def test_a_network_without_a_way_out_takes_no_smtp_server() -> None:
    """Workers would wait for a server that they can't reach; the message names both ways out."""
    with pytest.raises(ValueError, match="Leave smtp_secret_arn out"):
        replace(DEV, network="endpoints", smtp_secret_arn="arn:aws:secretsmanager:…")


def test_an_environment_is_found_by_name() -> None:
    """``dev`` is there; another name is answered with those there are."""
    assert environment("dev") is DEV
    with pytest.raises(LookupError, match="dev, prod"):
        environment("staging")


def test_a_retention_that_cloudwatch_does_not_have_is_refused() -> None:
    """The message lists the numbers of days there are."""
    with pytest.raises(ValueError, match="30, 60, 90"):
        retention(timedelta(days=31))
