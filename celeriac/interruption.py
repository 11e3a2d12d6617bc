"""Raising ``Cancelled`` inside a running task, from a signal of the worker's main process.

The main process sees that a caller wants an end; the task runs in a child. A signal can't say
which task it means, and the child may be at another one when it arrives: so the main process
writes the task's id into a file named by the child's pid, and the child compares.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tasks.contract import Cancelled

#: Celery and billiard use SIGUSR1, for soft time limits.
SIGNAL = signal.SIGUSR2

_running: str | None = None


@contextmanager
def allowed(task_id: str) -> Iterator[None]:
    """Inside, a request to interrupt this task raises ``Cancelled``."""
    global _running  # noqa: PLW0603 - a process runs one task at a time
    _running = task_id
    try:
        yield
    finally:
        _running = None


def install() -> None:
    """Let this child process be interrupted."""
    signal.signal(SIGNAL, _on_signal)


def ask(pid: int, task_id: str) -> None:
    """Have the child of this pid raise ``Cancelled``, if it is still at this task."""
    path = _note(pid)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(task_id)
    unfinished.replace(path)
    os.kill(pid, SIGNAL)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    note = _note(os.getpid())
    try:
        wanted = note.read_text()
    except FileNotFoundError:
        return
    note.unlink(missing_ok=True)
    if wanted == _running:
        raise Cancelled


def _note(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"celeriac-cancel-{pid}"
