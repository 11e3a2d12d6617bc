"""A task that is submitted to a queue whose workers all sleep wakes one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from celeriac import services, waking
from celeriac.settings import Settings


@pytest.fixture
def ecs(aws: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster with one sleeping service, named as its queue."""
    monkeypatch.setenv("CELERIAC_CLUSTER_NAME", "workers")
    services.reset()
    waking.forget()
    client = boto3.client("ecs")
    client.create_cluster(clusterName="workers")
    client.register_task_definition(
        family="files", containerDefinitions=[{"name": "worker", "image": "worker", "memory": 512}]
    )
    client.create_service(
        cluster="workers", serviceName="files", taskDefinition="files", desiredCount=0
    )
    yield client
    client.delete_service(cluster="workers", service="files", force=True)
    waking.forget()
    services.reset()


def desired(client: Any) -> int:
    found = client.describe_services(cluster="workers", services=["files"])["services"]
    return int(found[0]["desiredCount"])


def test_a_sleeping_service_gets_one_worker(ecs: Any) -> None:
    """Its desired count goes from 0 to 1."""
    waking.wake("files")

    assert desired(ecs) == 1


def test_a_service_at_work_is_left_alone(ecs: Any) -> None:
    """Autoscaling's count is not touched."""
    ecs.update_service(cluster="workers", service="files", desiredCount=7)

    waking.wake("files")

    assert desired(ecs) == 7


def test_it_looks_at_a_queue_once_in_a_while(ecs: Any) -> None:
    """A burst of submissions costs one look."""
    waking.wake("files")
    ecs.update_service(cluster="workers", service="files", desiredCount=0)

    waking.wake("files")

    assert desired(ecs) == 0


def test_a_fault_of_ecs_is_no_fault_of_the_submission(
    ecs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster that is gone is logged, not raised."""
    services.services().settings.__dict__["cluster_name"] = "gone"

    waking.wake("files")

    assert "could not be woken" in caplog.text


def test_without_ecs_nothing_is_asked(aws: Settings) -> None:
    """On a laptop there is no cluster, and no call."""
    waking.forget()
    services.reset()

    waking.wake("files")

    assert "ecs" not in services.services().__dict__
