"""Stands in for the suite's conftest.py: the names that its tests import, and its fixtures."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from time import monotonic, sleep
from typing import Any

import pytest
from celery.contrib.testing.manager import Manager

from bench.standin import Standin
from celeriac.app import CeleriacApp, celery_app
from local.environment import aws_variables, enter
from local.provision import provision
from tasks.contract import catalogue
from tests.celerys_own.excluded import EXCLUDED, REDIS
from tests.faults.stack import settings_at
from tests.integration.processes import wait_for
from tests.isolation import forget_aws

TEST_BACKEND = "celeriac"
TASKS = "t.integration.tasks"
#: What the tests set on the app they are given, and expect the next test not to see.
SET_BY_TESTS = ("task_protocol", "task_send_sent_event", "task_publish_retry_policy")
DRAIN_SECONDS = 30


def flaky(test: Any) -> Any:
    """The suite repeats what fails five times; here once has to be enough."""
    return test


def get_redis_connection() -> Any:
    return import_module(TASKS).get_redis_connection()


def get_active_redis_channels() -> Any:
    pytest.skip(REDIS)


def check_for_logs(
    caplog: pytest.LogCaptureFixture, message: str, max_wait: float = 1, interval: float = 0.1
) -> bool:
    """Whether a message that matches is logged in time."""
    give_up_at = monotonic() + max_wait
    while monotonic() < give_up_at:
        if any(re.search(message, each.getMessage()) for each in caplog.records):
            return True
        sleep(interval)
    return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in (getattr(item, "originalname", item.name), item.name):
            if name in EXCLUDED:
                item.add_marker(pytest.mark.skip(reason=EXCLUDED[name]))


def set_up(app: CeleriacApp) -> None:
    """Have an app know the one task of the suite that isn't shared."""
    app.set_default()
    app.set_current()
    app.register_task(import_module(TASKS).ClassBasedAutoRetryTask())


@pytest.fixture(scope="session")
def celery_session_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleriacApp]:
    with Standin() as aws:
        settings = settings_at(aws.endpoint)
        health = tmp_path_factory.mktemp("worker") / "health.json"
        enter(
            settings.to_environment()
            | aws_variables(aws.endpoint)
            | {
                "CELERIAC_INCLUDE": TASKS,
                "CELERIAC_HEALTH_FILE": str(health),
                "CELERIAC_QUEUES": "default",
                "CELERIAC_CONCURRENCY": "4",
            }
        )
        forget_aws()
        provision(settings, catalogue())
        app = celery_app()
        set_up(app)
        yield app


@pytest.fixture(scope="session")
def celery_session_worker(celery_session_app: CeleriacApp) -> Iterator[None]:
    worker = subprocess.Popen([sys.executable, "-m", "tests.celerys_own.worker"])
    health = os.environ["CELERIAC_HEALTH_FILE"]
    wait_for(lambda: os.path.exists(health), "the worker to start")  # noqa: PTH110
    yield
    worker.send_signal(signal.SIGTERM)
    worker.wait(DRAIN_SECONDS)


@pytest.fixture
def celery_app_of_a_test(celery_session_app: CeleriacApp) -> Iterator[CeleriacApp]:
    conf = celery_session_app.conf
    before = {name: conf.get(name) for name in SET_BY_TESTS}
    yield celery_session_app
    conf.update(before)


@pytest.fixture
def app(celery_app_of_a_test: CeleriacApp) -> CeleriacApp:
    return celery_app_of_a_test


@pytest.fixture
def manager(app: CeleriacApp, celery_session_worker: None) -> Manager:
    logging.getLogger("celery").setLevel(logging.WARNING)
    return Manager(app)
