"""A task type or a queue that is added appears everywhere, with no file of infra touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from celeriac.cdk.scaling import GROW, NO_WORKER
from celeriac.contract import catalogue
from celeriac.settings import Settings
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from infra.rehearsal.calls import ACCOUNT, REGION
from infra.rehearsal.permissions import check
from infra.rehearsal.templates import Templates
from tasks.queues import MAINTENANCE
from tests.infra.conftest import ROOT, STACKS, Synthesized, exports, imports
from tests.infra.readings import ALARM, ONLY, dashboard, watched

QUEUES = catalogue().queues

NEW_QUEUE = """
VIDEO = Queue(
    "video", fleet=Fleet(cpu=2048, memory=8192, processes=1, max_workers=3, spot=0.25)
)
"""
NEW_TASK = '''
"""Cut a video."""

from datetime import timedelta

from celeriac.contract import BaseModel, TaskContext, task
from tasks.queues import VIDEO


class Cut(BaseModel):
    key: str


@task(queue=VIDEO, time_limit=timedelta(minutes=30))
def cut_video(payload: Cut, context: TaskContext) -> Cut:
    """Cut a video."""
    return payload
'''
SCALING = "AWS::ApplicationAutoScaling"
SERVICE = "service/celeriac-dev/video"
SYNTHESIZE = """
import sys
from aws_cdk import App
from infra.cdk.app import compose
from celeriac.contract import catalogue
from infra.cdk.app import compose
from infra.cdk.environments import DEV

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
    queues = tree / "tasks" / "queues.py"
    queues.write_text(queues.read_text() + NEW_QUEUE)
    (tree / "tasks" / "cut_video.py").write_text(NEW_TASK)
    out = tree / "out"
    subprocess.run(
        [sys.executable, "-c", SYNTHESIZE, str(out)], cwd=tree, check=True, capture_output=True
    )
    return Synthesized(DEV, Path(out))


def of_video(synthesized: Synthesized, stack: str, properties: dict[str, Any]) -> set[str]:
    """The ids of the metrics that are watched, each of which is the new queue's."""
    readings = watched(synthesized, stack, properties).readings
    for name, each in readings.items():
        assert each.dimensions in (
            {
                "QueueName": "celeriac-dev-video-high"
                if name.startswith("high_")
                else "celeriac-dev-video"
            },
            {"ClusterName": "celeriac-dev", "ServiceName": "video"},
        ), name
    return set(readings)


def test_a_new_queue_gets_its_queues(grown: Synthesized) -> None:
    """Queue and dead-letter queue follow from the member, like every other's."""
    queues = grown.template("data")["Resources"]
    video = grown.one("data", "AWS::SQS::Queue", QueueName="celeriac-dev-video")
    other = grown.one("data", "AWS::SQS::Queue", QueueName="celeriac-dev-default")
    target = video["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]

    assert video["VisibilityTimeout"] == Settings().visibility.total_seconds()
    assert queues[target]["Properties"]["QueueName"] == "celeriac-dev-video-dead-letter"
    own = {"QueueName", "RedrivePolicy"}
    assert {name: value for name, value in video.items() if name not in own} == {
        name: value for name, value in other.items() if name not in own
    }


def test_a_new_queue_gets_workers_of_its_fleets_size(grown: Synthesized) -> None:
    """CPU, memory, processes, the share on Spot and the most workers are the ``Fleet``'s."""
    service = grown.one("workers", "AWS::ECS::Service", ServiceName="video")
    task = grown.template("workers")["Resources"][service["TaskDefinition"]["Ref"]]["Properties"]
    (container,) = task["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}
    weights = {
        each["CapacityProvider"]: each["Weight"] for each in service["CapacityProviderStrategy"]
    }
    target = grown.one("workers", f"{SCALING}::ScalableTarget", ResourceId=SERVICE)

    assert (task["Cpu"], task["Memory"]) == ("2048", "8192")
    assert variables["CELERIAC_QUEUES"] == "video"
    assert variables["CELERIAC_CONCURRENCY"] == "1"
    assert weights == {"FARGATE_SPOT": 1, "FARGATE": 3}
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("wake", {"visible", "high_visible", "running"}),
        (
            "fit",
            {
                "visible",
                "in_flight",
                "delayed",
                "high_visible",
                "high_in_flight",
                "high_delayed",
                "running",
            },
        ),
    ],
)
def test_a_new_queues_fleet_wakes_and_shrinks(
    grown: Synthesized, kind: str, counts: set[str]
) -> None:
    """Its alarms read its own counts, and carry out its own policies on its own service."""
    alarm = grown.one("workers", ALARM, AlarmName=f"celeriac-dev-video-{kind}")
    resources = grown.template("workers")["Resources"]
    (action,) = alarm["AlarmActions"]
    policy = resources[action["Ref"]]["Properties"]

    assert of_video(grown, "workers", alarm) == counts
    assert policy["PolicyName"] == f"celeriac-dev-video-{kind}"
    assert resources[policy["ScalingTargetId"]["Ref"]]["Properties"]["ResourceId"] == SERVICE


def test_a_new_task_type_sets_the_backlog_its_fleet_takes(grown: Synthesized) -> None:
    """Of tasks of half an hour, a sixth of one fits into five minutes."""
    policy = grown.one("workers", f"{SCALING}::ScalingPolicy", PolicyName="celeriac-dev-video-grow")
    resources = grown.template("workers")["Resources"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    read = tracking["CustomizedMetricSpecification"]

    assert tracking["TargetValue"] == 5 / 30
    assert watched(grown, "workers", read).expression == GROW
    assert of_video(grown, "workers", read) == {"visible", "high_visible", "running"}
    assert resources[policy["ScalingTargetId"]["Ref"]]["Properties"]["ResourceId"] == SERVICE


def test_a_new_queues_workers_have_a_role_of_their_own(grown: Synthesized) -> None:
    """They take from their own queue alone, send to all, and wake all but their own service."""
    assert may(grown, "video", "sqs:ReceiveMessage", "sqs", "celeriac-dev-video")
    assert may(grown, "video", "sqs:DeleteMessage", "sqs", "celeriac-dev-video")
    assert may(grown, "video", "sqs:ChangeMessageVisibility", "sqs", "celeriac-dev-video")
    assert may(grown, "video", "sqs:SendMessage", "sqs", "celeriac-dev-video-dead-letter")
    assert may(grown, "video", "dynamodb:UpdateItem", "dynamodb", "table/celeriac-dev")
    assert not may(grown, "video", "sqs:ReceiveMessage", "sqs", "celeriac-dev-video-dead-letter")
    assert not may(grown, "video", "ecs:UpdateService", "ecs", SERVICE)
    for queue in QUEUES:
        name = f"celeriac-dev-{queue.name}"
        assert may(grown, "video", "sqs:SendMessage", "sqs", name)
        assert not may(grown, "video", "sqs:ReceiveMessage", "sqs", name)
        other = f"service/celeriac-dev/{queue.name}"
        assert may(grown, "video", "ecs:UpdateService", "ecs", other)


def test_all_others_may_send_to_a_new_queue_and_wake_its_workers(grown: Synthesized) -> None:
    """Workers by their roles, of which the repair's may ask how full it is; and the API."""
    for queue in QUEUES:
        name = queue.name
        assert may(grown, name, "sqs:SendMessage", "sqs", "celeriac-dev-video")
        assert may(grown, name, "ecs:UpdateService", "ecs", SERVICE)
        assert not may(grown, name, "sqs:ReceiveMessage", "sqs", "celeriac-dev-video")
        asks = may(grown, name, "sqs:GetQueueAttributes", "sqs", "celeriac-dev-video")
        assert asks == (queue == MAINTENANCE)
    api = str(grown.properties("api", "AWS::IAM::Policy"))
    assert "celeriac-dev/video" in api
    assert "VideoQueue" in api


def test_both_are_watched(grown: Synthesized) -> None:
    """The queue's alarms read its own counts and dead letters, and the type's alarms the type's."""
    alarms = {each["AlarmName"]: each for each in grown.properties("ops", ALARM)}
    dead = watched(grown, "ops", alarms["celeriac-dev-video-dead-letter"]).readings[ONLY]
    no_worker = alarms["celeriac-dev-video-no-worker"]

    assert dead.dimensions == {"QueueName": "celeriac-dev-video-dead-letter"}
    assert of_video(grown, "ops", no_worker) == {"visible", "high_visible", "running"}
    assert watched(grown, "ops", no_worker).expression == NO_WORKER
    oldest = of_video(grown, "ops", alarms["celeriac-dev-video-oldest-age"])
    assert oldest == {"visible", "high_visible", "received", "high_received"}
    for kind in ("failure-rate", "late"):
        readings = watched(grown, "ops", alarms[f"celeriac-dev-cut-video-{kind}"]).readings
        assert {each.dimensions["TaskType"] for each in readings.values()} == {"cut-video"}


def test_both_are_shown(grown: Synthesized) -> None:
    """A row of the dashboard, like every other queue's, which draws the type's lines."""
    widgets = dashboard(grown)["widgets"]
    row = {
        title.removeprefix("video: "): json.dumps(each["properties"].get("metrics", []))
        for each in widgets
        if (title := each["properties"].get("title", "")).startswith("video: ")
    }
    other = [title for each in widgets if (title := each["properties"].get("title", ""))]

    assert list(row) == [
        title.removeprefix("default: ") for title in other if title.startswith("default: ")
    ]
    for title, drawn in row.items():
        assert "VideoQueue" in drawn or "cut-video" in drawn, title
    assert "cut-video succeeded" in row["succeeded and failed"]
    assert "cut-video wait p99" in row["wait and run time, ms"]


def test_nothing_of_it_breaks_a_rule(grown: Synthesized) -> None:
    """What is derived is as clean as what was there."""
    assert grown.findings == []


def test_a_queue_can_go_once_its_users_have_gone_first(grown: Synthesized, tmp_path: Path) -> None:
    """Without it, the new ops, api and workers ask for nothing that the old stacks don't export:
    so they can be deployed before the data stack takes its exports away."""
    app = App(outdir=str(tmp_path), context={"aws:cdk:bundling-stacks": []})
    compose(app, DEV, catalogue())
    app.synth()
    without = Synthesized(DEV, tmp_path)
    exported = set().union(*(exports(grown, stack) for stack in STACKS))

    assert exports(grown, "data") - exports(without, "data")
    for stack in ("ops", "api", "workers"):
        assert set(imports(without.template(stack))) <= exported


def may(grown: Synthesized, workers_of: str, action: str, service: str, resource: str) -> bool:
    """Whether this queue's workers may do this, by the policies of their role."""
    policies = Templates(grown.directory, DEV.prefix, schedule_role="-").worker_policies(workers_of)
    arn = f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
    return not check({("worker", action, arn, ())}, {"worker": policies}, {}).denied
