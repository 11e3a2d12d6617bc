"""What a task changes in its process is as it was before when the next one begins."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, socket, sys
from celeriac.app import aftermath

def state():
    files = [(os.fstat(number).st_dev, os.fstat(number).st_ino) for number in (0, 1, 2)]
    handlers = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    timer = signal.getitimer(signal.ITIMER_REAL)
    opened = len(os.listdir("/proc/self/fd"))
    return files, handlers, timer, os.getcwd(), sys.getrecursionlimit(), sys.stdout, opened

kept = []

def connect():
    # Takes the number that was closed.
    kept.append(socket.socketpair())
    return kept[-1][0].fileno()

def change():
    {change}

before = state()
try:
    aftermath.run(change)
except ZeroDivisionError:
    pass
for pair in kept:
    for each in pair:
        each.detach() if each.fileno() in (0, 1, 2) else each.close()
assert state() == before, (state(), before)
print("as before")
"""


@pytest.mark.parametrize(
    "change",
    [
        "pass",
        "1 / 0",
        "os.close(1)",
        "os.close(1); os.close(2); os.close(0)",
        "os.close(1); assert connect() == 1",
        "os.close(2); assert connect() == 2; 1 / 0",
        "os.dup2(2, 1)",
        "sys.stdout = None",
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN); signal.signal(signal.SIGTERM, print)",
        "signal.setitimer(signal.ITIMER_REAL, 60)",
        "os.chdir('/')",
        "sys.setrecursionlimit(500)",
    ],
)
def test_a_process_is_as_before_after_a_task(change: str) -> None:
    """Whether the task returns or raises: files, handlers, timer, directory, limit, output."""
    command = [sys.executable, "-c", PROGRAM.replace("{change}", change)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "as before\n", done.stderr
