"""Kills process groups whose supervisor has died.

A supervisor that is killed with SIGKILL can't end its children. The reaper outlives it by a moment:
it reads ``+group`` and ``-group`` lines from a pipe, and kills the remaining groups when the pipe
ends. Unlike Linux's parent-death signal this reaches grandchildren (a worker's prefork processes)
and works on other systems.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


class Reaper:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "celeriac.local.reaper"],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Kill this process group if we die."""
        self._tell(f"+{group}")

    def unwatch(self, group: int) -> None:
        """This process group has ended; another may get its number soon."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """End the reaper; it kills the groups that it still watches."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


def kill_group(group: int) -> None:
    """Send SIGKILL to every process of this group that is left."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    """Watch until standard input ends, then kill."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    for group in groups:
        kill_group(group)


if __name__ == "__main__":
    main()
