"""Raising an exception inside a running task, from outside of it.

The worker's main process sees that a caller wants an end. In a pool of processes the task runs in a
child, which gets a signal. A signal can't say which task it means, and the child may run another
task when it arrives. So the main process leaves a note of pid and task in memory that it shares
with its children, and the child compares. A child that is about to begin finds it then:

    main process   writes the note, signals ─────────────────────────►
    child          fetches the input   ▲ not at it yet   begins, reads the note: Cancelled

In a pool of threads, a task runs in a thread of this process. The interpreter raises the exception
there when the thread next runs Python code (``PyThreadState_SetAsyncExc``). It can't interrupt a
call that waits in C, such as a ``sleep`` or a read from a socket, and a thread can't be killed.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import signal
import threading
from collections.abc import Callable
from itertools import cycle
from types import FrameType
from typing import ParamSpec, TypeVar

from celeriac.contract import Cancelled

P = ParamSpec("P")
T = TypeVar("T")

#: Celery and billiard use SIGUSR1, for soft time limits.
SIGNAL = signal.SIGUSR2

#: docs.python.org/3/c-api/init.html. The next one replaces one that hasn't been raised yet.
_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()


class _TakenBack(BaseException):
    """Raised in place of an interruption that comes too late."""


_NOTE_BYTES = 24
#: Notes that are no longer wanted are overwritten: a task that is asked and goes on is killed soon.
_NOTES = 512
#: Anonymous memory, which a full disk can't take away. Made before the pool forks its processes.
_notes = mmap.mmap(-1, _NOTE_BYTES * _NOTES)
_places = cycle(range(0, _NOTE_BYTES * _NOTES, _NOTE_BYTES))

#: The threads that run a task and may be interrupted. A child process has one at most.
_running: dict[int, str] = {}
#: Those of them that were to be interrupted.
_asked: set[int] = set()
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
            asked = thread in _asked
            _asked.discard(thread)
        if asked:
            _take_back(thread)


def interrupt(task_id: str, error: type[BaseException]) -> bool:
    """Raise this in the thread of this process that runs a task; whether there is one."""
    with _lock:
        threads = [thread for thread, running in _running.items() if running == task_id]
        for thread in threads:
            _asked.add(thread)
            _set_exception(thread, error)
    return bool(threads)


def _take_back(thread: int) -> None:
    """Take back what was asked of this thread and hasn't been raised.

    Each call of ``_set_exception`` sets a flag that has the interpreter look for exceptions at
    every step, and only raising one clears it. So another one is raised here in its place. A flag
    that stays costs time, and in Python 3.11 ``sys.settrace`` with it ends in an endless loop.
    """
    try:
        _set_exception(thread, _TakenBack)
        while True:
            pass
    except _TakenBack:
        return
    except BaseException:
        # A signal's own exception came first.
        _set_exception(thread, _NOTHING)
        raise


def install() -> None:
    """Let this child process be interrupted."""
    signal.signal(SIGNAL, _on_signal)


def ask(pid: int, task_id: str) -> bool:
    """Have the process of this pid raise ``Cancelled``, if it is still at this task.

    False if it is this process, and isn't at it. What a child makes of it can't be known.
    """
    if pid == os.getpid():
        return interrupt(task_id, Cancelled)
    place = next(_places)
    _notes[place : place + _NOTE_BYTES] = _note(pid, task_id)
    os.kill(pid, SIGNAL)
    return True


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    _raise_if_asked(*_running.values())


def _raise_if_asked(*running: str) -> None:
    # One for another task stays: that one may be about to begin. If it has ended, nobody minds.
    for task_id in running:
        place = _notes.find(_note(os.getpid(), task_id))
        if place >= 0:
            _notes[place : place + _NOTE_BYTES] = bytes(_NOTE_BYTES)
            raise Cancelled


def _note(pid: int, task_id: str) -> bytes:
    digest = hashlib.blake2b(task_id.encode(), digest_size=_NOTE_BYTES - 8).digest()
    return pid.to_bytes(8) + digest
