"""``make run``: AWS, the API and a worker on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx

from celeriac import keys
from celeriac.services import services
from celeriac.settings import settings
from local import environment
from local.aws import HOST
from local.provision import provision
from local.schedules import Schedules
from local.supervisor import Program, Supervisor
from local.terminal import Terminal
from tasks.contract import catalogue

STATE = Path(".local")
ENVIRONMENT_FILE = STATE / "env"
API_KEY_FILE = STATE / "api-key"

START_SECONDS = 60
ANSWER_SECONDS = 5


class NoStackError(Exception):
    """There is no running stack to add a worker to."""

    def __init__(self) -> None:
        super().__init__("No stack is running here. Start one first: make run")


class PortError(Exception):
    """A port can't be used."""

    def __init__(self, variable: str, port: object, problem: str) -> None:
        super().__init__(f"Port {port} {problem}. Choose another: {variable}=… make run")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the API and AWS listen, on the loopback interface."""

    api: int = 8000
    aws: int = 5055

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Ports:
        """From ``API_PORT`` and ``AWS_PORT``, each checked to be free.

        Raises:
            PortError: not a port, or in use.
        """
        ports = cls(
            api=_port(variables, "API_PORT", cls.api), aws=_port(variables, "AWS_PORT", cls.aws)
        )
        if ports.api == ports.aws:
            raise PortError("AWS_PORT", ports.aws, "can't be both the API's and AWS's")
        return ports

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api}"

    @property
    def aws_url(self) -> str:
        return f"http://{HOST}:{self.aws}"


def _port(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**16):
        raise PortError(name, text, "is not a number from 1 to 65535")
    with socket.socket() as probe:
        # A port that was in use a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(text)))
        except PermissionError as error:
            raise PortError(name, text, "needs more rights than yours") from error
        except OSError as error:
            raise PortError(name, text, "is in use by another program") from error
    return int(text)


def run(terminal: Terminal) -> None:
    """Start everything, say how to use it, and look after it until it ends.

    Raises:
        PortError: it can't start.
        Interrupted, ProgramEnded, NotReady: see ``local.supervisor``.
    """
    ports = Ports.from_environment()
    STATE.mkdir(exist_ok=True)
    variables = environment.variables(ports.aws_url)
    environment.enter(variables)
    with Supervisor(terminal.say) as supervisor:
        terminal.say("", "Starting AWS, the API and a worker; Ctrl-C ends them.")
        supervisor.start(_python("aws", "local.aws", "--port", str(ports.aws)))
        supervisor.wait_until(
            lambda: _answers(f"{ports.aws_url}/moto-api/"),
            seconds=START_SECONDS,
            what="AWS to answer",
        )
        provision(settings(), catalogue())
        api_key = _api_key()
        ENVIRONMENT_FILE.write_text(environment.to_shell(variables))
        try:
            supervisor.start(_python("worker", "worker", restarted=True))
            supervisor.start(
                _python("api", "uvicorn", "api.app:app", "--host", HOST, "--port", str(ports.api))
            )
            supervisor.wait_until(
                lambda: _answers(f"{ports.api_url}/health/ready"),
                seconds=START_SECONDS,
                what="the API to be ready",
            )
            terminal.show(welcome(ports, api_key))
            with Schedules(services(), lambda line: terminal.say("", line)):
                supervisor.watch()
        finally:
            ENVIRONMENT_FILE.unlink(missing_ok=True)


def add_worker() -> NoReturn:
    """Become one more worker of the running stack: this process is replaced.

    Raises:
        NoStackError: none is running here.
    """
    try:
        variables = environment.read(ENVIRONMENT_FILE)
    except FileNotFoundError as error:
        raise NoStackError from error
    if not _answers(f"{variables['AWS_ENDPOINT_URL']}/moto-api/"):
        raise NoStackError
    environment.enter(variables)
    os.execv(sys.executable, [sys.executable, "-m", "worker"])  # noqa: S606 (no shell is meant)


def _python(name: str, module: str, *arguments: str, restarted: bool = False) -> Program:
    command = [sys.executable, "-m", module, *arguments]
    return Program(name=name, command=command, restarted=restarted)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=ANSWER_SECONDS).is_success
    except httpx.TransportError:
        return False


def _api_key() -> str:
    """The key of an earlier run, or a new one, known to this run's API.

    The file is the only copy: AWS holds a hash, and forgets it when it ends.
    """
    if API_KEY_FILE.exists():
        secret = API_KEY_FILE.read_text().strip()
    else:
        secret = keys.generate()
        API_KEY_FILE.touch(mode=0o600)
        API_KEY_FILE.write_text(f"{secret}\n")
    API_KEY_FILE.chmod(0o600)
    services().keys.register(secret, name="make run", tenant=settings().tenant, scopes=keys.Scope)
    return secret


def welcome(ports: Ports, api_key: str) -> str:
    """What a user can do now, in words and commands to paste."""
    header = f"-H 'Authorization: Bearer {api_key}'"
    return f"""
Celeriac is ready.

  API        {ports.api_url}      docs at {ports.api_url}/docs
  API key    {api_key}      also in {API_KEY_FILE}
  Mail sent  {ports.aws_url}/moto-api/data.json

Submit a task that takes some ten seconds:

curl -sS {ports.api_url}/tasks/long-running \\
  {header} \\
  -H 'Content-Type: application/json' \\
  -d '{{"total_steps": 5, "items": ["a", "b", "c"], "step_seconds": 2}}'

Follow it, with the task_id of the answer; each call waits for a change:

curl -sS '{ports.api_url}/tasks/TASK_ID?wait=20' \\
  {header}

Add a worker: make worker, in another terminal. Ctrl-C here ends everything.
"""
