"""What a child process of the pool does before its first task."""

from __future__ import annotations

import ctypes
import signal
from typing import Any

from celeriac import interruption

# linux/prctl.h
_PR_SET_PDEATHSIG = 1


def prepare(**_: Any) -> None:
    """Let the child be interrupted, die with its parent, and outlive a signal to its group."""
    interruption.install()
    # Docker and shells may signal the whole group. The main process decides what becomes of a
    # running task; a child that died first would look as if the task had killed it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Without its main process nobody renews the lease: another worker takes the task over, and
    # this child must not go on beside it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
