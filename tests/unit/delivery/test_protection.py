"""When a worker asks ECS for protection, and when it makes room for being stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from celeriac import clock
from celeriac.app.factory import Celeriac, make_app
from celeriac.contract import Catalogue, catalogue
from celeriac.settings import Settings
from celeriac.storage import services
from celeriac.storage.heartbeats import Worker
from celeriac.worker import protection
from celeriac.worker.protection import (
    IDLE,
    LIFETIME,
    RENEWAL,
    REST,
    RETRY,
    Protection,
    surplus,
)
from tests.ecs import Ecs

PROTECT = {"ProtectionEnabled": True, "ExpiresInMinutes": LIFETIME // timedelta(minutes=1)}
LET_GO = {"ProtectionEnabled": False}
SECOND = timedelta(seconds=1)


class World:
    """An ECS agent, a service, and the time."""

    def __init__(self, agent: Ecs) -> None:
        self.agent = agent
        self.surplus = False
        self._now = 0.0

    def worker(self) -> Protection:
        return Protection(self.agent.url, lambda: self.surplus, lambda: self._now)

    def goes_on(self, protection: Protection, duration: timedelta, *, busy: bool) -> None:
        """Let time pass, as the keeper does: a call a second."""
        for _ in range(int(duration / SECOND)):
            self._now += 1
            protection.update(busy=busy)


@pytest.fixture
def world() -> Iterator[World]:
    with Ecs.listening() as agent:
        yield World(agent)


def test_a_busy_worker_is_protected_and_asks_anew(world: World) -> None:
    """Once when it begins, and then at each renewal, for as long as a message may be held."""
    protection = world.worker()

    world.goes_on(protection, 2 * RENEWAL + 2 * SECOND, busy=True)

    assert world.agent.asked == [PROTECT, PROTECT, PROTECT]
    assert not protection.rests()


def test_an_idle_worker_is_let_go_and_receives_on(world: World) -> None:
    """It may be stopped, and works as long as it isn't."""
    protection = world.worker()
    world.goes_on(protection, SECOND, busy=True)

    world.goes_on(protection, IDLE + SECOND, busy=False)

    assert world.agent.asked == [PROTECT, LET_GO]
    assert not protection.rests()


def test_where_some_are_to_go_a_busy_worker_leaves(world: World) -> None:
    """It ends what it runs, protected; then it may be stopped for a while, and else goes on."""
    protection = world.worker()
    world.goes_on(protection, SECOND, busy=True)
    world.surplus = True

    world.goes_on(protection, RENEWAL - SECOND, busy=True)
    assert not protection.rests()
    world.goes_on(protection, timedelta(hours=1), busy=True)
    assert protection.rests()
    assert world.agent.asked == [PROTECT]

    world.goes_on(protection, SECOND, busy=False)
    assert world.agent.asked == [PROTECT, LET_GO]
    world.goes_on(protection, REST - SECOND, busy=False)
    assert protection.rests()
    world.goes_on(protection, SECOND, busy=False)
    assert not protection.rests()
    world.goes_on(protection, SECOND, busy=True)
    assert world.agent.asked == [PROTECT, LET_GO, PROTECT]


def test_a_worker_that_is_no_longer_to_go_comes_back(world: World) -> None:
    """Its longest task may take hours, in which more is to do than the others can."""
    protection = world.worker()
    world.surplus = True
    world.goes_on(protection, RENEWAL + 2 * SECOND, busy=True)
    assert protection.rests()
    world.surplus = False

    world.goes_on(protection, RENEWAL, busy=True)

    assert not protection.rests()
    assert world.agent.asked == [PROTECT, PROTECT]


def test_a_worker_that_is_refused_works_on(world: World) -> None:
    """As a new one does while those of the deployment before are protected; it asks again soon."""
    protection = world.worker()
    world.agent.refusal = "DEPLOYMENT_BLOCKED"

    world.goes_on(protection, RETRY, busy=True)
    assert not protection.rests()
    assert world.agent.asked == [PROTECT]
    world.agent.refusal = None
    world.goes_on(protection, 2 * SECOND, busy=True)
    world.goes_on(protection, IDLE + SECOND, busy=False)

    assert world.agent.asked == [PROTECT, PROTECT, LET_GO]


def test_a_worker_that_is_refused_and_to_go_leaves(world: World) -> None:
    """It takes nothing more, and may be stopped at any time."""
    protection = world.worker()
    world.agent.refusal = "DEPLOYMENT_BLOCKED"
    world.surplus = True

    world.goes_on(protection, 3 * SECOND, busy=True)
    assert protection.rests()
    world.goes_on(protection, SECOND + REST, busy=False)

    assert not protection.rests()
    assert world.agent.asked == [PROTECT]


def test_a_worker_that_is_refused_anew_stays_protected(world: World) -> None:
    """What ECS has granted before lasts for what has begun, and is released after that."""
    protection = world.worker()
    world.goes_on(protection, SECOND, busy=True)
    world.agent.refusal = "DEPLOYMENT_BLOCKED"

    world.goes_on(protection, RENEWAL, busy=True)
    world.agent.refusal = None
    world.goes_on(protection, IDLE + SECOND, busy=False)

    assert world.agent.asked == [PROTECT, PROTECT, LET_GO]


def test_an_agent_that_fails_is_asked_again(world: World) -> None:
    """At the next tick, for protection as for its end; and no worker leaves for good."""
    protection = world.worker()
    world.agent.fails = True
    with pytest.raises(OSError, match="500"):
        world.goes_on(protection, SECOND, busy=True)
    world.agent.fails = False
    world.surplus = True
    world.goes_on(protection, RENEWAL + 2 * SECOND, busy=True)
    assert protection.rests()
    world.agent.fails = True
    with pytest.raises(OSError, match="500"):
        world.goes_on(protection, SECOND, busy=False)
    world.agent.fails = False

    world.goes_on(protection, REST, busy=False)

    assert not protection.rests()
    assert world.agent.asked == [PROTECT, PROTECT, LET_GO, LET_GO]


@pytest.mark.parametrize("reason", ["DEPLOYMENT_BLOCKED", "TASK_NOT_VALID", ""])
def test_a_refusal_is_read_from_a_200(world: World, reason: str) -> None:
    """ECS's agent has no status for it; whatever its reason, the worker asks again in a minute."""
    protection = world.worker()
    world.agent.refusal = reason

    world.goes_on(protection, RETRY + 2 * SECOND, busy=True)

    assert world.agent.asked == [PROTECT, PROTECT]
    world.goes_on(protection, IDLE + SECOND, busy=False)
    assert world.agent.asked == [PROTECT, PROTECT]


@pytest.mark.parametrize("body", [{"error": {"Code": "X"}}, {"requestID": "1"}, {}, [], None, "ok"])
def test_an_answer_that_grants_nothing_protects_nobody(world: World, body: object) -> None:
    """A 200 that neither grants nor refuses is a fault of the agent: it is asked again."""
    protection = world.worker()
    world.agent.body = {"unknown": None} if body is None else body
    for _ in range(2):
        with pytest.raises(OSError, match="answered 200 with"):
            world.goes_on(protection, SECOND, busy=True)
    world.agent.body = None

    world.goes_on(protection, SECOND, busy=True)
    world.goes_on(protection, IDLE + SECOND, busy=False)

    assert world.agent.asked == [PROTECT, PROTECT, PROTECT, LET_GO]


def test_a_worker_that_ecs_keeps_protected_asks_again(world: World) -> None:
    """While protected it can't be stopped: a refusal to end that is a fault, asked about again."""
    protection = world.worker()
    world.goes_on(protection, SECOND, busy=True)
    world.agent.refusal = "TASK_NOT_VALID"
    with pytest.raises(OSError, match="TASK_NOT_VALID"):
        world.goes_on(protection, IDLE + SECOND, busy=False)
    world.agent.refusal = None

    world.goes_on(protection, 2 * SECOND, busy=False)

    assert world.agent.asked == [PROTECT, LET_GO, LET_GO]


def test_outside_ecs_nobody_is_asked(world: World) -> None:
    """Nor does a worker ever rest."""
    protection = Protection(None, lambda: True, lambda: 0)

    world.goes_on(protection, timedelta(hours=2), busy=True)

    assert not protection.rests()


# -- whether some are surplus


@pytest.fixture
def ecs(aws: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The cluster's service of the queue that the worker consumes."""
    monkeypatch.setenv("CELERIAC_CLUSTER_NAME", "workers")
    services.reset()
    app: Celeriac = make_app(aws, Catalogue([], catalogue().queues))
    app.amqp.queues.select(["files"])
    monkeypatch.setattr(protection, "current_app", app)
    with Stubber(services.services().ecs) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()
    app.close()
    monkeypatch.undo()
    services.reset()


def service(running: int, desired: int) -> dict[str, Any]:
    return {
        "services": [{"serviceName": "files", "runningCount": running, "desiredCount": desired}]
    }


def beats(name: str, started_at: int, queue: str = "files", *, stopping: bool = False) -> None:
    """A worker writes its heartbeat."""
    services.services().workers.report(
        Worker(
            id=name, hostname=name, pid=1, queues=(queue,), concurrency=1, prefetch=1,
            started_at=started_at, seen_at=clock.now(), stopping=stopping, active=(), reserved=(),
            processed=0, failed=0, registered=(),
        )
    )  # fmt: skip


@pytest.fixture
def workers(aws: Settings) -> list[str]:
    """Three of this queue, the oldest first; one that ends; and one of another queue."""
    beats("newest", 30)
    beats("oldest", 10)
    beats("middle", 20)
    beats("ending", 5, stopping=True)
    beats("other", 1, "email")
    return ["oldest", "middle", "newest"]


@pytest.mark.parametrize(
    ("running", "desired", "to_go"),
    [(3, 3, 0), (2, 3, 0), (4, 3, 0), (4, 2, 1), (4, 1, 2), (4, 0, 3)],
)
def test_the_oldest_of_too_many_are_to_go(
    ecs: Stubber, workers: list[str], running: int, desired: int, to_go: int
) -> None:
    """ECS says how many are wanted, and the heartbeats who is there."""
    for _ in workers:
        ecs.add_response(
            "describe_services",
            service(running, desired),
            {"cluster": "workers", "services": ["files"]},
        )

    assert [name for name in workers if surplus(name)] == workers[:to_go]


def test_while_ecs_cannot_be_asked_nobody_leaves(ecs: Stubber) -> None:
    """A fault must not stop a fleet."""
    ecs.add_client_error("describe_services", "ServerException", http_status_code=500)

    assert not surplus("oldest")
