"""Processes that a task starts itself: by ``multiprocessing``, a pool, an executor, ``subprocess``.

Celery's pool marks its processes as daemons, which ``multiprocessing`` refuses children. The mark
is for a pool that ends without waiting for them, and ours are waited for.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.process
import os
import signal
import threading
from typing import Any

import billiard.process

# linux/prctl.h
PR_SET_PDEATHSIG = 1

_forked_by_main_thread = False
_mask: set[int] = set()


def allow() -> None:
    """Let the tasks of this process of the pool start others."""
    # Billiard has made this process, and ``multiprocessing`` takes it for one of its own.
    config = billiard.process.current_process()._config  # noqa: SLF001
    config["daemon"] = False
    config["authkey"] = multiprocessing.process.AuthenticationString(  # type: ignore[attr-defined]
        config["authkey"]
    )
    # What else there is when the pool has started this process, billiard replaces.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def outlive_sigterm() -> None:
    """Ignore SIGTERM from now on in a way that a program which the task starts doesn't inherit."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _outlive)


def spawn() -> None:
    """Have the tasks of this process start others from scratch, unless they say otherwise.

    For a pool of threads: a fork would inherit the locks that the worker's other threads hold.
    """
    multiprocessing.set_start_method("spawn", force=True)


def die_with_parent() -> None:
    """Have this process killed when the thread ends that has started it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _outlive(*_: Any) -> None:
    """Do nothing: the main process decides how a running task ends."""


def _before_fork() -> None:
    global _forked_by_main_thread, _mask  # noqa: PLW0603
    _forked_by_main_thread = threading.current_thread() is threading.main_thread()
    # One that comes before the child has its own handler waits until then.
    _mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}))


def _in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


def _in_child() -> None:
    """In a process that a task has forked: end by SIGTERM, and with the task's own process.

    Otherwise ``Pool.terminate()`` would wait forever.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _forked_by_main_thread:
        die_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask)
