"""The stand-in as a child process, and what tests and benchmarks ask of it."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from celeriac.local.aws import AwsServer
from celeriac.local.standin.faults import Fault


class Standin(AwsServer):
    """The stand-in as a child process, started and ended as ``make run``'s AWS is.

    ``latency`` passes before each call is performed; ``port`` 0 takes a free one.
    """

    def __init__(self, *, latency: timedelta = timedelta(0), port: int = 0) -> None:
        super().__init__(port)
        self._latency = latency

    def command(self) -> list[str]:
        latency = ["--latency", str(self._latency.total_seconds())]
        return ["-m", "celeriac.local.standin", "--port", str(self._port), *latency]

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

    def watch(self, keys: str) -> None:
        """Keep the calls of those whose access keys begin like this."""
        self._ask("PUT", "/_watch", keys)

    def kept(self) -> list[dict[str, str]]:
        """One call of each kind that the watched have made, as it was sent."""
        kept: list[dict[str, str]] = self._ask("GET", "/_kept")["calls"]
        return kept

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
