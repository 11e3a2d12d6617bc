"""Writes records in threads, while the event loop goes on."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from celeriac.worker import forks

log = logging.getLogger(__name__)

#: More don't help: by then one process's CPU is the limit.
MOST_THREADS = 32

T = TypeVar("T")


class Writers:
    """Threads that write, and tell the event loop what came of it."""

    def __init__(self, hub: Any, threads: int) -> None:
        self._hub = hub
        self._executor = ThreadPoolExecutor(min(threads, MOST_THREADS), "writer")
        self._answers: deque[Callable[[], None]] = deque()
        self._delayed: set[Callable[[], None]] = set()
        self._reader, self._waker = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._waker, False)
        self.ended = False
        forks.install()
        hub.add_reader(self._reader, self._take_answers)

    def write(self, write: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Call ``write`` in a thread, then ``done`` on the event loop with what it gave or raised.

        Once the event loop has ended, both are called at once.
        """
        if self.ended:
            done(_outcome(write))
        else:
            self._executor.submit(self._write, write, done)

    def later(self, pause: timedelta, again: Callable[[], None]) -> bool:
        """Call something again after a pause; False once the event loop has ended."""
        if not self.ended:
            self._delayed.add(again)
            self._hub.call_later(pause.total_seconds(), partial(self._call_delayed, again))
        return not self.ended

    def finish(self) -> None:
        """See to what is under way, for when the event loop has ended. On its thread."""
        if self.ended:
            return
        self.ended = True
        self._executor.shutdown()
        self._take_answers()
        for again in tuple(self._delayed):
            self._call_delayed(again)
        self._hub.remove(self._reader)
        os.close(self._reader)
        os.close(self._waker)

    def _write(self, write: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        with forks.held_off():
            answer = _outcome(write)
        self._answers.append(partial(done, answer))
        # A full pipe has the event loop awake already.
        with suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def _call_delayed(self, again: Callable[[], None]) -> None:
        if again in self._delayed:
            self._delayed.remove(again)
            again()

    def _take_answers(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._reader, 1024)
        while self._answers:
            self._answers.popleft()()


def _outcome(write: Callable[[], T]) -> T | Exception:
    try:
        return write()
    except Exception as error:  # noqa: BLE001 - the caller decides what it means
        return error
