"""What an environment may be called and say, and finding one by its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from celeriac.cdk import Environment
from celeriac.cdk.convert import retention
from infra.cdk.environments import DEV, environment
from tests.infra.conftest import Synthesize


@pytest.mark.parametrize("name", ["", "Prod", "9lives", "a-name-that-is-too-long", "local"])
def test_a_name_that_resources_cannot_carry_is_refused(name: str) -> None:
    """The message says what a name may be."""
    with pytest.raises(ValueError, match="lower-case"):
        Environment(name=name, protect=False)


def test_projects_share_an_account(synthesize: Synthesize) -> None:
    """Resources and metrics of another project's ``dev`` have names of their own."""
    ours, theirs = synthesize(DEV), synthesize(replace(DEV, project="shop"))

    for stack in ("data", "workers", "api", "ops"):
        assert "celeriac-dev" not in str(theirs.template(stack))
        assert "shop-dev" in str(theirs.template(stack))
    variables = [each.function["Environment"]["Variables"] for each in (ours, theirs)]
    assert [each["CELERIAC_ENVIRONMENT"] for each in variables] == ["dev", "shop-dev"]


@pytest.mark.parametrize("project", ["", "Shop", "9lives", "shop_1", "a-project-with-a-long-name"])
def test_a_project_that_resources_cannot_carry_is_refused(project: str) -> None:
    """The message says what it may be."""
    with pytest.raises(ValueError, match="lower-case"):
        Environment(project=project, name="prod", protect=False)


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


def test_a_tenants_listing_is_spread_where_the_environment_says_so(synthesize: Synthesize) -> None:
    """API and workers write and read the same partitions: both have the setting."""
    synthesized = synthesize(replace(DEV, listing_shards=4))
    function = synthesized.function
    containers = [
        container
        for task in synthesized.properties("workers", "AWS::ECS::TaskDefinition")
        for container in task["ContainerDefinitions"]
    ]

    assert function["Environment"]["Variables"]["CELERIAC_LISTING_SHARDS"] == "4"
    assert containers
    for container in containers:
        assert {"Name": "CELERIAC_LISTING_SHARDS", "Value": "4"} in container["Environment"]
