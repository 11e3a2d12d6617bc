"""Worker processes as ECS would start them: the container definition's command and variables."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.rehearsal.deployment import ROOT, RehearsalError, Server

_START_SECONDS = 90
_STOP_SECONDS = 30


def containers(server: Server, cluster: str) -> dict[str, Mapping[str, Any]]:
    """The worker container of each service, by the service's name, as ECS has it."""
    ecs = server.client("ecs")
    found = {}
    for arn in ecs.list_services(cluster=cluster)["serviceArns"]:
        (service,) = ecs.describe_services(cluster=cluster, services=[arn])["services"]
        task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        (container,) = task["taskDefinition"]["containerDefinitions"]
        found[service["serviceName"]] = container
    return found


@contextmanager
def running(
    server: Server,
    wanted: Mapping[str, Mapping[str, Any]],
    directory: Path,
    key_of: Mapping[str, str],
) -> Iterator[None]:
    """Start a worker of each container, wait until its own health check passes, stop it after.

    Raises:
        RehearsalError: a worker ended, or isn't healthy in time.
    """
    started: list[tuple[str, subprocess.Popen[bytes], dict[str, str]]] = []
    try:
        for name, container in wanted.items():
            environment = {
                **_basics(),
                **server.environment(key_of[name]),
                **{each["name"]: each["value"] for each in container["environment"]},
                "CELERIAC_HEALTH_FILE": str(directory / f"{name}.health"),
            }
            log = (directory / f"{name}.log").open("wb")
            process = subprocess.Popen(  # noqa: S603  the container's own command
                _here(container["command"]),
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            log.close()
            started.append((name, process, environment))
        for name, process, environment in started:
            check = _here(wanted[name]["healthCheck"]["command"][1:])
            _wait_until_healthy(name, process, check, environment, directory)
        yield
    finally:
        _stop(process for _, process, _ in started)


def _basics() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def _here(command: list[str]) -> list[str]:
    """A container's command, with this machine's interpreter for its ``python``."""
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


def _wait_until_healthy(
    name: str,
    process: subprocess.Popen[bytes],
    check: list[str],
    environment: dict[str, str],
    directory: Path,
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if not subprocess.run(  # noqa: S603
            check, cwd=ROOT, env=environment, capture_output=True, check=False
        ).returncode:
            return
        time.sleep(0.5)
    raise RehearsalError(
        f"The {name} worker isn't healthy:\n{(directory / f'{name}.log').read_text()[-3000:]}"
    )


def _stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    running = list(processes)
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
