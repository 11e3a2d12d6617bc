"""``Celeriac``, the Celery app: real Celery on SQS, with the task types of the catalogue.

    from celeriac import Celeriac

    app = Celeriac("shop")

    @app.task
    def resize(picture_id): ...

It takes what ``Celery`` takes. A worker of it, started by any command, claims, renews and drains.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

from celery._state import connect_on_app_finalize

from celeriac import clock
from celeriac.app import options
from celeriac.app.sending import CeleriacApp
from celeriac.app.typed_task import TypedTask
from celeriac.clock import Millis
from celeriac.contract import Catalogue, Queue, catalogue
from celeriac.project import Project, project
from celeriac.settings import Settings, settings
from celeriac.transport.lanes import lanes_of

#: The first app that this process has made for its own settings and task types.
_of_process: list[Celeriac] = []
_making = Lock()

#: What makes a worker safe on SQS. By name, so that an app that only sends never loads a worker.
WORKER_STEPS = ("celeriac.worker.equipment:Equipment",)
CONSUMER_STEPS = (
    "celeriac.worker.keeper:KeeperStep",
    "celeriac.worker.prefetch:PrefetchStep",
    "celeriac.worker.claims:ClaimsStep",
    "celeriac.worker.timers:SweepStep",
)


class Celeriac(CeleriacApp):
    """A Celery app on SQS: ``app = Celeriac("shop")`` in place of ``app = Celery("shop")``.

    Args:
        main: as Celery's: the name of the app, and of the module if it runs as ``__main__``.
        queues: queues that plain tasks run on, besides those in ``tasks/queues.py``.
        catalogue: the task types that it runs; those of the project unless given.
        settings: those of the process (``CELERIAC_…`` variables) unless given.
        celery_options: whatever else ``Celery`` takes.

    Raises:
        OptionRefusedError: when the configuration is first read: a setting can't hold on SQS.
        DeclarationError: when the tasks are first needed: a task file is wrong.
    """

    amqp_cls = "celeriac.app.amqp:AMQP"
    backend_cls = "celeriac.app.backend:RecordBackend"
    events_cls = "celeriac.operations.control:Events"
    control_cls = "celeriac.operations.control:Control"

    def __init__(
        self,
        main: str | None = None,
        *,
        queues: Iterable[Queue] = (),
        catalogue: Catalogue | None = None,
        settings: Settings | None = None,
        **celery_options: Any,
    ) -> None:
        self._queues = tuple(queues)
        self._catalogue = catalogue
        self._settings = settings
        # The only one is Django's, and it imports Celery's worker into the API.
        if "DJANGO_SETTINGS_MODULE" not in os.environ:
            celery_options.setdefault("fixups", [])
        super().__init__(main, **celery_options)
        if catalogue is None and settings is None and not _of_process:
            _of_process.append(self)
        self.steps["worker"].update(WORKER_STEPS)
        self.steps["consumer"].update(CONSUMER_STEPS)

    @property
    def settings(self) -> Settings:
        return self._settings or settings()

    @cached_property
    def catalogue(self) -> Catalogue:
        # Looked up when it is first needed: task files may import this app.
        found = _found() if self._catalogue is None else self._catalogue
        return Catalogue(found.values(), (*self._queues, *found.queues)) if self._queues else found

    def new_lease(self) -> Millis:
        """When a lease ends that is claimed or renewed now."""
        return clock.now() + clock.millis(self.settings.visibility)

    def finalize(self, auto: bool = False) -> None:
        """As Celery's; a wrong task file is an error each time, not only at first."""
        self.catalogue  # noqa: B018 - it is looked up before Celery calls the app finalized
        super().finalize(auto=auto)

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        """A connection to SQS, whatever ``CELERY_BROKER_URL`` says."""
        return super().connection_for_read(options.BROKER_URL, **self._where(kwargs))

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        """A connection to SQS, whatever ``CELERY_BROKER_URL`` says."""
        return super().connection_for_write(options.BROKER_URL, **self._where(kwargs))

    def _where(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        known = {
            "predefined_queues": {
                lane.name: {"url": self.settings.queue_url_prefix + lane.name}
                for queue in self.catalogue.queues
                for lane in lanes_of(queue.name)
            },
            "visibility_timeout": int(self.settings.visibility.total_seconds()),
        }
        return {**kwargs, "transport_options": {**(kwargs.get("transport_options") or {}), **known}}

    def _load_config(self) -> Any:
        conf = super()._load_config()
        options.settle(conf, self.settings)
        return conf


def _found() -> Catalogue:
    """The project's task types. A plain Celery project has no task package, and needs none."""
    if project().tasks == Project.tasks and find_spec(Project.tasks[0]) is None:
        return Catalogue([])
    return catalogue()


@connect_on_app_finalize
def _register_task_types(app: Any) -> None:
    if isinstance(app, Celeriac):
        for each in app.catalogue.values():
            for name in each.names:
                app.register_task(TypedTask.of(each, name, app.Task))


def make_app(settings: Settings, catalogue: Catalogue) -> Celeriac:
    """An app that runs these task types under these settings."""
    return Celeriac("celeriac", settings=settings, catalogue=catalogue)


def celery_app() -> Celeriac:
    """The app of this process: the project's own if it has been made, or one with its settings."""
    with _making:
        return _of_process[0] if _of_process else Celeriac("celeriac")


def project_app() -> Celeriac:
    """The app that the project names, imported with the tasks that it includes.

    A project without one has the app of this process. Raises what an import raises.
    """
    module = project().app.partition(":")[0]
    if find_spec(module.partition(".")[0]) is not None and find_spec(module) is not None:
        # It becomes the app of this process, with the queues and tasks that it declares.
        import_module(module)
    app = celery_app()
    app.loader.import_default_modules()
    return app


def forget() -> None:
    """Forget the app of this process. For tests."""
    _of_process.clear()


__all__ = ["Celeriac", "CeleriacApp", "celery_app", "make_app", "project_app"]
