"""Makes an app a worker's: with everything that keeps delivery sound on SQS."""

from __future__ import annotations

from celery.signals import (
    after_task_publish,
    worker_process_init,
    worker_shutdown,
    worker_shutting_down,
)

from celeriac.app import CeleriacApp
from celeriac.task import RecordedTask
from worker import children, drain
from worker.claims import ClaimsStep
from worker.keeper import KeeperStep, keeper
from worker.pools import ChoosePool
from worker.prefetch import PrefetchStep
from worker.timers import SweepStep
from worker.waking import wake_others


def equip(app: CeleriacApp) -> CeleriacApp:
    """Add the worker's bootsteps, consumer and request class to an app.

    Equipping it a second time changes nothing.
    """
    app.conf.worker_consumer = "worker.consumer:Consumer"
    # On the class that every task has as a base: ``app.Task`` is no base of the task types'.
    RecordedTask.Request = "worker.request:RecordedRequest"
    app.steps["worker"].add(ChoosePool)
    app.steps["consumer"].add(KeeperStep)
    app.steps["consumer"].add(PrefetchStep)
    app.steps["consumer"].add(ClaimsStep)
    app.steps["consumer"].add(SweepStep)
    after_task_publish.connect(wake_others, weak=False)
    worker_process_init.connect(children.prepare, weak=False)
    worker_shutting_down.connect(drain.begin, weak=False)
    worker_shutdown.connect(keeper.end, weak=False)
    return app
