"""What runs on a deployment: the API's function, each queue's workers, and the operator."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from celeriac.cdk import Environment
from infra.rehearsal.deployment import Deployed, Server
from infra.rehearsal.function import Function
from infra.rehearsal.server import FIRE_KEY, WATCHED, worker_key
from infra.rehearsal.workers import Workers, containers, running

#: What Lambda calls in the fire function.
HANDLER = "celeriac.operations.fire_function.handler"
API_KEY_ID = f"{WATCHED}000000API"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A deployment to the server while its API and its workers run."""

    environment: Environment
    server: Server
    deployed: Deployed
    api: Function
    workers: Workers


def operator(server: Server, deployed: Deployed) -> dict[str, str]:
    """The variables of a command of the operator."""
    return {**_basics(), **server.environment(), **deployed.settings}


def function(server: Server, deployed: Deployed, directory: Path) -> Function:
    """The API's function, with the deployment's settings."""
    return Function(
        handler="api.handler.handler",
        environment={**_basics(), **server.environment(API_KEY_ID), **deployed.settings},
        log=directory / "api.log",
    )


def fire_function(server: Server, deployed: Deployed, directory: Path) -> Function:
    """The function that EventBridge Scheduler calls, with the deployment's settings."""
    return Function(
        handler=HANDLER,
        environment={**_basics(), **server.environment(FIRE_KEY), **deployed.settings},
        log=directory / "fire.log",
    )


def workers(
    server: Server, deployed: Deployed, queues: Collection[str], directory: Path
) -> AbstractContextManager[Workers]:
    """A worker of each of these queues, as the deployment's service starts it."""
    found = containers(server, deployed.settings["CELERIAC_CLUSTER_NAME"])
    return running(
        server,
        {name: container for name, container in found.items() if name in queues},
        directory,
        {queue: worker_key(queue) for queue in queues},
    )


def _basics() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}  # noqa: S108
