"""What docs/deploying.md says of costs, held against the templates and the list prices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aws_cdk import App

from infra.cdk.app import compose
from infra.cdk.environments import DEV
from infra.cdk.prices import TaskCost, worker_hour
from tasks.contract import Queue, catalogue
from tests.infra.conftest import ROOT, Synthesized, context
from tests.infra.readings import ALARM, by_alarms, by_dashboard

# aws.amazon.com/cloudwatch/pricing
ALARM_METRIC = 0.10
DASHBOARD = 3.00
FREE_ALARM_METRICS = 10
FREE_DASHBOARD_METRICS = 50
#: What target tracking makes for itself, of each queue.
TRACKING_ALARMS = 2


@pytest.fixture(scope="module")
def chapter() -> str:
    page = (ROOT / "docs" / "deploying.md").read_text()
    return " ".join(page.partition("## What it costs")[2].partition("\n## ")[0].split())


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
    tracking = TRACKING_ALARMS * len(Queue)
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
        hours * worker_hour(Queue.DEFAULT, public_address=True),
        *(1e6 * each for each in (task.http, task.records, task.messages, task.logs)),
    ]
    table = chapter.partition("| | $ |")[2]
    *parts, total = re.findall(r"\| \**([\d.]+)\** \|", table)

    assert hours == pytest.approx(1e6 / 3600 / Queue.DEFAULT.fleet.processes, abs=1)
    assert [float(each) for each in parts] == [round(each, 2) for each in rows]
    assert float(total) == pytest.approx(sum(rows), abs=0.01)
