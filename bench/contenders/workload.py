"""The work of a benchmarked task: it waits, or does nothing, and notes its end in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: The variable with the file of ends: a line with the clock's seconds for each.
FILE = "BENCH_ENDS_FILE"


def work(seconds: float) -> None:
    """Wait for so many seconds, and note the end."""
    if seconds:
        time.sleep(seconds)
    # A short write to a file opened for appending is atomic.
    file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{time.monotonic():.6f}\n".encode())
    finally:
        os.close(file)


def ends(path: Path) -> list[float]:
    """The times at which tasks have ended so far, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(map(float, lines))
