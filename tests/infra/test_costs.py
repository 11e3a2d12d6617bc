"""What docs/costs.md says of costs, held against the templates and the list prices."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from aws_cdk import App

from celeriac.cdk.prices import (
    DYNAMODB_WRITE,
    FOLLOWING_MEMORY,
    UNFINISHED_WRITES,
    FollowingCost,
    TaskCost,
    called_each_hour,
    worker_hour,
)
from celeriac.contract import catalogue
from celeriac.storage.event_bridge import REPAIRED
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from tasks.queues import DEFAULT
from tests.infra.conftest import ROOT, Synthesized, context
from tests.infra.readings import ALARM, by_alarms, by_dashboard

QUEUES = catalogue().queues


# aws.amazon.com/cloudwatch/pricing
ALARM_METRIC = 0.10
DASHBOARD = 3.00
FREE_ALARM_METRICS = 10
FREE_DASHBOARD_METRICS = 50
#: What target tracking makes for itself, of each queue.
TRACKING_ALARMS = 2


@pytest.fixture(scope="module")
def chapter() -> str:
    return " ".join((ROOT / "docs" / "costs.md").read_text().split())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The templates of dev, with the task types there are."""
    directory: Path = tmp_path_factory.mktemp("dev")
    app = App(outdir=str(directory), context=context())
    compose(app, DEV, catalogue())
    app.synth()
    return Synthesized(DEV, directory)


def test_what_rest_costs_is_the_alarms_and_the_dashboard(chapter: str, real: Synthesized) -> None:
    """An alarm costs by the metrics it reads; a dashboard of few metrics would be free."""
    alarms = len(real.properties("ops", ALARM)) + len(real.properties("workers", ALARM))
    read = len(list(by_alarms(real)))
    tracking = TRACKING_ALARMS * len(QUEUES)
    shown = len({(each.namespace, *each.metric) for each in by_dashboard(real)})
    of_alarms = (read + tracking - FREE_ALARM_METRICS) * ALARM_METRIC

    assert f"the {alarms} alarms of the templates read {read}," in chapter
    assert shown > FREE_DASHBOARD_METRICS
    assert f"The dashboard, which shows {shown} metrics, is ${DASHBOARD:.0f}" in chapter
    assert f"about ${of_alarms + DASHBOARD:.2f} a month" in chapter


def test_what_a_million_tasks_cost_is_what_the_estimate_says(chapter: str) -> None:
    """The table has the prices that the dashboard reckons with, and adds up."""
    task, hours = TaskCost(), 70
    rows = [
        hours * worker_hour(DEFAULT, spot=0, public_address=True),
        *(1e6 * each for each in (task.http, task.records, task.messages, task.logs)),
    ]
    rows_of_table, _, rest = chapter.partition("| | $ |")[2].partition("**in all**")
    parts = re.findall(r"\| ([\d.]+) \|", rows_of_table)
    total = rest.split("**")[1]

    assert hours == pytest.approx(1e6 / 3600 / DEFAULT.fleet.processes, abs=1)
    assert [float(each) for each in parts] == [round(each, 2) for each in rows]
    assert float(total) == pytest.approx(sum(rows), abs=0.01)


def test_what_the_hourly_repair_costs_is_computed(chapter: str) -> None:
    """The function starts cold each hour, and is billed for its start too."""
    month = called_each_hour(takes=timedelta(seconds=5), memory=DEV.lambda_memory_mib)

    assert REPAIRED.expression == "rate(1 hour)"
    assert f"that takes five seconds: about ${month:.2f} a month" in chapter


def test_what_the_index_of_unfinished_tasks_costs_is_computed(chapter: str) -> None:
    """Two writes a task."""
    assert f"The index of unfinished tasks is ${1e6 * UNFINISHED_WRITES * DYNAMODB_WRITE:.2f}" in (
        chapter
    )


def test_what_following_costs_is_computed(chapter: str) -> None:
    """By how long a task is followed, and by the memory of the function that waits."""
    table = re.findall(r"\| (\d+) s \| ([\d.]+) \| ([\d.]+) \|", chapter)

    assert f"$ with {FOLLOWING_MEMORY} MiB" in chapter
    assert [int(seconds) for seconds, _, _ in table] == [2, 5, 10, 20]
    for seconds, *costs in table:
        for cost, memory in zip(costs, (FOLLOWING_MEMORY, 1024), strict=True):
            of_one = FollowingCost(seconds=int(seconds), memory=memory).total
            assert float(cost) == pytest.approx(1e6 * of_one, abs=0.005)


def test_an_objects_write_is_what_the_page_says(chapter: str) -> None:
    """One KB more is one write more, and S3 takes what is over 32 KB."""
    small, larger, largest = (1e6 * TaskCost(payload=size).records for size in (900, 1_900, 33_000))

    each_kilobyte = re.search(r"one more write \(\$([\d.]+) a million\)", chapter)
    assert each_kilobyte is not None
    assert float(each_kilobyte[1]) == pytest.approx(larger - small, abs=0.0051)
    stored = largest - 1e6 * TaskCost(payload=100).records
    assert f"${stored:.0f} a million" in chapter


def test_a_worker_that_is_kept_warm_costs_what_the_page_says() -> None:
    """One of the default size, with an address of its own, for a month of 730 hours."""
    month = 730 * worker_hour(DEFAULT, spot=0, public_address=True)
    page = (ROOT / "docs" / "options.md").read_text()
    assert f"One of the default size costs about ${month:.0f} a month" in page
