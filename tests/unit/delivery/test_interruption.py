"""Raising an exception inside a running task: in a thread of this process, or in a child."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.app import interruption
from celeriac.contract import Cancelled


def count_for_long() -> None:
    """Run Python code, as what can be interrupted does."""
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        pass
    raise AssertionError("nobody interrupted it")


@contextmanager
def switching_often() -> Iterator[None]:
    """Have the interpreter switch threads so often that they meet at every place."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("error", [Cancelled, SoftTimeLimitExceeded])
def test_the_task_that_is_meant_is_interrupted_and_no_other(error: type[BaseException]) -> None:
    """Each of the threads runs a task of its own."""
    end = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(interruption.run, "other", end.wait, 10)
        meant = threads.submit(interruption.run, "meant", count_for_long)
        while not interruption.interrupt("meant", error):
            time.sleep(0.001)

        assert isinstance(meant.exception(5), error)
        end.set()
        assert other.result(5) is True


def test_a_task_that_nobody_runs_is_not_interrupted() -> None:
    """Nor is one that is over: its thread is at something else."""
    interruption.run("over", lambda: None)

    assert not interruption.interrupt("over", Cancelled)


def test_whatever_the_moment_nothing_is_raised_but_inside() -> None:
    """The engine's own code, before and after a task's, isn't to be interrupted."""
    stop = threading.Event()
    names: dict[int, str] = {}
    counts = {"inside": 0, "outside": 0, "ran": 0}

    def run_tasks() -> None:
        me = threading.get_ident()
        while not stop.is_set():
            try:
                names[me] = f"{me}-{counts['ran']}"
                try:
                    interruption.run(names[me], sum, range(300))
                except Cancelled:
                    counts["inside"] += 1
                sum(range(100))
                counts["ran"] += 1
            except Cancelled:
                counts["outside"] += 1

    threads = [threading.Thread(target=run_tasks) for _ in range(2)]
    with switching_often():
        for thread in threads:
            thread.start()
        ends_at = time.monotonic() + 60
        while counts["inside"] < 500 and time.monotonic() < ends_at:
            for name in tuple(names.values()):
                interruption.interrupt(name, Cancelled)
            time.sleep(0.00005)
        stop.set()
        for thread in threads:
            thread.join()

    assert counts["inside"] >= 500
    assert counts["outside"] == 0
    assert not any(interruption.interrupt(name, Cancelled) for name in names.values())


PARENT = """
import os
import resource
import sys

from celeriac.app import interruption
from celeriac.contract import Cancelled

child_is_ready, parent_has_asked = os.pipe(), os.pipe()
pid = os.fork()
if pid:
    os.read(child_is_ready[0], 1)
    # As on a full disk: nothing can be written to any file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    interruption.ask(pid, sys.argv[1])
    os.write(parent_has_asked[1], b"x")
    os.waitpid(pid, 0)
else:
    interruption.install()
    os.write(child_is_ready[1], b"x")
    os.read(parent_has_asked[0], 1)
    for task in ("this", "next"):
        try:
            interruption.run(task, print, task, "ran")
        except Cancelled:
            print(task, "was cancelled")
"""


@pytest.mark.parametrize(
    ("asked", "printed"),
    [
        ("this", ["this was cancelled", "next ran"]),
        ("next", ["this ran", "next was cancelled"]),
        ("another", ["this ran", "next ran"]),
    ],
)
def test_a_child_that_is_asked_before_its_task_begins_ends_it_there(
    asked: str, printed: list[str]
) -> None:
    """The signal comes once, and may come while the task's input is being fetched."""
    command = [sys.executable, "-c", PARENT, asked]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.splitlines() == printed


@pytest.mark.parametrize(
    "asks", ["", "interruption.interrupt('t', Cancelled)"], ids=["let alone", "interrupted"]
)
def test_an_interpreter_that_has_run_a_task_can_be_traced(asks: str) -> None:
    """Nothing is left that has it look for exceptions at each step.

    With that, ``sys.settrace`` ends in an endless loop in Python 3.11: so does a debugger.
    """
    program = f"""
import contextlib, sys
from celeriac.app import interruption
from celeriac.contract import Cancelled

def task():
    {asks or "pass"}

with contextlib.suppress(Cancelled):
    interruption.run("t", task)

def traced(number):
    return number + 1

sys.settrace(lambda *_: None)
assert traced(1) == 2
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
