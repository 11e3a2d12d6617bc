"""What moto records and doesn't run: functions with inline code, and tasks of ECS's ``RunTask``.

A custom resource's function runs as a process of its own, with its own access key. A task runs its
container's command on this machine, and ends with that command's exit code. As on AWS, a resource
whose function answers FAILED fails its stack.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from moto.awslambda.models import LambdaFunction
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.responses import CloudFormationResponse
from moto.ecs.models import EC2ContainerServiceBackend

from infra.rehearsal.calls import ACCOUNT, REGION
from infra.rehearsal.secrets import read_secrets
from infra.rehearsal.server import AGENT_KEY, worker_key

ROOT = Path(__file__).parents[2]
_KEY = "AWS_ACCESS_KEY_ID"
_CALL = "\nimport sys\nhandler(json.load(sys.stdin), None)\n"


def install(*, function_key: str) -> None:
    """Make this process's server run them: a function with this access key, a task as a worker."""
    started = EC2ContainerServiceBackend.run_task
    answered = CloudFormationResponse.process_cfn_response

    def invoke(function: Any, body: str, *_: Any) -> bytes:
        event = json.loads(body)
        # moto expects the function in a container, from where this machine has another name.
        event["ResponseURL"] = event["ResponseURL"].replace("host.docker.internal", "127.0.0.1")
        done = subprocess.run(  # noqa: S603  our own function
            [sys.executable, "-c", _source(function) + _CALL],
            input=json.dumps(event),
            text=True,
            env={**os.environ, _KEY: function_key},
            check=False,
        )
        if done.returncode:
            _fail(event["StackId"])
        return b""

    def run_task(backend: Any, *args: Any, **kwargs: Any) -> list[Any]:
        tasks = started(backend, *args, **kwargs)
        for task in tasks:
            definition = backend.describe_task_definition(task.task_definition_arn)
            (container,) = definition.container_definitions
            threading.Thread(target=_run, args=(task, container), name="rehearsal-task").start()
        return tasks

    def process(response: Any) -> tuple[int, dict[str, int], str]:
        answer = response._get_param  # noqa: SLF001  moto has no other
        if answer("Status") == "FAILED":
            _fail(answer("StackId"))
            sys.stderr.write(f"{answer('Reason')}\n")
        return answered(response)

    # moto adds up what containers reserve, and one on Fargate reserves nothing of its own.
    nothing = {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
    setattr(  # noqa: B010  the name is moto's own
        EC2ContainerServiceBackend,
        "_calculate_task_resource_requirements",
        staticmethod(lambda _: dict(nothing)),
    )
    LambdaFunction.invoke = invoke  # type: ignore[method-assign,assignment]
    EC2ContainerServiceBackend.run_task = run_task  # type: ignore[method-assign,assignment]
    CloudFormationResponse.process_cfn_response = process  # type: ignore[method-assign,assignment]


def _fail(stack: str) -> None:
    cloudformation_backends[ACCOUNT][REGION].get_stack(stack).status = "CREATE_FAILED"


def _run(task: Any, container: Mapping[str, Any]) -> None:
    (override,) = task.overrides["containerOverrides"]
    command = override.get("command", container["command"])
    variables = {each["name"]: each["value"] for each in container["environment"]}
    key = worker_key(variables["CELERIAC_QUEUES"])
    agent = boto3.client("ssm", aws_access_key_id=AGENT_KEY, aws_secret_access_key="unused")  # noqa: S106  moto asks for none
    try:
        secrets = read_secrets(container, agent)
    except LookupError as missing:
        task.containers[0].exitCode = None
        task.stopped_reason = f"ResourceInitializationError: {missing}"
    else:
        done = subprocess.run(  # noqa: S603  the container's own command
            [sys.executable if command[0] == "python" else command[0], *command[1:]],
            cwd=ROOT,
            env={**os.environ, _KEY: key, **variables, **secrets},
            check=False,
            stdout=sys.stderr,
        )
        task.containers[0].exitCode = done.returncode
        task.stopped_reason = "Essential container in task exited"
    task.last_status = "STOPPED"


def _source(function: Any) -> str:
    with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
        return archive.read("index.py").decode()
