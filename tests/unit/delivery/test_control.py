"""``app.control`` answers from heartbeats and records what a broadcast would ask of workers."""

from __future__ import annotations

import pytest

from celeriac import clock, states
from celeriac.app.factory import Celeriac
from celeriac.operations.control import NoBroadcastError
from celeriac.storage.heartbeats import ReservedTask, RunningTask, Worker
from celeriac.storage.services import services
from celeriac.transport.purging import PurgeRefusedError


@pytest.fixture
def worker(app: Celeriac) -> Worker:
    """A worker that was seen just now."""
    now = clock.now()
    worker = Worker(
        id="host.7.aaaa",
        hostname="host",
        pid=7,
        queues=("default", "email"),
        concurrency=4,
        prefetch=8,
        started_at=now - 60_000,
        seen_at=now,
        stopping=False,
        active=(RunningTask(task_id="of-the-worker", type="double", since=now - 5_000),),
        reserved=(ReservedTask(task_id="held", type="add"),),
        processed=100,
        failed=1,
        registered=("add", "double"),
    )
    services().workers.report(worker)
    return worker


def test_inspect_answers_from_heartbeats(app: Celeriac, worker: Worker) -> None:
    """In the shapes that Celery's workers answer in."""
    inspect = app.control.inspect()
    assert inspect.ping() == {worker.id: {"ok": "pong"}}
    assert inspect.registered() == {worker.id: ["add", "double"]}
    assert inspect.scheduled() == {worker.id: []}
    assert [each["name"] for each in inspect.active_queues()[worker.id]] == ["default", "email"]
    [running] = inspect.active()[worker.id]
    assert (running["id"], running["name"]) == ("of-the-worker", "double")
    [held] = inspect.reserved()[worker.id]
    assert (held["id"], held["name"]) == ("held", "add")
    stats = inspect.stats()[worker.id]
    assert (stats["pid"], stats["pool"]["max-concurrency"], stats["uptime"]) == (7, 4, 60)


def test_who_is_not_asked_does_not_answer(app: Celeriac, worker: Worker) -> None:
    """``destination`` names workers by their ids."""
    assert app.control.inspect([worker.id]).ping() == {worker.id: {"ok": "pong"}}
    assert not app.control.inspect(["another"]).ping()


@pytest.mark.parametrize("command", ["pool_grow", "add_consumer", "rate_limit", "shutdown"])
def test_what_only_a_worker_could_do_is_refused(app: Celeriac, command: str) -> None:
    """With a word on what to use, rather than a wait for answers that never come."""
    with pytest.raises(NoBroadcastError, match=rf"{command}.*docs/monitoring\.md"):
        app.control.broadcast(command)


def test_events_are_refused(app: Celeriac) -> None:
    """`celery events` and Flower are told why nothing comes, rather than of a missing queue."""
    with pytest.raises(NoBroadcastError, match=r"events.*docs/monitoring\.md"):
        app.events.Receiver(None)


def test_sqss_own_purge_is_refused(app: Celeriac) -> None:
    """`celery purge` asks for it, and would leave the records of what it removes PENDING."""
    task_id = app.tasks["double"].delay(1).id

    with (
        app.connection_for_write() as connection,
        pytest.raises(PurgeRefusedError, match="Run `celeriac queues purge default`"),
    ):
        connection.default_channel.queue_purge("default")

    assert app.control.purge() >= 1
    record = services().records.get(task_id)
    assert record is not None
    assert record.state == states.REVOKED


def test_revoke_ends_what_waits(app: Celeriac) -> None:
    """One task or several; one that nobody has sent is revoked in advance."""
    first, second = (app.tasks["double"].apply_async((n,), countdown=900) for n in (1, 2))
    app.control.revoke([first.id, second.id, "of-nobody"])
    ended = services().records.get_many([first.id, second.id, "of-nobody"])
    assert {each.state for each in ended.values()} == {states.REVOKED}
    assert len(ended) == 3


def test_purge_empties_all_queues(app: Celeriac) -> None:
    """And ends the tasks whose messages it removes."""
    results = [app.tasks["double"].delay(n) for n in range(3)]
    assert app.control.purge() == 3
    assert {each.state for each in results} == {states.REVOKED}
