"""Runs programs side by side, shows what they print, and ends them all together.

    with Supervisor(say) as supervisor:
        supervisor.start(Program(name="api", command=["uvicorn", "api.app:app"]))
        supervisor.wait_until(answers, seconds=30, what="the API to answer")
        supervisor.watch()

An exception ends the body: ``Interrupted`` on SIGINT, SIGTERM and SIGHUP, ``ProgramEnded`` when a
program ends that the others need. Every process ends with it.
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

from celeriac.local.reaper import Reaper, kill_group

# Called with a program's name ("" is the supervisor itself) and one line of its output.
Say = Callable[[str, str], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.1
RESTART_POLL_SECONDS = 0.02
LAST_LINES_SECONDS = 1.0


class Interrupted(Exception):
    """A signal arrived that ends everything."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"{number.name} received")
        self.signal = number


class ProgramEnded(Exception):
    """A program ended that the others need."""

    def __init__(self, name: str, returncode: int) -> None:
        super().__init__(f"{name} ended ({_cause(returncode)}), so everything ends.")
        self.name = name
        self.returncode = returncode


class NotReady(Exception):
    """A condition didn't hold in time."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"Waited {seconds:.0f} seconds for {what}, without success.")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program to run.

    ``restarted`` programs are started again when they end. Any other program ends all of them.
    """

    name: str
    command: Sequence[str]
    restarted: bool = False


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a program is started again, in seconds.

    A program that lived for ``steady_after`` or longer starts at once. After a shorter life it
    waits for ``first``, and twice as long each further time, up to ``longest``.
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
        # Its output ends later, with its last descendant, so wait for the process itself.
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
        # To the main process only: if a Celery worker's children get SIGTERM too, it loses their
        # tasks instead of letting them finish.
        self.process.terminate()

    def clear(self) -> None:
        """Kill its remaining processes, and print its last lines."""
        kill_group(self.process.pid)
        self._reader.join(LAST_LINES_SECONDS)


class Supervisor:
    """Owns the signals of the process while it is entered, so enter it in the main thread.

    ``grace`` is how many seconds a program has to end after SIGTERM, before it is killed. A second
    Ctrl-C ends the wait.
    """

    def __init__(self, say: Say, *, grace: float = 5, backoff: Backoff | None = None) -> None:
        self._say = say
        self._grace = grace
        self._backoff = backoff or Backoff()
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._running: list[_Child] = []
        self._quick_deaths: dict[str, int] = {}
        self._due: list[tuple[float, Program]] = []

    def __enter__(self) -> Self:
        self._reaper = Reaper()
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
            self._reaper.close()
            for each, handler in self._former.items():
                signal.signal(each, handler)

    def start(self, program: Program) -> None:
        """Start this program, and look after it from now on."""
        child = _Child(program, self._say, self._events.put)
        self._reaper.watch(child.process.pid)
        self._running.append(child)

    def restart(self, *programs: Program) -> None:
        """End the running programs of these names, and start each again as soon as it has ended.

        Raises:
            Interrupted: see the module.
        """
        names = {program.name for program in programs}
        self._due = [entry for entry in self._due if entry[1].name not in names]
        old = {each.program.name: each for each in self._running if each.program.name in names}
        for each in old.values():
            each.terminate()
        give_up_at = time.monotonic() + self._grace
        waiting = list(programs)
        while waiting:
            for program in waiting.copy():
                child = old.get(program.name)
                if child and child.process.poll() is None and time.monotonic() < give_up_at:
                    continue
                if child:
                    self._remove(child)
                self._quick_deaths.pop(program.name, None)
                self.start(program)
                waiting.remove(program)
            self._check_interrupted(RESTART_POLL_SECONDS)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have ``watch`` or ``wait_until`` call this, in its own thread. Any thread may ask."""
        self._events.put(function)

    def wait_until(
        self, ready: Callable[[], bool], *, seconds: float, what: str, of: str | None = None
    ) -> None:
        """Return once ``ready()`` is true. It is called ten times a second.

        Args:
            what: the condition, for the error's message.
            of: the program that makes it true. Its end is an error, even if it is ``restarted``.

        Raises:
            Interrupted, ProgramEnded: see the module.
            NotReady: it wasn't true within ``seconds``.
        """
        give_up_at = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > give_up_at:
                raise NotReady(what, seconds)
            self._handle_events(POLL_SECONDS, needed=of)

    def watch(self) -> None:
        """Look after the programs, until an exception ends it.

        Raises:
            Interrupted, ProgramEnded: see the module.
        """
        while True:
            self._handle_events(POLL_SECONDS)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._events.put(signal.Signals(number))

    def _handle_events(self, seconds: float, needed: str | None = None) -> None:
        self._start_what_is_due()
        try:
            event = self._events.get(timeout=seconds)
        except Empty:
            return
        if isinstance(event, signal.Signals):
            raise Interrupted(event)
        if not isinstance(event, _Child):
            event()
        elif event in self._running:  # and was not ended by ourselves
            self._remove(event)
            if not event.program.restarted or event.program.name == needed:
                raise ProgramEnded(event.program.name, event.process.returncode)
            self._plan_restart(event)

    def _check_interrupted(self, seconds: float) -> None:
        """Sleep, and let other events wait for their turn."""
        time.sleep(seconds)
        kept: list[_Event] = []
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, signal.Signals):
                raise Interrupted(event)
            kept.append(event)
        for event in kept:
            self._events.put(event)

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

    def _remove(self, child: _Child) -> None:
        child.clear()
        self._reaper.unwatch(child.process.pid)
        self._running.remove(child)

    def _end_all(self) -> None:
        """End one after the other, the last started first: a worker still needs its AWS."""
        patient = True
        if self._running:
            self._say("", "Ending; Ctrl-C again to end without waiting.")
        for child in reversed(self._running.copy()):
            child.terminate()
            patient = patient and self._wait_for(child)
            self._remove(child)

    def _wait_for(self, child: _Child) -> bool:
        """Whether the others have their grace too: a second Ctrl-C takes it away."""
        give_up_at = time.monotonic() + self._grace
        while child.process.poll() is None and (left := give_up_at - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=min(left, POLL_SECONDS))
            except Empty:
                continue
            if event is signal.SIGINT:
                return False
        return True


_Event = _Child | signal.Signals | Callable[[], None]


def _cause(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"
