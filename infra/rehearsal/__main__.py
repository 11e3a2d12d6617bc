"""Deploy to the server, then do what a user would, with nothing but what the deployment left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra.rehearsal.app import ENVIRONMENT
from infra.rehearsal.deployment import ROOT, Deployed, RehearsalError, Server, deploy
from infra.rehearsal.function import Function
from infra.rehearsal.samples import payload
from infra.rehearsal.workers import containers, running
from tasks.contract import Catalogue, Queue, catalogue

API_KEY_ID = "AKIAREHEARSAL00000API"
_TASK_SECONDS = 120


def rehearse(directory: Path) -> list[str]:
    """Run all of it; what to print, line by line.

    Raises:
        RehearsalError: a step failed.
    """
    server = Server(directory)
    try:
        deployed = deploy(server, ENVIRONMENT, directory)
        said = [
            f"Deployed to {server.url}; moto ignored: {', '.join(server.ignored()) or 'nothing'}."
        ]
        ends = run_all_task_types(server, deployed, catalogue(), directory)
        said += [f"{name}: {state}" for name, state in ends.items()]
        if set(ends.values()) != {"SUCCESS"}:
            raise RehearsalError("\n".join(said))
        return said
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
        ids = {name: _submit(api, secret, server, deployed, name) for name in types}
        return {name: _end(api, secret, id) for name, id in ids.items()}


def worker_key(queue: Queue) -> str:
    """The access key id by which the server tells this queue's workers from other callers."""
    return f"AKIAREHEARSAL{queue.name[:7]:0<7}"


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


def _submit(api: Function, secret: str, server: Server, deployed: Deployed, name: str) -> str:
    def upload(filename: str, content_type: str, content: bytes) -> str:
        answer = api.request(
            "POST",
            "/files",
            key=secret,
            body={"filename": filename, "content_type": content_type, "size": len(content)},
        )
        form = answer.json()
        # As a browser would, but without its multipart form: the policy is S3's to check.
        server.client("s3").put_object(
            Bucket=deployed.outputs["SettingBucketName"],
            Key=form["upload"]["fields"]["key"],
            Body=content,
            ContentType=content_type,
        )
        return str(form["key"])

    answer = api.request("POST", f"/tasks/{name}", key=secret, body=payload(name, upload))
    if answer.status != 202:  # noqa: PLR2004
        raise RehearsalError(f"POST /tasks/{name} answered {answer.status}: {answer.body}")
    return str(answer.json()["task_id"])


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
            said = rehearse(Path(directory))
        except RehearsalError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write("\n".join(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
