"""The heartbeats of workers, as they are kept and read."""

from __future__ import annotations

from dataclasses import replace

from celeriac import clock
from celeriac.marshalling import unmarshal
from celeriac.settings import Settings
from celeriac.storage.heartbeats import SILENT_AFTER, ReservedTask, RunningTask, Worker, Workers
from celeriac.storage.services import services

NOW = 1_800_000_000_000
BUSY = Worker(
    id="host.1.aaaa",
    hostname="ip-10-0-12-34.eu-central-1.compute.internal",
    pid=1,
    queues=("default",),
    concurrency=4,
    prefetch=8,
    started_at=NOW - 60_000,
    seen_at=NOW,
    stopping=False,
    active=tuple(
        RunningTask(
            task_id=f"01890000-0000-7000-8000-00000000000{n}", type="process-file", since=NOW
        )
        for n in range(4)
    ),
    reserved=tuple(
        ReservedTask(task_id=f"01890000-0000-7000-8000-00000000001{n}", type="process-file")
        for n in range(4)
    ),
    processed=100,
    failed=1,
    registered=("cleanup", "generate-report", "long-running", "process-file", "send-email"),
)


def workers(aws: Settings, now: int = NOW) -> Workers:
    return Workers(services().dynamodb, aws.table_name, clock=lambda: now)


def test_a_heartbeat_is_read_as_it_was_written(aws: Settings) -> None:
    """Nothing of it is lost on the way through the table."""
    workers(aws).report(BUSY)

    assert workers(aws).list() == [BUSY]


def test_a_silent_worker_is_not_listed(aws: Settings) -> None:
    """One that was killed is gone after three missed heartbeats, and the table forgets it too."""
    workers(aws).report(BUSY)
    last = NOW + clock.millis(SILENT_AFTER)

    assert workers(aws, last).list() == [BUSY]
    assert workers(aws, last + 1).list() == []
    [item] = services().dynamodb.scan(TableName=aws.table_name)["Items"]
    assert unmarshal(item)["expires_at"] == last // 1000


def test_workers_are_listed_by_host_and_start(aws: Settings) -> None:
    """Two on one host stand together, the older first, whatever their ids."""
    younger = replace(BUSY, id="a", started_at=NOW - 1)
    elsewhere = replace(BUSY, id="b", hostname="a-host")
    for each in (younger, elsewhere, BUSY):
        workers(aws).report(each)

    assert workers(aws).list() == [elsewhere, BUSY, younger]
    for each in (younger, elsewhere):
        workers(aws).remove(each.id)
    assert workers(aws).list() == [BUSY]


def test_a_heartbeat_is_one_write_unit(aws: Settings) -> None:
    """With four tasks that run, four that wait, and the types of this repository: under 1 KiB."""
    workers(aws).report(BUSY)

    [item] = services().dynamodb.scan(TableName=aws.table_name)["Items"]
    text = "".join(f"{name}{value}" for name, value in unmarshal(item).items())

    assert len(text) < 1024
