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
from celery.contrib.testing.worker import start_worker

from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.contract import catalogue
from celeriac.local.environment import aws_variables, enter
from celeriac.local.provision import provision
from celeriac.local.standin import Standin
from tests.celerys_own.excluded import ELSEWHERE, EMBEDDED, EMBEDDED_ONLY, EXCLUDED, REDIS
from tests.faults.stack import settings_at
from tests.integration.processes import wait_for
from tests.isolation import forget_aws

TEST_BACKEND = "celeriac"
TASKS = "t.integration.tasks"
#: Set to 1, this variable has the worker run in the tests' process.
EMBED = "CELERIAC_SUITE_EMBEDDED"
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
        names = {getattr(item, "originalname", item.name), item.name}
        reason = next((EXCLUDED[name] for name in names if name in EXCLUDED), None)
        if bool(names & EMBEDDED) != is_embedded():
            reason = ELSEWHERE if is_embedded() else EMBEDDED_ONLY
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def is_embedded() -> bool:
    """Whether this run has its worker in the tests' own process."""
    return os.environ.get(EMBED) == "1"


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
    if is_embedded():
        # Some of the tests read what it logs, and it asks for the level once.
        logging.getLogger("celery").setLevel(logging.INFO)
        with start_worker(
            celery_session_app,
            pool="threads",
            concurrency=4,
            loglevel="INFO",
            perform_ping_check=False,
            shutdown_timeout=DRAIN_SECONDS,
        ):
            yield
        return
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
    if not is_embedded():
        logging.getLogger("celery").setLevel(logging.WARNING)
    return Manager(app)
