"""Workers that are protected, stopped, asleep."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from infra.verify.check import NotHeld, NotShown
from infra.verify.checks import workers
from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    CLUSTER,
    TASK,
    Aws,
    ScriptedApi,
    Stubbed,
    accepts,
    on,
    stubbed,
    task,
)


def test_protection_is_seen_come_and_go(aws: Aws, api: ScriptedApi, trial: Trial) -> None:
    """ECS says that the task is protected while it runs, and then that it isn't."""
    accepts(api, task("STARTED"), task("SUCCESS"))
    for protected in (True, False):
        aws.gives("ecs", "list_tasks", {"taskArns": [TASK]}, cluster=CLUSTER, serviceName="default")
        answer = {"protectedTasks": [{"taskArn": TASK, "protectionEnabled": protected}]}
        aws.gives("ecs", "get_task_protection", answer, cluster=CLUSTER, tasks=[TASK])

    assert "0198 was protected" in workers.protection.attempt(trial)


@pytest.mark.parametrize("address", ["10.0.1.23", "10.0.9.99"])
def test_the_worker_that_runs_the_task_is_stopped(address: str, aws: Aws, api: ScriptedApi) -> None:
    """Its heartbeat names its host, whose name is the address of one of ECS's tasks."""
    listed = [{"hostname": "ip-10-0-1-23.ec2.internal", "active": [{"task_id": "t1"}]}]
    prints = {"workers list --json": json.dumps(listed)}
    others = [TASK, f"{TASK}9"]
    aws.gives("ecs", "list_tasks", {"taskArns": others})
    described = [
        {
            "taskArn": arn,
            "containers": [{"networkInterfaces": [{"privateIpv4Address": at}]}],
        }
        for arn, at in zip(others, (address, "10.0.7.7"), strict=True)
    ]
    aws.gives("ecs", "describe_tasks", {"tasks": described})
    deployment = stubbed(aws, api, prints)

    if address == "10.0.1.23":
        aws.gives("ecs", "stop_task", {}, cluster=CLUSTER, task=TASK, reason="make verify")
        assert deployment.stop_worker("default", "t1") == "0198"
    else:
        with pytest.raises(NotHeld, match=r"2 ECS tasks of default, and 0 are ip-10"):
            deployment.stop_worker("default", "t1")


class Stopping(Stubbed):
    """Its workers are said to be stopped."""

    def stop_worker(self, queue: str, task_id: str) -> str:
        return "0198"


@pytest.mark.parametrize("again", ["2026-11-28T12:02:50Z", "2026-11-28T12:00:50Z"])
def test_a_task_that_ends_where_it_started_is_found(again: str, aws: Aws, api: ScriptedApi) -> None:
    """Its worker was not stopped in the middle of it, so nothing is shown of that."""
    deployment = Stopping(
        **{name: getattr(stubbed(aws, api), name) for name in Stubbed.__dataclass_fields__}
    )
    steps = round(deployment.outlasts_stop.total_seconds() / 2)
    result = {"items": list(range(steps))}
    accepts(api, task("STARTED"), task("SUCCESS", started_at=again, result=result))

    if again == task("STARTED")["started_at"]:
        with pytest.raises(NotHeld, match="ended where it had started"):
            workers.worker_stopped.attempt(on(deployment))
    else:
        assert "again 120 s after" in workers.worker_stopped.attempt(on(deployment))


def test_a_task_outlasts_the_drain_of_its_worker(aws: Aws, api: ScriptedApi) -> None:
    """Else it would end on the worker that is stopped."""
    assert stubbed(aws, api).outlasts_stop > timedelta(seconds=100)


def test_a_fleet_is_followed_to_sleep_and_woken(aws: Aws, api: ScriptedApi, trial: Trial) -> None:
    """Its desired count falls to 0, its last worker ends, and the next task starts one."""
    api.says("GET /queues/default", 200, {"waiting": 0, "in_flight": 0, "delayed": 0})
    accepts(api, task("SUCCESS"))
    for desired, running in ((1, 1), (0, 1), (0, 1), (0, 0)):
        service = {"desiredCount": desired, "runningCount": running}
        aws.gives("ecs", "describe_services", {"services": [service]})

    assert workers.fleet_sleeps.attempt(trial).endswith("50.0 s to the start of the next")


@pytest.mark.parametrize("busy", [workers.fleet_sleeps, workers.fleet_wakes])
def test_a_fleet_in_use_is_left_alone(busy: Any, aws: Aws, api: ScriptedApi, trial: Trial) -> None:
    """Its desired count isn't touched, and the check is not shown."""
    api.says("GET /queues/default", 200, {"waiting": 3, "in_flight": 0, "delayed": 0})
    if busy is workers.fleet_wakes:
        aws.gives("ecs", "describe_services", {"services": [{"desiredCount": 2}]})

    with pytest.raises(NotShown, match="in use"):
        busy.attempt(trial)
