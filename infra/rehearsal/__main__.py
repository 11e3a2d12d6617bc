"""Deploy to the server, then do what a user would, with nothing but what the deployment left."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeriac import Queue, catalogue
from infra.rehearsal import operator_actions as actions
from infra.rehearsal import turns
from infra.rehearsal.agent import REFUSAL
from infra.rehearsal.app import ENVIRONMENT
from infra.rehearsal.caller import Caller
from infra.rehearsal.calls import read
from infra.rehearsal.deployment import ROOT, Deployed, RehearsalError, Server, deploy
from infra.rehearsal.permissions import (
    ASKED_WHILE_BUSY,
    UNUSED_BY_AGENT,
    UNUSED_BY_API,
    UNUSED_BY_CHECK,
    UNUSED_BY_FIRE,
    USED_IN_FAULT_TESTS,
    Findings,
    check,
    policies,
    unused_by_workers,
)
from infra.rehearsal.samples import samples, with_files
from infra.rehearsal.schedules import Schedules
from infra.rehearsal.server import AGENT_KEY, CHECK_KEY, FIRE_KEY, worker_key
from infra.rehearsal.stage import (
    API_KEY_ID,
    Stage,
    fire_function,
    function,
    operator,
    workers,
)
from tasks.queues import DEFAULT, MAINTENANCE

#: The queues of the task types that operators' actions submit.
_ACTED_ON = {DEFAULT.name, MAINTENANCE.name}

#: The task type whose mail bounces.
_MAILS = "send-email"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The resource types that moto ignored, each task's last state, the task types without an
    example that can be submitted, and how the calls compare with the roles' policies."""

    ignored: list[str]
    states: dict[str, str]
    not_rehearsed: list[str]
    permissions: Findings
    #: The queues whose workers ECS refused to protect.
    refused: list[str]

    @property
    def faults(self) -> list[str]:
        """Each fault in a line; a success has none."""
        return [
            *(f"{name} ended in {end}" for name, end in self.states.items() if end != "SUCCESS"),
            *(f"not allowed: {each}" for each in self.permissions.denied),
            *(f"granted, unused, unexplained: {each}" for each in self.permissions.unexplained),
            *(f"explained without need: {each}" for each in self.permissions.stale),
        ]


def rehearse(directory: Path, *, first: Callable[[Stage], object] = lambda _: None) -> Outcome:
    """Deploy, run every example of each task type, compare calls with permissions.

    ``first`` is called once the API and all workers run, before anything else is done with them.

    Raises:
        RehearsalError: a step failed.
    """
    server = Server(directory)
    types = catalogue()
    rehearsed = samples(types)
    queues = sorted({types[name].queue.name for name in rehearsed} | _ACTED_ON)
    try:
        deployed = deploy(server, ENVIRONMENT, directory)
        states = run_all(server, deployed, rehearsed, queues, directory, first)
        # The roles of other queues' workers had no occasion to use their grants.
        keys = {worker_key(queue): queue for queue in queues}
        known = {API_KEY_ID, CHECK_KEY, FIRE_KEY, AGENT_KEY, *keys}
        roles = {key: policies for key, policies in _roles(server).items() if key in known}
        return Outcome(
            ignored=server.ignored(),
            states=states,
            not_rehearsed=sorted(types.keys() - rehearsed.keys()),
            permissions=check(
                (each for each in read(server.calls) if each[0] in known),
                roles,
                {
                    API_KEY_ID: UNUSED_BY_API,
                    CHECK_KEY: UNUSED_BY_CHECK,
                    FIRE_KEY: UNUSED_BY_FIRE,
                    AGENT_KEY: UNUSED_BY_AGENT,
                    **{key: unused_by_workers(Queue(queue)) for key, queue in keys.items()},
                },
                elsewhere=dict.fromkeys(keys, USED_IN_FAULT_TESTS | ASKED_WHILE_BUSY),
            ),
            refused=[
                queue for queue in queues if REFUSAL in (directory / f"{queue}.log").read_text()
            ],
        )
    finally:
        server.stop()


def run_all(
    server: Server,
    deployed: Deployed,
    rehearsed: Mapping[str, list[dict[str, Any]]],
    queues: list[str],
    directory: Path,
    first: Callable[[Stage], object],
) -> dict[str, str]:
    """Submit every sample through the function, and wait for the last state of each."""
    settings = deployed.settings
    if settings != _function_environment(server):
        raise RehearsalError("The outputs aren't the settings that the function runs with.")
    deployer = operator(server, deployed)
    with function(server, deployed, directory) as api:
        caller = Caller(api, _make_api_key(deployer))
        with workers(server, deployed, queues, directory) as running:
            first(
                Stage(
                    environment=ENVIRONMENT,
                    server=server,
                    deployed=deployed,
                    api=api,
                    workers=running,
                )
            )
            caller.ask("GET", "/health/ready")
            ids = {
                f"{name}, example {place}": caller.submit(name, with_files(each, caller.upload))
                for name, found in rehearsed.items()
                for place, each in enumerate(found, 1)
            }
            ids["a large task"] = actions.submit_large(caller)
            turns.run_one_at_a_time(caller)
            turns.run_an_urgent_one(caller)
            turns.pause_and_resume(caller, directory / f"{DEFAULT.name}.log")
            ends = {name: caller.end(id) for name, id in ids.items()}
        for name, id in ids.items():
            if name.startswith(f"{_MAILS},"):
                actions.bounce(api, caller, id, settings["CELERIAC_MAIL_CONFIGURATION_SET"])
        urls = settings["CELERIAC_QUEUE_URL_PREFIX"]
        due_later = _act(server, caller, urls, ids["a large task"])
        cluster = settings["CELERIAC_CLUSTER_NAME"]
        with fire_function(server, deployed, directory) as fire:
            schedules = Schedules(server, caller, fire, settings["CELERIAC_SCHEDULE_GROUP"])
            # Before all that wake the same fleet: a process looks at a fleet once in 30 seconds.
            actions.fire_what_is_due_later(server, caller, schedules, cluster, due_later)
            schedules.live()
            schedules.fire_declared()
            schedules.fire_debounced()
            actions.lose(server, caller, urls, cluster)
            schedules.repair()
            actions.lose_again(server, urls)
        with workers(server, deployed, [MAINTENANCE.name], directory):
            repair = caller.submit("cleanup", {"grace": 0})
            ends["cleanup, of a lost task"] = caller.end(repair)
        actions.see_sent_again(caller, repair)
        actions.submit_to_a_missing_queue(server, caller, urls)
        return ends


def _act(server: Server, caller: Caller, urls: str, large: str) -> str:
    """What needs neither a worker nor the function that fires; a task that is due later."""
    actions.look_around(caller)
    actions.follow_large_result(caller, large)
    actions.retry_large(caller)
    actions.cancel(caller)
    due_later = actions.submit_due_later(caller)
    actions.redrive_and_purge(server, caller, urls)
    return due_later


def _roles(server: Server) -> dict[str, list[dict[str, Any]]]:
    """The policies of the function and of each queue's workers, by the access key they use."""
    keys = {"fire": FIRE_KEY, "api": API_KEY_ID, "follow": API_KEY_ID}
    names = {
        keys.get(each["FunctionName"].removeprefix(f"{ENVIRONMENT.prefix}-"), CHECK_KEY): each[
            "Role"
        ].rpartition("/")[2]
        for each in server.client("lambda").list_functions()["Functions"]
    }
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
            names[worker_key(service["Properties"]["ServiceName"])] = made[
                task["TaskRoleArn"]["Fn::GetAtt"][0]
            ]
            # Those of other services say the same.
            names[AGENT_KEY] = made[task["ExecutionRoleArn"]["Fn::GetAtt"][0]]
    iam = server.client("iam")
    return {key: policies(iam, name) for key, name in names.items()}


def _function_environment(server: Server) -> dict[str, str]:
    """The variables of the API's functions, as Lambda has them."""
    functions = server.client("lambda").list_functions()["Functions"]
    first, *others = (
        each["Environment"]["Variables"] for each in functions if "Environment" in each
    )
    if any(each != first for each in others):
        raise RehearsalError("The API's functions run with different settings.")
    return dict(first)


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
    for name in outcome.not_rehearsed:
        sys.stdout.write(f"{name}: not run, its payload model has no example that can be\n")
    sys.stdout.write(f"{outcome.permissions.allowed} distinct calls allowed by their roles\n")
    for fault in outcome.faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
