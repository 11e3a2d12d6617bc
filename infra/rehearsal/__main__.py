"""Deploy to the server, then do what a user would, with nothing but what the deployment left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infra.rehearsal.app import ENVIRONMENT
from infra.rehearsal.calls import read
from infra.rehearsal.deployment import ROOT, Deployed, RehearsalError, Server, deploy
from infra.rehearsal.function import Function
from infra.rehearsal.permissions import (
    UNUSED_BY_API,
    UNUSED_BY_WORKERS,
    USED_IN_FAULT_TESTS,
    Findings,
    check,
    policies,
)
from infra.rehearsal.samples import payload
from infra.rehearsal.server import WATCHED
from infra.rehearsal.workers import containers, running
from tasks.contract import Catalogue, Queue, catalogue

API_KEY_ID = f"{WATCHED}000000API"
_TASK_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it: the resource types moto passed over, each task type's last state, and
    how the calls compare with what the roles may do."""

    ignored: list[str]
    states: dict[str, str]
    permissions: Findings

    @property
    def faults(self) -> list[str]:
        """What keeps it from being a success, a line each."""
        return [
            *(f"{name} ended in {end}" for name, end in self.states.items() if end != "SUCCESS"),
            *(f"not allowed: {each}" for each in self.permissions.denied),
            *(f"granted, unused, unexplained: {each}" for each in self.permissions.unexplained),
            *(f"explained, not granted: {each}" for each in self.permissions.stale),
        ]


def rehearse(directory: Path) -> Outcome:
    """Deploy, run a task of each type, compare calls with permissions.

    Raises:
        RehearsalError: a step failed.
    """
    server = Server(directory)
    try:
        deployed = deploy(server, ENVIRONMENT, directory)
        states = run_all_task_types(server, deployed, catalogue(), directory)
        return Outcome(
            ignored=server.ignored(),
            states=states,
            permissions=check(
                read(server.calls),
                _roles(server),
                {
                    API_KEY_ID: UNUSED_BY_API,
                    **{
                        worker_key(queue): {*UNUSED_BY_WORKERS, *USED_IN_FAULT_TESTS}
                        for queue in Queue
                    },
                },
            ),
        )
    finally:
        server.stop()


def run_all_task_types(
    server: Server, deployed: Deployed, types: Catalogue, directory: Path
) -> dict[str, str]:
    """Submit one task of each type through the function, and wait for their ends, by type."""
    queues = {each.queue for each in types.values()}
    wanted = {
        name: container
        for name, container in containers(server, deployed.outputs["SettingClusterName"]).items()
        if name in {queue.queue_name for queue in queues}
    }
    keys = {queue.queue_name: worker_key(queue) for queue in Queue}
    settings = function_environment(server, deployed)
    secret = _make_api_key(server, settings)
    with (
        Function(
            handler="api.handler.handler",
            environment={**_basics(), **server.environment(API_KEY_ID), **settings},
            log=directory / "api.log",
        ) as api,
        running(server, wanted, directory, keys),
    ):
        health = api.request("GET", "/health/ready")
        if health.status != 200:  # noqa: PLR2004
            raise RehearsalError(f"/health/ready answered {health.status}: {health.body}")
        ids = {name: _submit(api, secret, name) for name in types}
        ends = {name: _end(api, secret, id) for name, id in ids.items()}
        _read(api, secret, next(iter(ids.values())))
        return ends


def _roles(server: Server) -> dict[str, list[dict[str, Any]]]:
    """The policies of the function and of each queue's workers, by the access key they use."""
    (function,) = server.client("lambda").list_functions()["Functions"]
    names = {API_KEY_ID: function["Role"].rpartition("/")[2]}
    # moto's ECS forgets a task's role, so its name is the template's.
    cloudformation, stack = server.client("cloudformation"), f"{ENVIRONMENT.prefix}-workers"
    made = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    }
    resources = cloudformation.get_template(StackName=stack)["TemplateBody"]["Resources"]
    for service in resources.values():
        if service["Type"] == "AWS::ECS::Service":
            task = resources[service["Properties"]["TaskDefinition"]["Ref"]]["Properties"]
            queue = next(
                each for each in Queue if each.queue_name == service["Properties"]["ServiceName"]
            )
            names[worker_key(queue)] = made[task["TaskRoleArn"]["Fn::GetAtt"][0]]
    iam = server.client("iam")
    return {key: policies(iam, name) for key, name in names.items()}


def worker_key(queue: Queue) -> str:
    """The access key id by which the server tells this queue's workers from other callers."""
    return f"{WATCHED}{queue.name[:9]:0<9}"


def function_environment(server: Server, deployed: Deployed) -> dict[str, str]:
    """The function's variables as Lambda has them, which are those the outputs give."""
    functions = server.client("lambda").list_functions()["Functions"]
    (variables,) = (each["Environment"]["Variables"] for each in functions)
    stated = {name: value for name, value in deployed.outputs.items() if name.startswith("Setting")}
    if sorted(stated.values()) != sorted(variables.values()):
        raise RehearsalError("The outputs aren't the settings that the function runs with.")
    return dict(variables)


def _make_api_key(server: Server, settings: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "keys", "create", "rehearsal"],
        cwd=ROOT,
        env={**_basics(), **server.environment(), **settings},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _basics() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}  # noqa: S108


def _submit(api: Function, secret: str, name: str) -> str:
    def upload(filename: str, content_type: str, content: bytes) -> str:
        answer = api.request(
            "POST",
            "/files",
            key=secret,
            body={"filename": filename, "content_type": content_type, "size": len(content)},
        )
        ticket = answer.json()
        httpx.post(
            ticket["upload"]["url"],
            data=ticket["upload"]["fields"],
            files={"file": (filename, content, content_type)},
        ).raise_for_status()
        return str(ticket["file_key"])

    answer = api.request("POST", f"/tasks/{name}", key=secret, body=payload(name, upload))
    if answer.status != 202:  # noqa: PLR2004
        raise RehearsalError(f"POST /tasks/{name} answered {answer.status}: {answer.body}")
    return str(answer.json()["task_id"])


def _read(api: Function, secret: str, id: str) -> None:
    """What callers do besides submitting: list, filter, fetch a result, ask for the catalogue."""
    for path, query in (
        ("/tasks", ""),
        ("/tasks", "status=FAILURE"),
        (f"/tasks/{id}/result", ""),
        ("/catalogue", ""),
        ("/health", ""),
    ):
        answer = api.request("GET", path, key=secret, query=query)
        if answer.status not in (200, 303):
            raise RehearsalError(f"GET {path}?{query} answered {answer.status}: {answer.body}")


def _end(api: Function, secret: str, id: str) -> str:
    deadline = time.monotonic() + _TASK_SECONDS
    while True:
        task = api.request("GET", f"/tasks/{id}", key=secret, query="wait=20").json()
        if task["status"] in ("SUCCESS", "FAILURE", "REVOKED") or time.monotonic() > deadline:
            return str(task["status"])


def main() -> int:
    """The command line."""
    with tempfile.TemporaryDirectory(prefix="celeriac-rehearsal-") as directory:
        try:
            outcome = rehearse(Path(directory))
        except RehearsalError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write(f"moto ignored: {', '.join(outcome.ignored) or 'nothing'}\n")
    for name, end in outcome.states.items():
        sys.stdout.write(f"{name}: {end}\n")
    sys.stdout.write(f"{outcome.permissions.allowed} distinct calls allowed by their roles\n")
    for fault in outcome.faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
