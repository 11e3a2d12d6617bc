"""``celeriac workers``: the answers of Celery's ``inspect``, for a broker that can't broadcast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import typer

from celeriac.cli.output import AsJson, ago, moment, show, show_json
from celeriac.errors import unavailable
from celeriac.storage.heartbeats import SILENT_AFTER, ReservedTask, RunningTask, Worker
from celeriac.storage.services import services

app = typer.Typer(no_args_is_help=True, help="The workers that are alive, and the tasks they run.")

NOBODY = f"No worker was seen in the last {SILENT_AFTER.total_seconds():.0f} s."


def _workers() -> list[Worker]:
    with unavailable("DynamoDB"):
        return services().workers.list()


@app.command("list")
def list_workers(as_json: AsJson = False) -> None:
    """Show all workers: where, on which queues, how busy, since when."""
    workers = _workers()
    if as_json:
        show_json([_view(each) for each in workers])
        return
    show(
        ["worker", "pid", "queues", "active", "reserved", "up", "last seen", ""],
        (
            (
                each.hostname,
                each.pid,
                " ".join(each.queues),
                f"{len(each.active)}/{each.concurrency}",
                f"{len(each.reserved)}/{each.prefetch}",
                ago(each.started_at),
                f"{ago(each.seen_at)} ago",
                "stopping" if each.stopping else None,
            )
            for each in workers
        ),
        nothing=NOBODY,
    )


@app.command()
def active(as_json: AsJson = False) -> None:
    """Show the tasks that run, as of each worker's last heartbeat."""
    running = list(_running(_workers()))
    if as_json:
        show_json(
            [{**_task_view(task), "worker": worker.id} for worker, task in running],
        )
        return
    show(
        ["task", "type", "for", "worker", "pid"],
        (
            (task.task_id, task.type, ago(task.since), worker.hostname, worker.pid)
            for worker, task in running
        ),
        nothing="No task runs.",
    )


@app.command()
def reserved(as_json: AsJson = False) -> None:
    """Show the tasks that workers have received and not begun."""
    waiting = [(worker, task) for worker in _workers() for task in worker.reserved]
    if as_json:
        show_json([{**_reserved_view(task), "worker": worker.id} for worker, task in waiting])
        return
    show(
        ["task", "type", "worker", "pid"],
        ((task.task_id, task.type, worker.hostname, worker.pid) for worker, task in waiting),
        nothing="No worker holds a task that it has not begun.",
    )


@app.command()
def stats(as_json: AsJson = False) -> None:
    """Show how many tasks each worker has processed since it started."""
    workers = _workers()
    if as_json:
        show_json([_view(each) for each in workers])
        return
    show(
        ["worker", "pid", "processes", "prefetch", "processed", "failed", "up"],
        (
            (
                each.hostname,
                each.pid,
                each.concurrency,
                each.prefetch,
                each.processed,
                each.failed,
                ago(each.started_at),
            )
            for each in workers
        ),
        nothing=NOBODY,
    )


@app.command()
def registered(as_json: AsJson = False) -> None:
    """Show which task types workers know, and on how many."""
    known: dict[str, list[str]] = defaultdict(list)
    workers = _workers()
    for worker in workers:
        for name in worker.registered:
            known[name].append(worker.id)
    if as_json:
        show_json(dict(sorted(known.items())))
        return
    show(
        ["task type", "workers"],
        ((name, f"{len(known[name])} of {len(workers)}") for name in sorted(known)),
        nothing=NOBODY,
    )


def _running(workers: list[Worker]) -> Iterator[tuple[Worker, RunningTask]]:
    """The tasks that run, longest first."""
    pairs = ((worker, task) for worker in workers for task in worker.active)
    return iter(sorted(pairs, key=lambda pair: pair[1].since))


def _task_view(task: RunningTask) -> dict[str, Any]:
    return {"task_id": task.task_id, "type": task.type, "since": moment(task.since)}


def _reserved_view(task: ReservedTask) -> dict[str, Any]:
    return {"task_id": task.task_id, "type": task.type}


def _view(worker: Worker) -> dict[str, Any]:
    return {
        "id": worker.id,
        "hostname": worker.hostname,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "prefetch": worker.prefetch,
        "started_at": moment(worker.started_at),
        "seen_at": moment(worker.seen_at),
        "stopping": worker.stopping,
        "active": [_task_view(task) for task in worker.active],
        "reserved": [_reserved_view(each) for each in worker.reserved],
        "processed": worker.processed,
        "failed": worker.failed,
    }
