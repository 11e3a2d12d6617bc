"""What all tests share: an AWS of their own, never a real one."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

import botocore.session
import hypothesis
import pytest
from moto import mock_aws

from celeriac.contract import catalogue
from celeriac.local import conditional_writes
from celeriac.local.provision import provision
from celeriac.local.scheduler_rules import enforce_in_moto
from celeriac.settings import Settings, settings
from tests.isolation import forget_aws
from tests.side_by_side import GroupScheduling, largest_first

OWN_AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


conditional_writes.make_atomic()
# Each session parses AWS's models for itself, which takes longer than most tests.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    return GroupScheduling(config, log)


# How long an example takes on a busy machine says nothing of the code.
hypothesis.settings.register_profile("celeriac", deadline=None)
hypothesis.settings.load_profile("celeriac")

# The collector would look again and again at what all tests share, for half of the tests' time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    largest_first(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured: ``record_property("figures", …)``."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "figures" and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value}")


@pytest.fixture(scope="module")
def aws() -> Iterator[Settings]:
    """AWS in this process, with what every deployment has: the settings that name it.

    Made once for each file of tests, which takes half a second: a test that must not find what
    another left uses ids, tenants or names of its own. No variable of the shell reaches it.
    """
    enforce_in_moto()
    with pytest.MonkeyPatch.context() as variables, mock_aws():
        for name in [name for name in os.environ if name.startswith(("AWS_", "CELERIAC_"))]:
            variables.delenv(name)
        for name, value in OWN_AWS.items():
            variables.setenv(name, value)
        forget_aws()
        provision(settings(), catalogue())
        yield settings()
    forget_aws()
