"""A ceiling on the memory and the output of one task, kept by the operating system."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.files import limits
from tasks.files.faults import Fault


@contextmanager
def ceiling(memory: int = limits.MEMORY_BYTES, output: int = limits.OUTPUT_BYTES) -> Iterator[None]:
    """Let the block allocate ``memory`` bytes more, and write files of ``output`` bytes at most.

    The limits of each library come first; this one holds where a library has none. Allocations
    past it fail as ``MemoryError``, which becomes ``too-much-memory`` here. The limits are the
    process's, so this fits a worker that runs one task a process. Linux counts the data segment
    and private mappings (``RLIMIT_DATA``, setrlimit(2)); elsewhere only the output is bounded.
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


def _data_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status has no VmData line, which proc(5) promises.")
    return int(found[1]) * limits.KIB


def _lower(wanted: int, now: tuple[int, int]) -> int:
    known = [value for value in now if value != resource.RLIM_INFINITY]
    return min([wanted, *known])
