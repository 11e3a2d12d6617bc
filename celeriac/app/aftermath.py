"""What a task may have changed in its process, and what the next task relies on, is put back.

A task is somebody's code, and may call a library that changes its process: its signals, its timer,
its directory, its output. The pool, Celery and the next task need them as they were.

Standard input, output and error are put back by number, too. The next connection to AWS would take
the number of a closed one, and log lines would go there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The pool's, Celery's and ours (``celeriac.app.interruption``), and those that end a process.
_SIGNALS = (
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

#: Standard input, output and error.
_STANDARD = (0, 1, 2)


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of the user's, and put back what it has changed."""
    before = _Process() if _has_a_process_of_its_own() else None
    try:
        return function(*args, **kwargs)
    finally:
        if before is not None:
            before.put_back()


def _has_a_process_of_its_own() -> bool:
    """Whether a pool of processes runs this. Among threads nothing can be put back."""
    return threading.current_thread() is threading.main_thread()


class _Process:
    """What this process is like before a task."""

    def __init__(self) -> None:
        self._directory = _directory()
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._recursion = sys.getrecursionlimit()
        self._output = sys.stdout, sys.stderr
        self._files = {number: os.dup(number) for number in _STANDARD if _is_open(number)}

    def put_back(self) -> None:
        for number, copy in self._files.items():
            if not _is_open(number) or not os.path.sameopenfile(number, copy):
                os.dup2(copy, number)
            os.close(copy)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        sys.stdout, sys.stderr = self._output
        if self._directory is not None and _directory() != self._directory:
            os.chdir(self._directory)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None  # removed
