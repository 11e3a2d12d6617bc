"""AWS on this machine: moto's server, in a child process that never outlives its parent.

    with AwsServer() as aws:
        provision(settings_at(aws.endpoint), catalogue(), aws.endpoint)

``python -m celeriac.local.aws --port 5055`` serves in the foreground.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
READY = "AWS is served at "
STOP_GRACE_SECONDS = 5.0
FILE_POLL_SECONDS = 0.2


class AwsServerError(RuntimeError):
    """The server didn't start, or isn't running."""


class AwsServer:
    """moto's server as a child process. Its state dies with it.

    ``port`` 0 takes a free port. The child watches for the end of its standard input, so it ends
    with this process, even if this process is killed.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._endpoint = ""

    @property
    def endpoint(self) -> str:
        """The URL for ``AWS_ENDPOINT_URL``. It stays the same over ``stop`` and ``start``."""
        if not self._endpoint:
            raise AwsServerError("The AWS server has no endpoint before start().")
        return self._endpoint

    @property
    def pid(self) -> int:
        """The child's process id, for tests that freeze or kill it."""
        if self._process is None:
            raise AwsServerError("The AWS server has no process before start().")
        return self._process.pid

    def command(self) -> list[str]:
        """The arguments for Python: the child prints ``READY`` and its URL, then serves."""
        return ["-m", "celeriac.local.aws", "--port", str(self._port)]

    def start(self) -> Self:
        """Start, and return once requests are answered.

        Raises:
            AwsServerError: it is running already, or the port is taken.
        """
        if self._process is not None:
            raise AwsServerError(f"The AWS server runs at {self._endpoint} already: stop() it.")
        process = subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, *self.command(), "--until-stdin-ends"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        line = process.stdout.readline()
        if not line.startswith(READY):
            _end(process)
            raise AwsServerError(f"The AWS server didn't start on port {self._port}: see above.")
        self._process = process
        self._endpoint = line.removeprefix(READY).strip()
        self._port = int(self._endpoint.rpartition(":")[2])
        return self

    def stop(self) -> None:
        """Stop; all state is lost. Nothing happens if it isn't running."""
        if self._process is not None:
            _end(self._process)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _serve(port: int) -> None:
    """Serve until a signal ends the process. ``port`` 0 takes a free one."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from celeriac.local import conditional_writes, queue_attributes, scheduler_rules

    conditional_writes.make_atomic()
    queue_attributes.count_only_when_asked()
    scheduler_rules.enforce_in_moto()
    # Hide the line for each request; show failures inside moto.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        HOST,
        port,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    # moto calls itself under this name, e.g. to hand an S3 event to SQS.
    os.environ["MOTO_PORT"] = str(server.port)
    sys.stdout.write(f"{READY}http://{HOST}:{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _end_with(file: Path) -> None:
    while file.exists():
        time.sleep(FILE_POLL_SECONDS)
    os._exit(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m celeriac.local.aws", description="AWS, by moto."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the parent")
    parser.add_argument("--while-exists", type=Path, help="end when this file is removed")
    arguments = parser.parse_args()
    if arguments.while_exists:
        file = arguments.while_exists.absolute()
        threading.Thread(target=_end_with, args=(file,), daemon=True).start()
    if arguments.until_stdin_ends:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    _serve(arguments.port)


if __name__ == "__main__":
    main()
