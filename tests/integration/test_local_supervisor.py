"""The supervisor, over stand-in programs that say who they are and have a child of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.processes import PATIENCE_SECONDS, is_alive, wait_for

ROOT = Path(__file__).parents[2]

# Leaves a file named after itself for each life, and for the child it starts.
PROGRAM = """
import os, pathlib, signal, sys, time
directory, name = sys.argv[1:3]
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    name += "-child"
pathlib.Path(directory, f"{name}.{os.getpid()}").touch()
sys.stdout.write(f"{name} runs\\n")  # in one go, for two processes write here
time.sleep(600)
"""

SUPERVISOR = """
import sys
from celeriac.local.supervisor import Backoff, Interrupted, Program, ProgramEnded, Supervisor

def program(name, *more, **options):
    command = [sys.executable, sys.argv[1], sys.argv[2], name, *more]
    return Program(name=name, command=command, **options)

def say(name, line):
    # In one go, for each program has a thread that says its lines.
    sys.stdout.write(f"{name or 'supervisor'}: {line}\\n")
    sys.stdout.flush()

try:
    with Supervisor(say, grace=float(sys.argv[3]), backoff=Backoff(first=0.1)) as supervisor:
        supervisor.start(program("api"))
        supervisor.start(program("worker", *sys.argv[4:], restarted=True))
        supervisor.watch()
except Interrupted:
    sys.exit(0)
except ProgramEnded as end:
    sys.exit(str(end))
"""


class Supervised:
    """A supervisor with two programs in a process of its own."""

    def __init__(self, directory: Path, *more: str, grace: float = 20) -> None:
        self.lives = directory / "lives"
        self.lives.mkdir()
        self.program = directory / "program.py"
        self.program.write_text(PROGRAM)
        self._output = directory / "output"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, self.program, self.lives, str(grace), *more],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        names = ("api", "api-child", "worker", "worker-child")
        wait_for(lambda: all(self.pids(name) for name in names), "all to run")

    @property
    def output(self) -> str:
        return self._output.read_text()

    def pids(self, name: str = "*") -> list[int]:
        """Of every life so far, ended ones included."""
        return [int(path.suffix[1:]) for path in self.lives.glob(f"{name}.*")]

    def alive(self) -> list[int]:
        return [pid for pid in self.pids() if is_alive(pid)]


Start = Callable[..., Supervised]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Start]:
    """Start a supervisor; whatever it leaves behind ends with the test."""
    started: list[Supervised] = []

    def start(*more: str, grace: float = 20) -> Supervised:
        started.append(Supervised(tmp_path, *more, grace=grace))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
        for pid in each.alive():
            os.kill(pid, signal.SIGKILL)


def test_a_worker_that_dies_is_started_again(supervised: Start) -> None:
    """A killed worker is replaced, its children go with it, and the user is told."""
    stack = supervised()
    [worker], [child] = stack.pids("worker"), stack.pids("worker-child")

    os.kill(worker, signal.SIGKILL)

    wait_for(lambda: len(stack.pids("worker")) == 2, "a second worker")
    wait_for(lambda: not is_alive(child), "the first one's child to go")
    assert "supervisor: worker ended (killed by SIGKILL); starting it in 0.1 s." in stack.output
    assert stack.process.poll() is None


def test_a_worker_that_keeps_dying_waits_longer_each_time(supervised: Start) -> None:
    """Restarts of a program that dies at once are ever further apart."""
    stack = supervised()

    def has_lived(lives: int) -> bool:
        return len(stack.pids("worker")) == lives

    for life in range(1, 4):
        wait_for(partial(has_lived, life), f"life {life}")
        os.kill(next(pid for pid in stack.pids("worker") if is_alive(pid)), signal.SIGKILL)

    wait_for(lambda: "starting it in 0.4 s" in stack.output, "the third restart")
    delays = [line.split()[-2] for line in stack.output.splitlines() if "starting it" in line]
    assert delays == ["0.1", "0.2", "0.4"]


def test_the_end_of_the_api_ends_everything(supervised: Start) -> None:
    """Without the API there is no point in the rest: all ends, as a failure that says why."""
    stack = supervised()

    os.kill(stack.pids("api")[0], signal.SIGKILL)

    assert stack.process.wait(PATIENCE_SECONDS) == 1
    assert stack.output.endswith("api ended (killed by SIGKILL), so everything ends.\n")
    assert stack.alive() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(supervised: Start, number: signal.Signals) -> None:
    """Ctrl-C, being told to end and a closed terminal leave no process behind."""
    stack = supervised()

    stack.process.send_signal(number)

    assert stack.process.wait(PATIENCE_SECONDS) == 0
    assert stack.alive() == []


def test_a_deaf_worker_is_killed_after_its_grace(supervised: Start) -> None:
    """A program that ignores SIGTERM is killed, and its children with it."""
    stack = supervised("deaf", grace=0.3)

    stack.process.terminate()

    assert stack.process.wait(PATIENCE_SECONDS) == 0
    assert stack.alive() == []


def test_a_second_ctrl_c_does_not_wait(supervised: Start) -> None:
    """A second Ctrl-C ends everything at once."""
    stack = supervised("deaf", grace=600)

    stack.process.send_signal(signal.SIGINT)
    wait_for(lambda: "supervisor: Ending" in stack.output, "the first to arrive")
    stack.process.send_signal(signal.SIGINT)

    assert stack.process.wait(PATIENCE_SECONDS) == 0
    assert stack.alive() == []


def test_a_killed_supervisor_leaves_nothing_behind(supervised: Start) -> None:
    """SIGKILL can't be handled, and still no child outlives the supervisor."""
    stack = supervised()

    stack.process.kill()

    wait_for(lambda: stack.alive() == [], "all to be gone")


def test_lines_carry_the_name_of_their_program(supervised: Start) -> None:
    """What a program prints, or its child, appears after its name."""
    stack = supervised()

    lines = {"api: api runs", "worker: worker runs", "worker: worker-child runs"}
    wait_for(lambda: lines <= set(stack.output.splitlines()), "all lines")
