"""Bounds on one task's memory, output and time."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.shared.faults import Fault


@contextmanager
def ceiling(memory: int, output: int) -> Iterator[None]:
    """Let the block allocate ``memory`` bytes more, and write files of ``output`` bytes at most.

    Each library's own limits come first; this one holds where a library has none. Allocations
    past it fail as ``MemoryError``, which becomes ``too-much-memory`` here. The limits apply to
    the whole process, so they fit a worker that runs one task in each. Linux counts the data
    segment and private mappings (``RLIMIT_DATA``, setrlimit(2)). Elsewhere only the output is
    bounded.
    """
    soft = {resource.RLIMIT_FSIZE: output}
    if sys.platform == "linux":
        soft[resource.RLIMIT_DATA] = _data_bytes() + memory
    before = {which: resource.getrlimit(which) for which in soft}
    try:
        for which, value in soft.items():
            resource.setrlimit(which, (_lower(value, before[which]), before[which][1]))
        yield
    except MemoryError as error:
        raise Fault.TOO_MUCH_MEMORY.error() from error
    finally:
        for which, value_before in before.items():
            resource.setrlimit(which, value_before)


@contextmanager
def in_time() -> Iterator[None]:
    """Make the end of the task's time, if it comes in this block, a fault of the file.

    The same file would take as long in the next attempt, so there is none.
    """
    from celery.exceptions import SoftTimeLimitExceeded

    try:
        yield
    except SoftTimeLimitExceeded as error:
        raise Fault.TOO_MUCH_TIME.error() from error


def _data_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status has no VmData line, which proc(5) promises.")
    return int(found[1]) * 1024


def _lower(wanted: int, now: tuple[int, int]) -> int:
    known = [value for value in now if value != resource.RLIM_INFINITY]
    return min([wanted, *known])
