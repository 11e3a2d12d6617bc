"""A task type or a queue that is added appears everywhere, with no file of infra touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cdk.environments import DEV
from tests.infra.conftest import ROOT, Synthesized
from tests.infra.readings import dashboard

NEW_QUEUE = "    MAINTENANCE = ("
NEW_MEMBER = '    VIDEO = ("video", Fleet(cpu=2048, memory=8192, processes=1, max_workers=3))\n'
NEW_TASK = '''
"""Cut a video."""

from datetime import timedelta

from tasks.contract import BaseModel, Queue, TaskContext, task


class Cut(BaseModel):
    key: str


@task(queue=Queue.VIDEO, time_limit=timedelta(minutes=30))
def cut_video(payload: Cut, context: TaskContext) -> Cut:
    """Cut a video."""
    return payload
'''
SYNTHESIZE = """
import sys
from aws_cdk import App
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from tasks.contract import catalogue

app = App(outdir=sys.argv[1], context={"aws:cdk:bundling-stacks": []})
compose(app, DEV, catalogue())
app.synth()
"""


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The system with one more member in ``Queue`` and one more file in ``tasks/``."""
    tree = tmp_path_factory.mktemp("grown")
    for each in ("celeriac", "infra", "locks", "tasks", "worker", "pyproject.toml"):
        source = ROOT / each
        if source.is_dir():
            shutil.copytree(source, tree / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / each)
    queues = tree / "tasks" / "contract" / "queues.py"
    text = queues.read_text()
    assert NEW_QUEUE in text
    queues.write_text(text.replace(NEW_QUEUE, NEW_MEMBER + NEW_QUEUE))
    (tree / "tasks" / "cut_video.py").write_text(NEW_TASK)
    out = tree / "out"
    subprocess.run(
        [sys.executable, "-c", SYNTHESIZE, str(out)], cwd=tree, check=True, capture_output=True
    )
    return Synthesized(DEV, Path(out))


def test_a_new_queue_gets_its_queues_and_its_service(grown: Synthesized) -> None:
    """Queue, dead-letter queue, service and scaling follow from the member."""
    for name in ("celeriac-dev-video", "celeriac-dev-video-dead-letter"):
        assert grown.one("data", "AWS::SQS::Queue", QueueName=name)
    assert grown.one("workers", "AWS::ECS::Service", ServiceName="video")
    target = grown.one(
        "workers",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ResourceId="service/celeriac-dev/video",
    )
    assert target["MaxCapacity"] == 3
    assert "celeriac-dev/video" in str(grown.properties("api", "AWS::IAM::Policy"))


def test_a_new_task_type_sets_the_backlog_its_fleet_takes(grown: Synthesized) -> None:
    """Of tasks of half an hour, a sixth of one fits into five minutes."""
    policy = grown.one(
        "workers",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        PolicyName="celeriac-dev-video-grow",
    )

    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 5 / 30


def test_both_are_watched_and_shown(grown: Synthesized) -> None:
    """The queue's alarms, the type's alarms, a row of the dashboard and a line in it."""
    names = {each["AlarmName"] for each in grown.properties("ops", "AWS::CloudWatch::Alarm")}
    assert {
        "celeriac-dev-video-oldest-age",
        "celeriac-dev-video-dead-letter",
        "celeriac-dev-video-no-worker",
        "celeriac-dev-cut-video-failure-rate",
        "celeriac-dev-cut-video-late",
    } <= names
    text = str(dashboard(grown))
    assert "video: messages and workers" in text
    assert "cut-video succeeded" in text


def test_nothing_of_it_breaks_a_rule(grown: Synthesized) -> None:
    """What is derived is as clean as what was there."""
    assert grown.findings == []
