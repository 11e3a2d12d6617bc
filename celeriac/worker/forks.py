"""Keeps the main process from forking while one of its threads talks to AWS.

The child would inherit the locks that the thread holds, such as that of the credentials, and wait
for them forever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_changed = threading.Condition()
_forking = False
_talking = 0
_installed = False


def install() -> None:
    """Have each fork of this process wait for those who talk, from now on."""
    global _installed  # noqa: PLW0603 - hooks can't be removed again
    if not _installed:
        _installed = True
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)


@contextmanager
def held_off() -> Iterator[None]:
    """No fork happens inside. Not to be nested: a fork that waits lets nobody in."""
    global _talking  # noqa: PLW0603 - there is one such count to a process
    with _changed:
        _changed.wait_for(lambda: not _forking)
        _talking += 1
    try:
        yield
    finally:
        with _changed:
            _talking -= 1
            _changed.notify_all()


def _before() -> None:
    global _forking  # noqa: PLW0603
    # Kept through the fork, so that the child's copy is its own thread's to release.
    _changed.acquire()
    _forking = True
    _changed.wait_for(lambda: not _talking)


def _after() -> None:
    global _forking  # noqa: PLW0603
    _forking = False
    _changed.notify_all()
    _changed.release()
