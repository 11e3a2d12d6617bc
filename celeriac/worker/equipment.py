"""Equips a worker of a Celeriac app, whatever started it.

The app names this step, so every worker takes it before it makes its pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import bootsteps, current_app
from celery.concurrency.prefork import TaskPool as ProcessPool
from celery.concurrency.thread import TaskPool as CeleryThreadPool
from celery.signals import (
    after_task_publish,
    worker_process_init,
    worker_shutdown,
    worker_shutting_down,
)

from celeriac.operations.waking import wake
from celeriac.transport.message import HEADER
from celeriac.worker import child, children, drain
from celeriac.worker.keeper import keeper
from celeriac.worker.options import WorkerOptionError
from celeriac.worker.threads import ThreadPool


class Equipment(bootsteps.Step):
    """Refuses what would break delivery, chooses the pool, and listens to Celery's signals."""

    def __init__(
        self, worker: Any, beat: bool = False, autoscale: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(worker, **kwargs)
        if beat:
            raise WorkerOptionError(
                "--beat would send each scheduled task once for every worker. "
                "Leave it out: the entries of beat_schedule are schedules, which need no process."
            )
        if autoscale:
            raise WorkerOptionError(
                "--autoscale is not supported: the number of workers follows the queue. "
                "Use --concurrency, and Fleet(max_workers=...) for how many workers there may be."
            )
        if worker.pool_start_method != "fork":
            raise WorkerOptionError(
                f"--pool-start-method {worker.pool_start_method} is not supported: "
                "a process that is spawned can't be interrupted. Use fork."
            )
        worker.pool_cls = _pool(worker.pool_cls)
        after_task_publish.connect(wake_others, weak=False)
        worker_process_init.connect(child.prepare, weak=False)
        worker_shutting_down.connect(drain.begin, weak=False)
        worker_shutdown.connect(keeper().end, weak=False)


def _pool(chosen: type[Any]) -> type[Any]:
    """The pool to use for the one that was asked for."""
    if issubclass(chosen, ProcessPool):
        return chosen
    if issubclass(chosen, CeleryThreadPool):
        children.spawn()
        return ThreadPool
    raise WorkerOptionError(
        f"The pool {chosen.__module__.rpartition('.')[2]!r} runs tasks on the thread that "
        "receives, renews and acknowledges. Use --pool prefork or --pool threads."
    )


def wake_others(routing_key: str, headers: Mapping[str, Any], **_: Any) -> None:
    """Wake the workers of the queue that a message went to, in whichever process sent it.

    The worker's own queues have a worker: this one.
    """
    if routing_key not in current_app.amqp.queues.consume_from:
        wake(routing_key, headers.get(HEADER, {}).get("due", 0))
