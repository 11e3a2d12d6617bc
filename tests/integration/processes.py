"""Waiting for, and looking at, processes that tests start."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

#: Longer than a busy machine of two cores takes for what begins processes.
PATIENCE_SECONDS = 120


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once the condition holds; fail if it doesn't in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {seconds} s without success: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped doesn't."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
