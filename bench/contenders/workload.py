"""What a benchmarked task does: nothing, or nothing for a while. Each end is noted in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Names the file that ends are noted in: a line with the clock's seconds for each.
FILE = "BENCH_ENDS_FILE"


def work(seconds: float) -> None:
    """Take so many seconds, and note the end."""
    if seconds:
        time.sleep(seconds)
    # One write of few bytes to a file opened for appending is not torn by others.
    file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{time.monotonic():.6f}\n".encode())
    finally:
        os.close(file)


def ends(path: Path) -> list[float]:
    """When the tasks ended that have ended so far, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(map(float, lines))
