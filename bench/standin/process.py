"""The stand-in as a child process, and what tests and benchmarks ask of it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from bench.standin.faults import Fault
from bench.standin.server import READY

_STOP_GRACE_SECONDS = 5.0


class StandinError(RuntimeError):
    """The stand-in didn't start, or ended."""


class Standin:
    """AWS as a child process that ends with this one, however this one ends.

    ``latency`` passes before each call is performed; ``port`` 0 takes a free one.
    """

    def __init__(self, *, latency: timedelta = timedelta(0), port: int = 0) -> None:
        self._latency = latency
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self.endpoint = ""

    @property
    def pid(self) -> int:
        """The child's process id. Raises ``StandinError`` before ``start``."""
        if self._process is None:
            raise StandinError("The stand-in has no process before start().")
        return self._process.pid

    def start(self) -> Self:
        """Start, and return once requests are answered. Raises ``StandinError``."""
        process = subprocess.Popen(  # noqa: S603 - our own module
            [
                *(sys.executable, "-m", "bench.standin", "--port", str(self._port)),
                *("--latency", str(self._latency.total_seconds()), "--until-stdin-ends"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._process = process
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        if not line.startswith(READY):
            self.stop()
            raise StandinError(f"The stand-in didn't start on port {self._port}: see above.")
        self.endpoint = line.removeprefix(READY).strip()
        return self

    def stop(self) -> None:
        """Stop; all state is lost."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def inject(self, *faults: Fault) -> None:
        """Let these faults be in force from now on, and no others."""
        self._ask("PUT", "/_faults", [asdict(each) for each in faults])

    def heal(self) -> None:
        """End all faults."""
        self.inject()

    def outage(self, duration: timedelta) -> None:
        """Close all connections and refuse new ones for so long. State is kept."""
        self._ask("POST", "/_outage", duration.total_seconds())

    def set_latency(self, latency: timedelta) -> None:
        self._ask("PUT", "/_latency", latency.total_seconds())

    def calls(self) -> Counter[str]:
        """How often each operation was called, such as ``sqs.SendMessage``."""
        return Counter(self.stats()["calls"])

    def stats(self) -> dict[str, Any]:
        """Counts of calls, faults, duplicates, and index writes by table."""
        stats: dict[str, Any] = self._ask("GET", "/_stats")
        return stats

    def reset_stats(self) -> None:
        self._ask("DELETE", "/_stats")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.endpoint + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)
