"""Runs programs side by side, shows what they print, and ends them all together.

    with Supervisor(say) as supervisor:
        supervisor.start(Program(name="api", command=["uvicorn", "api.app:app"]))
        supervisor.wait_until(answers, seconds=30, what="the API to answer")
        supervisor.watch()

The body is left by an exception: ``Interrupted`` on SIGINT, SIGTERM and SIGHUP, ``ProgramEnded``
when a program ends that the others can't do without. Leaving it ends every process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Self

from local.guardian import Guardian, kill_group

# Called with the name of who speaks ("" is the supervisor itself) and one line.
Say = Callable[[str, str], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.1
LAST_LINES_SECONDS = 1.0


class Interrupted(Exception):
    """A signal asked for the end."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"{number.name} received")
        self.signal = number


class ProgramEnded(Exception):
    """A program ended that the others can't do without."""

    def __init__(self, name: str, returncode: int) -> None:
        super().__init__(f"{name} ended ({_cause(returncode)}), so everything ends.")
        self.name = name
        self.returncode = returncode


class NotReady(Exception):
    """What was waited for didn't happen in time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"Waited {seconds:.0f} seconds for {what} in vain.")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program to run.

    ``restarted`` programs are started again when they end; the end of another one ends all.
    """

    name: str
    command: Sequence[str]
    restarted: bool = False


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a program is started again, in seconds.

    Not at all after a life of ``steady_after`` or more; ``first`` after a shorter one, and twice
    as long each further time, up to ``longest``.
    """

    first: float = 1
    longest: float = 30
    steady_after: float = 10

    def delay(self, quick_deaths: int) -> float:
        """After this many short lives in a row."""
        return min(self.longest, self.first * 2 ** (quick_deaths - 1)) if quick_deaths else 0


class _Child:
    """A running program, its own session and process group, and the thread that reads it."""

    def __init__(self, program: Program, say: Say, on_end: Callable[[_Child], None]) -> None:
        self.program = program
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 (the caller's command)
            program.command,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(say,), daemon=True)
        self._reader.start()
        # Not the end of its output: that comes only when its last descendant ends.
        threading.Thread(target=self._wait, args=(on_end,), daemon=True).start()

    def _read(self, say: Say) -> None:
        if self.process.stdout is not None:
            with self.process.stdout as lines:
                for line in lines:
                    say(self.program.name, line.rstrip("\r\n"))

    def _wait(self, on_end: Callable[[_Child], None]) -> None:
        self.process.wait()
        on_end(self)

    def terminate(self) -> None:
        # To the main process only: a Celery worker whose children get SIGTERM as well loses
        # their tasks instead of letting them finish.
        self.process.terminate()

    def bury(self) -> None:
        """Kill whatever is left of it, and print its last lines."""
        kill_group(self.process.pid)
        self._reader.join(LAST_LINES_SECONDS)


class Supervisor:
    """Owns the signals of the process while it is entered, so enter it in the main thread.

    ``grace`` is how many seconds a program has to end when told to, before it is killed. A second
    Ctrl-C ends the wait.
    """

    def __init__(self, say: Say, *, grace: float = 5, backoff: Backoff | None = None) -> None:
        self._say = say
        self._grace = grace
        self._backoff = backoff or Backoff()
        self._events: SimpleQueue[_Child | signal.Signals] = SimpleQueue()
        self._running: list[_Child] = []
        self._quick_deaths: dict[str, int] = {}
        self._due: list[tuple[float, Program]] = []

    def __enter__(self) -> Self:
        self._guardian = Guardian()
        self._former = {each: signal.signal(each, self._on_signal) for each in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end_all()
        finally:
            self._guardian.close()
            for each, handler in self._former.items():
                signal.signal(each, handler)

    def start(self, program: Program) -> None:
        """Run this program from now on."""
        child = _Child(program, self._say, self._events.put)
        self._guardian.watch(child.process.pid)
        self._running.append(child)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Return once ``ready()`` is true, which is asked again and again.

        Raises:
            Interrupted, ProgramEnded: see the module.
            NotReady: it wasn't true within ``seconds``.
        """
        give_up_at = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > give_up_at:
                raise NotReady(what, seconds)
            self._handle_events(POLL_SECONDS)

    def watch(self) -> None:
        """Look after the programs; never returns.

        Raises:
            Interrupted, ProgramEnded: see the module.
        """
        while True:
            self._handle_events(POLL_SECONDS)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._events.put(signal.Signals(number))

    def _handle_events(self, seconds: float) -> None:
        self._start_what_is_due()
        try:
            event = self._events.get(timeout=seconds)
        except Empty:
            return
        if isinstance(event, signal.Signals):
            raise Interrupted(event)
        self._bury(event)
        if not event.program.restarted:
            raise ProgramEnded(event.program.name, event.process.returncode)
        self._plan_restart(event)

    def _plan_restart(self, child: _Child) -> None:
        name = child.program.name
        steady = time.monotonic() - child.started_at >= self._backoff.steady_after
        self._quick_deaths[name] = 0 if steady else self._quick_deaths.get(name, 0) + 1
        delay = self._backoff.delay(self._quick_deaths[name])
        when = f"in {delay:g} s" if delay else "now"
        self._say("", f"{name} ended ({_cause(child.process.returncode)}); starting it {when}.")
        self._due.append((time.monotonic() + delay, child.program))

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for entry in [each for each in self._due if each[0] <= now]:
            self._due.remove(entry)
            self.start(entry[1])

    def _bury(self, child: _Child) -> None:
        child.bury()
        self._guardian.forget(child.process.pid)
        self._running.remove(child)

    def _end_all(self) -> None:
        """End one after the other, the last started first: a worker still needs its AWS."""
        patient = True
        if self._running:
            self._say("", "Ending; Ctrl-C again to end without waiting.")
        for child in reversed(self._running.copy()):
            child.terminate()
            patient = patient and self._wait_for(child)
            self._bury(child)

    def _wait_for(self, child: _Child) -> bool:
        """Whether the others have their grace too: not once Ctrl-C was pressed again."""
        give_up_at = time.monotonic() + self._grace
        while child.process.poll() is None and (left := give_up_at - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=min(left, POLL_SECONDS))
            except Empty:
                continue
            if event is signal.SIGINT:
                return False
        return True


def _cause(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"
