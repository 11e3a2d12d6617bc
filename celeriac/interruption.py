"""Raising an exception inside a running task, from outside of it.

The worker's main process sees that a caller wants an end. In a pool of processes the task runs in a
child, which gets a signal. A signal can't say which task it means, and the child may be at another
one when it arrives: so the main process writes the task's id into a file named by the child's pid,
and the child compares. One that is about to begin, and fetches its input perhaps, finds the file
when it begins:

    main process   writes the note, signals ─────────────────────────►
    child          fetches the input   ▲ not at it yet   begins, reads the note: Cancelled

In a pool of threads it runs in a thread of this process, in which the interpreter raises the
exception (``PyThreadState_SetAsyncExc``) when it next runs Python code there. It can't interrupt a
call that waits in C, such as a ``sleep`` or a read from a socket; what ignores it can't be killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

from tasks.contract import Cancelled

P = ParamSpec("P")
T = TypeVar("T")

#: Celery and billiard use SIGUSR1, for soft time limits.
SIGNAL = signal.SIGUSR2

#: docs.python.org/3/c-api/init.html. The next one replaces one that hasn't been raised yet.
_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()

#: The threads that are at a task, and may be interrupted. A child process has one at most.
_running: dict[int, str] = {}
#: Between threads. The handler of a signal can't wait for it, and needn't.
_lock = threading.Lock()


def run(task_id: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function; until it has returned, and at no other time, this task is interrupted.

    No context manager: what is raised on the way into one, or out of it, would leave this thread
    among those that may be interrupted.
    """
    thread = threading.get_ident()
    try:
        with _lock:
            _running[thread] = task_id
        _raise_if_asked(task_id)
        return function(*args, **kwargs)
    finally:
        # The interpreter raises when a call returns. From the function's end on, the first that
        # does so has taken this thread from the list: nobody can ask any more.
        with _lock:
            _running.pop(thread, None)
        # What was asked for and hasn't been raised is taken back.
        _set_exception(thread, _NOTHING)


def interrupt(task_id: str, error: type[BaseException]) -> bool:
    """Raise this in the thread of this process that is at a task; whether there is one."""
    with _lock:
        threads = [thread for thread, running in _running.items() if running == task_id]
        for thread in threads:
            _set_exception(thread, error)
    return bool(threads)


def install() -> None:
    """Let this child process be interrupted."""
    signal.signal(SIGNAL, _on_signal)


def ask(pid: int, task_id: str) -> bool:
    """Have the process of this pid raise ``Cancelled``, if it is still at this task.

    False if it is this process, and isn't at it. What a child makes of it can't be known.
    """
    if pid == os.getpid():
        return interrupt(task_id, Cancelled)
    path = _note(pid)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(task_id)
    unfinished.replace(path)
    os.kill(pid, SIGNAL)
    return True


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    _raise_if_asked(*_running.values())


def _raise_if_asked(*running: str) -> None:
    note = _note(os.getpid())
    try:
        wanted = note.read_text()
    except FileNotFoundError:
        return
    # One for another task stays: that one may be about to begin. If it has ended, nobody minds.
    if wanted in running:
        note.unlink(missing_ok=True)
        raise Cancelled


def _note(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"celeriac-cancel-{pid}"
