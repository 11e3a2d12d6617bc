"""A deployment to moto, with the processes of the rehearsal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from celeriac import catalogue
from infra.rehearsal.app import ENVIRONMENT
from infra.rehearsal.calls import REGION
from infra.rehearsal.deployment import Server, deploy
from infra.rehearsal.stage import Stage, function, operator, workers
from infra.rehearsal.workers import Workers
from infra.verify.deployment import Deployment

#: A killed worker ends at once, so a task need only be there a moment longer.
_MOMENT = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class OnMoto(Deployment):
    """Its workers are processes of this machine, one for each queue."""

    workers: Workers

    @property
    def on_moto(self) -> bool:
        """Always."""
        return True

    @property
    def outlasts_stop(self) -> timedelta:
        """A worker is killed at once."""
        return _MOMENT

    def stop_worker(self, queue: str, task_id: str) -> str:
        """Kill the queue's one worker, and start another, as ECS does."""
        return f"process {self.workers.replace(queue)}"


def deployment(stage: Stage) -> OnMoto:
    """The deployment that a rehearsal runs."""
    return OnMoto(
        environment=stage.environment,
        region=REGION,
        variables=stage.deployed.variables,
        command_variables=operator(stage.server, stage.deployed),
        api=stage.api,
        client=cache(stage.server.client),
        workers=stage.workers,
    )


@contextmanager
def deployed(directory: Path) -> Iterator[OnMoto]:
    """Deploy to moto, and run the API and a worker of each queue.

    Raises:
        RehearsalError: the command line failed, or a worker isn't healthy in time.
    """
    server = Server(directory)
    try:
        made = deploy(server, ENVIRONMENT, directory)
        with (
            function(server, made, directory) as api,
            workers(server, made, [each.name for each in catalogue().queues], directory) as running,
        ):
            yield deployment(
                Stage(
                    environment=ENVIRONMENT,
                    server=server,
                    deployed=made,
                    api=api,
                    workers=running,
                )
            )
    finally:
        server.stop()
