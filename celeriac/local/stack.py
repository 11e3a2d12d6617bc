"""`celeriac dev`: AWS, the API and a worker for the project in this folder, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path

from celeriac.contract.variables import PREFIX
from celeriac.local import environment
from celeriac.local.aws import HOST
from celeriac.local.firing import fire_in_child
from celeriac.local.inspection import Inspection, inspect
from celeriac.local.keeping import KeptAws
from celeriac.local.ports import PortError, Ports, check_free
from celeriac.local.probe import aws_answers, status
from celeriac.local.schedules import Schedules
from celeriac.local.supervisor import Program, Supervisor
from celeriac.local.terminal import Terminal
from celeriac.local.watching import ProjectFiles
from celeriac.local.welcome import welcome
from celeriac.settings import settings
from celeriac.storage import keys
from celeriac.storage.services import services

STATE = environment.FILE.parent
API_KEY_FILE = STATE / "api-key"
LOCK_FILE = STATE / "lock"
#: The entries of the project's ``beat_schedule``, which the API reads: it imports no Celery app.
BEAT_FILE = STATE / "beat.json"

START_SECONDS = 60
#: How long a changed project's imports may take, at least. Those of the start may take longer.
SHORTEST_PATIENCE = timedelta(seconds=10)
#: Settings of a worker that restarts often, unless the shell has others. A running task gets a
#: second to finish, then the new worker takes it over. A message that the old worker was just
#: receiving returns to the queue in 15 s instead of a minute.
RESTARTED_OFTEN = {f"{PREFIX}DRAIN_WINDOW": "PT1S", f"{PREFIX}VISIBILITY": "PT15S"}


class FolderInUseError(Exception):
    """Another `celeriac dev` runs in this folder."""

    def __init__(self, process: str) -> None:
        super().__init__(
            f"`celeriac dev` is running in this folder already, as process {process}. "
            "End it first, with Ctrl-C."
        )


class FaultyProjectError(Exception):
    """The project can't run. The message has a line for each fault."""

    def __init__(self, inspection: Inspection) -> None:
        super().__init__("\n".join(str(fault) for fault in inspection.faults if not fault.warning))


@dataclass
class Stack:
    """The stack of one project, which is in the current folder."""

    terminal: Terminal
    ports: Ports
    files: ProjectFiles = field(default_factory=lambda: ProjectFiles(Path.cwd()))
    #: After a change, no import that never ends holds up the next change for longer.
    patience: timedelta = SHORTEST_PATIENCE

    def run(self, *, keep: bool) -> None:
        """Start everything, say how to use it, and restart what runs the project's changed code.

        Args:
            keep: AWS, with its records, goes on running when this ends.

        Raises:
            FaultyProjectError, FolderInUseError, PortError: it can't start. Nothing has.
            Interrupted, ProgramEnded, NotReady: see ``celeriac.local.supervisor``.
        """
        with _only_one():
            aws = KeptAws(STATE)
            kept_at = aws.port
            self._check_ports(kept_at)
            variables = environment.variables(self.ports.aws_url)
            variables[f"{PREFIX}BEAT_FILE"] = str(BEAT_FILE.absolute())
            variables |= {
                name: value for name, value in RESTARTED_OFTEN.items() if name not in os.environ
            }
            environment.enter(variables)
            started_at = time.monotonic()
            inspection = inspect()
            if inspection.fatal:
                raise FaultyProjectError(inspection)
            took = timedelta(seconds=time.monotonic() - started_at)
            self.patience = max(SHORTEST_PATIENCE, 3 * took)
            try:
                with Supervisor(self.terminal.say) as supervisor:
                    self._say("Starting AWS, the API and a worker; Ctrl-C ends them.")
                    if kept_at is not None:
                        self._say("AWS has been running, with its records.")
                    elif keep:
                        aws.start(self.ports.aws)
                    else:
                        port = str(self.ports.aws)
                        supervisor.start(_python("aws", "celeriac.local.aws", "--port", port))
                    environment.FILE.write_text(environment.to_shell(variables))
                    self._serve(supervisor)
            finally:
                environment.FILE.unlink(missing_ok=True)
                if aws.port is not None:
                    self._say("AWS keeps running with its records. End it: celeriac dev --stop")

    def _serve(self, supervisor: Supervisor) -> None:
        supervisor.wait_until(
            lambda: aws_answers(self.ports.aws_url), seconds=START_SECONDS, what="AWS to answer"
        )
        inspection = inspect(provision=True)
        if inspection.fatal:
            raise FaultyProjectError(inspection)
        self.files.roots |= inspection.roots
        api_key = _api_key()
        for program in self._programs(inspection):
            supervisor.start(program)
        supervisor.wait_until(
            self._api_answers, seconds=START_SECONDS, what="the API to be ready", of="api"
        )
        self._say_faults(inspection)
        self.terminal.show(welcome(self.ports, api_key, API_KEY_FILE, inspection.sample))
        ended = threading.Event()
        threading.Thread(target=self._reload, args=(supervisor, ended), daemon=True).start()
        try:
            with Schedules(services(), fire_in_child, self._say):
                supervisor.watch()
        finally:
            ended.set()

    def _reload(self, supervisor: Supervisor, ended: threading.Event) -> None:
        """Inspect the project after each change, and have the supervisor restart it."""
        try:
            for changed in self.files.changes(ended):
                inspection = inspect(provision=True, longest=self.patience)
                if not ended.is_set():
                    supervisor.call_soon(partial(self._restart, supervisor, changed, inspection))
        except OSError as error:
            self._say(f"Files can't be watched, so no change restarts anything: {error}")

    def _restart(self, supervisor: Supervisor, changed: str, inspection: Inspection) -> None:
        self.files.roots |= inspection.roots
        self._say_faults(inspection)
        if inspection.fatal:
            self._say("The API and the worker keep running as they were until that is corrected.")
        else:
            self._say(f"{changed} has changed: restarting the API and the worker.")
            supervisor.restart(*self._programs(inspection))

    def _programs(self, inspection: Inspection) -> list[Program]:
        worker = _python("worker", "celeriac.worker")
        factory = ["--factory"] if inspection.plain else []
        api = _python(
            *("api", "uvicorn", inspection.api, *factory),
            *("--host", HOST, "--port", str(self.ports.api)),
            # Callers that wait for a change of a task are cut off.
            *("--timeout-graceful-shutdown", "1"),
        )
        return [worker, api]

    def _check_ports(self, kept_at: int | None) -> None:
        if kept_at is None:
            check_free("AWS_PORT", self.ports.aws)
        elif kept_at != self.ports.aws:
            raise PortError(
                "AWS_PORT",
                self.ports.aws,
                f"is not the one that this folder's AWS runs on, {kept_at}; "
                "`celeriac dev --stop` ends that",
            )
        check_free("API_PORT", self.ports.api)

    def _api_answers(self) -> bool:
        """Whether it is ready. An API that serves Celeriac under a path of its own just answers."""
        answer = status(f"{self.ports.api_url}/health/ready")
        return answer is not None and answer < HTTPStatus.INTERNAL_SERVER_ERROR

    def _say(self, line: str) -> None:
        self.terminal.say("", line)

    def _say_faults(self, inspection: Inspection) -> None:
        for fault in inspection.faults:
            self._say(str(fault))


def stop() -> bool:
    """End the AWS that `celeriac dev --keep` left running. Returns whether there was one.

    Raises:
        FolderInUseError: `celeriac dev` is using it.
    """
    with _only_one():
        return KeptAws(STATE).stop()


def _python(name: str, module: str, *arguments: str) -> Program:
    command = [sys.executable, "-m", module, *arguments]
    return Program(name=name, command=command, restarted=name != "aws")


@contextmanager
def _only_one() -> Iterator[None]:
    """Hold this folder's lock. The system releases it when the process ends."""
    STATE.mkdir(exist_ok=True)
    with LOCK_FILE.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise FolderInUseError(file.read().strip()) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _api_key() -> str:
    """The key of an earlier run, or a new one, known to this run's API.

    The file is the only copy: AWS holds a hash, and loses it when it ends.
    """
    if API_KEY_FILE.exists():
        secret = API_KEY_FILE.read_text().strip()
    else:
        secret = keys.generate()
        API_KEY_FILE.touch(mode=0o600)
        API_KEY_FILE.write_text(f"{secret}\n")
    API_KEY_FILE.chmod(0o600)
    registered = services().keys
    registered.register(secret, name="celeriac dev", tenant=settings().tenant, scopes=keys.Scope)
    return secret
