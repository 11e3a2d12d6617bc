"""A task that is sent to a queue whose workers all sleep wakes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from celery import _state, chain
from celery.signals import after_task_publish

from celeriac import clock
from celeriac.app.factory import CeleriacApp, make_app
from celeriac.contract import BaseModel, Catalogue, TaskContext, task
from celeriac.operations import waking
from celeriac.settings import Settings
from celeriac.storage import services
from celeriac.worker.equipment import wake_others
from tasks.queues import FILES


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
    """On one machine there is no cluster, and no call."""
    waking.forget()
    services.reset()

    waking.wake("files")

    assert "ecs" not in services.services().__dict__


def after(delay: timedelta) -> clock.Millis:
    return clock.now() + clock.millis(delay)


def test_a_task_that_is_due_soon_has_its_worker_at_once(ecs: Any) -> None:
    """What SQS delays starts when it is due, since its worker is there by then."""
    waking.wake("files", after(timedelta(minutes=10)))

    assert desired(ecs) == 1


def test_a_task_that_is_due_much_later_wakes_nobody(ecs: Any) -> None:
    """What a schedule keeps has no message that would keep a worker until then."""
    waking.wake("files", after(timedelta(hours=1)))
    assert desired(ecs) == 0

    waking.wake("files")
    assert desired(ecs) == 1


class Noted(BaseModel):
    text: str = ""


@task(queue=FILES, time_limit=timedelta(minutes=1))
def note(payload: Noted, context: TaskContext) -> Noted:
    """Note something."""
    return payload


@pytest.fixture
def consuming(ecs: Any) -> Iterator[Callable[[str], CeleriacApp]]:
    """Makes the app of a worker that consumes this queue, and is about to send."""
    before = _state._get_current_app()

    def of(queue_name: str) -> CeleriacApp:
        app = make_app(services.services().settings, Catalogue([note]))
        after_task_publish.connect(wake_others, weak=False)
        app.amqp.queues.select([queue_name])
        return app

    yield of
    after_task_publish.disconnect(wake_others)
    _state._set_current_app(before)


def test_a_worker_wakes_the_queue_that_it_sends_to(
    ecs: Any, consuming: Callable[[str], CeleriacApp]
) -> None:
    """A step of a chain on another queue finds a worker, though no alarm has gone off."""
    app = consuming("default")
    chain(app.signature("note", ({},), queue="files")).apply_async()

    assert desired(ecs) == 1


def test_a_worker_has_no_need_to_wake_its_own_queue(
    ecs: Any, consuming: Callable[[str], CeleriacApp]
) -> None:
    """It is awake itself."""
    consuming("files").send_task("note", ({},))

    assert desired(ecs) == 0


def test_what_a_worker_leaves_to_a_schedule_wakes_nobody(
    ecs: Any, consuming: Callable[[str], CeleriacApp]
) -> None:
    """A delay of an hour is a schedule's, and so is the waking."""
    consuming("default").send_task("note", ({},), countdown=3600)

    assert desired(ecs) == 0


def test_a_fault_of_ecs_is_no_fault_of_the_sending(
    ecs: Any, consuming: Callable[[str], CeleriacApp], caplog: pytest.LogCaptureFixture
) -> None:
    """The message is out, whatever ECS says."""
    app = consuming("default")
    services.services().settings.__dict__["cluster_name"] = "gone"

    sent = app.send_task("note", ({},))

    assert "could not be woken" in caplog.text
    record = services.services().records.get(sent.id)
    assert record is not None
    assert record.state == "PENDING"
