"""The AWS Solutions rules, over every environment, network mode and option."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from aws_cdk import App, Stack, aws_s3

from infra.cdk.app import compose
from infra.cdk.environments import DEV, PROD, Environment, Network
from tasks.contract import Catalogue
from tests.infra.conftest import OPTIONS, SMTP, Synthesize, Synthesized, context


@pytest.mark.parametrize("optional", [False, True], ids=["plain", "options"])
@pytest.mark.parametrize("network", get_args(Network))
@pytest.mark.parametrize("environment", [DEV, PROD], ids=lambda each: each.name)
def test_no_finding_is_left_unaccepted(
    synthesize: Synthesize, environment: Environment, network: Network, *, optional: bool
) -> None:
    """No rule of AWS Solutions is broken without a written reason, whatever is chosen."""
    options = OPTIONS if optional else {}
    if network == "endpoints":
        options = {name: value for name, value in options.items() if name != SMTP}
    assert synthesize(replace(environment, network=network, **options)).findings == []


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_needs_another_to_be_clean(synthesize: Synthesize, option: str) -> None:
    """Each option by itself breaks no rule either."""
    assert synthesize(replace(DEV, **{option: OPTIONS[option]})).findings == []


def test_the_rules_are_really_checked(tmp_path: Path) -> None:
    """A bucket that is open to plain HTTP, put beside the system, is found."""
    app = App(outdir=str(tmp_path), context=context())
    compose(app, DEV, Catalogue([]))
    stack = Stack(app, "careless")
    aws_s3.Bucket(stack, "Bucket")

    with pytest.raises(RuntimeError, match=r"[Vv]alidation"):
        app.synth()

    found = Synthesized(DEV, tmp_path).findings
    assert {"AwsSolutions-S1", "AwsSolutions-S10"} <= {each["ruleName"] for each in found}
