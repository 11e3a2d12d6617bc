"""Deploy to the server, then do what a user would, with nothing but what the deployment left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.rehearsal import errands
from infra.rehearsal.app import ENVIRONMENT
from infra.rehearsal.caller import Caller
from infra.rehearsal.calls import read
from infra.rehearsal.deployment import ROOT, Deployed, RehearsalError, Server, deploy
from infra.rehearsal.function import Function
from infra.rehearsal.permissions import (
    UNUSED_BY_API,
    USED_IN_FAULT_TESTS,
    Findings,
    check,
    policies,
    unused_by_workers,
)
from infra.rehearsal.samples import payload
from infra.rehearsal.server import WATCHED
from infra.rehearsal.workers import containers, running
from tasks.contract import Catalogue, Queue, catalogue

API_KEY_ID = f"{WATCHED}000000API"


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
            *(f"explained in vain: {each}" for each in self.permissions.stale),
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
                    **{worker_key(queue): unused_by_workers(queue) for queue in Queue},
                },
                elsewhere={worker_key(queue): USED_IN_FAULT_TESTS for queue in Queue},
            ),
        )
    finally:
        server.stop()


def run_all_task_types(
    server: Server, deployed: Deployed, types: Catalogue, directory: Path
) -> dict[str, str]:
    """Submit one task of each type through the function, and wait for their ends, by type."""
    settings = deployed.settings
    if settings != _function_environment(server):
        raise RehearsalError("The outputs aren't the settings that the function runs with.")
    queues = {each.queue for each in types.values()}
    wanted = {
        name: container
        for name, container in containers(server, settings["CELERIAC_CLUSTER_NAME"]).items()
        if name in {queue.queue_name for queue in queues}
    }
    keys = {queue.queue_name: worker_key(queue) for queue in Queue}
    deployer = {**_basics(), **server.environment(), **settings}
    with Function(
        handler="api.handler.handler",
        environment={**_basics(), **server.environment(API_KEY_ID), **settings},
        log=directory / "api.log",
    ) as api:
        caller = Caller(api, _make_api_key(deployer))
        with running(server, wanted, directory, keys):
            caller.ask("GET", "/health/ready")
            ids = {name: caller.submit(name, payload(name, caller.upload)) for name in types}
            ends = {name: caller.end(id) for name, id in ids.items()}
        urls = settings["CELERIAC_QUEUE_URL_PREFIX"]
        _run_errands(server, caller, deployer, urls, ids)
        lost = errands.lose(server, caller, urls, settings["CELERIAC_CLUSTER_NAME"])
        maintenance = {Queue.MAINTENANCE.queue_name: wanted[Queue.MAINTENANCE.queue_name]}
        with running(server, maintenance, directory, keys):
            repair = caller.submit("cleanup", {"grace": 0})
            ends["cleanup, of a lost task"] = caller.end(repair)
        errands.see_sent_again(caller, repair, lost)
        errands.submit_in_vain(server, caller, urls)
        return ends


def _run_errands(
    server: Server,
    caller: Caller,
    deployer: Mapping[str, str],
    urls: str,
    ids: Mapping[str, str],
) -> None:
    errands.look_around(caller, ids["process-file"])
    errands.follow_large_result(caller, ids["long-running"])
    errands.fetch_large(caller)
    errands.cancel(caller)
    errands.send_again_what_is_due_later(caller, deployer)
    errands.redrive_and_purge(server, caller, urls)


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


def _function_environment(server: Server) -> dict[str, str]:
    """The function's variables, as Lambda has them."""
    functions = server.client("lambda").list_functions()["Functions"]
    (variables,) = (each["Environment"]["Variables"] for each in functions)
    return dict(variables)


def _make_api_key(deployer: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "keys", "create", "rehearsal", "--scope", "admin"],
        cwd=ROOT,
        env=deployer,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _basics() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}  # noqa: S108


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
