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
from infra.rehearsal.secrets import read_secrets
from infra.rehearsal.server import AGENT_KEY

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


class Workers:
    """The workers of a rehearsal: a process for each container."""

    def __init__(
        self,
        server: Server,
        wanted: Mapping[str, Mapping[str, Any]],
        directory: Path,
        key_of: Mapping[str, str],
    ) -> None:
        self._server = server
        self._wanted = wanted
        self._directory = directory
        self._key_of = key_of
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start a worker of each container, and wait until its own health check passes.

        Raises:
            RehearsalError: a worker ended, or isn't healthy in time.
        """
        for name in self._wanted:
            self._start(name)
        for name in self._wanted:
            self._wait_until_healthy(name)

    def replace(self, name: str) -> int:
        """Kill the worker of a container, and start another, as ECS does; the killed one's pid.

        Raises:
            RehearsalError: the other one isn't healthy in time.
        """
        killed = self._processes.pop(name)
        killed.kill()
        killed.wait()
        self._start(name)
        self._wait_until_healthy(name)
        return killed.pid

    def stop(self) -> None:
        """Stop them all, at once."""
        _stop(self._processes.values())

    def _start(self, name: str) -> None:
        self._health_file(name).unlink(missing_ok=True)
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603  the container's own command
                _here(self._wanted[name]["command"]),
                cwd=ROOT,
                env=self._environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self, name: str) -> dict[str, str]:
        return {
            **_basics(),
            **self._server.environment(self._key_of[name]),
            **{each["name"]: each["value"] for each in self._wanted[name]["environment"]},
            **read_secrets(self._wanted[name], self._server.client("ssm", AGENT_KEY)),
            "ECS_AGENT_URI": f"{self._server.url}/{name}",
            "CELERIAC_HEALTH_FILE": str(self._health_file(name)),
        }

    def _health_file(self, name: str) -> Path:
        return self._directory / f"{name}.health"

    def _wait_until_healthy(self, name: str) -> None:
        check = _here(self._wanted[name]["healthCheck"]["command"][1:])
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._processes[name].poll() is None:
            if not subprocess.run(  # noqa: S603
                check, cwd=ROOT, env=self._environment(name), capture_output=True, check=False
            ).returncode:
                return
            time.sleep(0.5)
        log = (self._directory / f"{name}.log").read_text()[-3000:]
        raise RehearsalError(f"The {name} worker isn't healthy:\n{log}")


@contextmanager
def running(
    server: Server,
    wanted: Mapping[str, Mapping[str, Any]],
    directory: Path,
    key_of: Mapping[str, str],
) -> Iterator[Workers]:
    """Workers that are healthy, and stopped afterwards.

    Raises:
        RehearsalError: a worker ended, or isn't healthy in time.
    """
    workers = Workers(server, wanted, directory, key_of)
    try:
        workers.start()
        yield workers
    finally:
        workers.stop()


def _basics() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def _here(command: list[str]) -> list[str]:
    """A container's command, with this machine's interpreter for its ``python``."""
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


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
