"""``cdk bootstrap`` and ``cdk deploy``, as a person would run them, against the server."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from celeriac.cdk import Environment, variables
from celeriac.contract.variables import PREFIX
from infra.rehearsal.calls import ACCOUNT, REGION
from infra.rehearsal.secrets import PARAMETER, VALUE
from infra.rehearsal.server import KEY

#: The project's task types, and those of the rehearsal.
TASKS = "tasks,infra.rehearsal.limited"
ROOT = Path(__file__).parents[2]
CDK = ROOT / "node_modules" / ".bin" / "cdk"
#: It frees what a whole deployment took.
_STOP_SECONDS = 120


class RehearsalError(RuntimeError):
    """A step failed. The message holds what it printed."""


def same(found: object, expected: object) -> None:
    """Raise a ``RehearsalError`` unless the two are equal."""
    if found != expected:
        raise RehearsalError(f"{expected!r} was expected here, not {found!r}.")


class Server:
    """The server as a child process, which never outlives this one."""

    def __init__(self, directory: Path) -> None:
        self.calls = directory / "calls.jsonl"
        self._log = (directory / "server.log").open("w")
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "infra.rehearsal.server", str(self.calls)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        self.url = self._process.stdout.readline().partition(" ")[0]
        self.log = directory / "server.log"

    def environment(self, key: str = KEY) -> dict[str, str]:
        """The variables that make a process's AWS this server, as the caller ``key``."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": "unused",
        }

    def client(self, service: str, key: str = KEY) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key="unused",  # noqa: S106  moto asks for none
        )

    def ignored(self) -> list[str]:
        """The resource types that moto passed over."""
        self._log.flush()
        marker = "No Moto CloudFormation support for "
        return sorted(
            {
                line.partition(marker)[2].strip()
                for line in self.log.read_text().splitlines()
                if marker in line
            }
        )

    def stop(self) -> None:
        """End the server; its state goes with it."""
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        self._process.stdin.close()
        self._process.wait(_STOP_SECONDS)
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdout.close()
        self._log.close()


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What a deployment left to find: its variables, as ``infra.outputs`` gives them to a user."""

    variables: dict[str, str]

    @property
    def settings(self) -> dict[str, str]:
        """The variables that the API and the workers read."""
        return {name: value for name, value in self.variables.items() if name.startswith(PREFIX)}


def deploy(server: Server, environment: Environment, directory: Path) -> Deployed:
    """Bootstrap the account, deploy every stack, and read the outputs.

    Raises:
        RehearsalError: the command line failed.
    """
    server.client("ssm").put_parameter(Name=PARAMETER, Value=VALUE, Type="SecureString")
    cdk(server, "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", "", directory=directory)
    cdk(
        server, "deploy", "--all", "--method=direct", "--require-approval=never",
        "--app", f"{sys.executable} -m infra.rehearsal.app", directory=directory,
    )  # fmt: skip
    found = variables(server.client("cloudformation"), f"{environment.prefix}-api")
    return Deployed(variables={**found, "CELERIAC_TASKS": TASKS})


def cdk(server: Server, *arguments: str, directory: Path) -> str:
    """Run the CDK command line, with an image builder that builds nothing."""
    done = subprocess.run(  # noqa: S603  our own pinned program
        [str(CDK), *arguments, "--output", str(directory / "cdk.out"), "--ci", "--no-color"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            **server.environment(),
            "CELERIAC_TASKS": TASKS,
            # The CLI puts a bucket's name before the host, which only AWS's own host takes.
            "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"https://s3.{REGION}.amazonaws.com",
            # There is no registry to push an image to; whether it builds is another test's.
            "CDK_DOCKER": "true",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )
    if done.returncode:
        raise RehearsalError(
            f"cdk {arguments[0]} failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        )
    return done.stdout
