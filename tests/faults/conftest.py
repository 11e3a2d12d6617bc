"""One stand-in for all fault tests of a process; workers of its own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from celeriac.contract import catalogue
from celeriac.local.environment import aws_variables, enter
from celeriac.local.provision import provision
from celeriac.local.standin import Standin
from tests.faults.stack import WORKER_KEY, Stack, settings_at
from tests.isolation import forget_aws


@pytest.fixture(scope="package")
def package_stack() -> Iterator[Stack]:
    """The stand-in, and the settings that lead to it."""
    before = dict(os.environ)
    with Standin() as aws:
        settings = settings_at(aws.endpoint)
        enter(settings.to_environment() | aws_variables(aws.endpoint))
        forget_aws()
        provision(settings, catalogue())
        aws.watch(WORKER_KEY)
        yield Stack(aws)
    os.environ.clear()
    os.environ.update(before)
    forget_aws()


@pytest.fixture
def stack(package_stack: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The stand-in, healthy and with empty queues."""
    yield package_stack
    # Shown by pytest for a test that failed.
    print(package_stack.logs())
    package_stack.clean_up()


@pytest.fixture
def aws(stack: Stack) -> Standin:
    return stack.aws


@pytest.fixture
def tasks(package_stack: Stack) -> ModuleType:
    """The tasks, on an app that was made for this stand-in."""
    from tests.faults import app

    return app
