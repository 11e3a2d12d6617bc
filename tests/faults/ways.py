"""Ways for a task's code to end, and what the record says of each."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from botocore.exceptions import ClientError, EndpointConnectionError
from celery import exceptions as celery
from kombu.exceptions import OperationalError

from celeriac import states
from celeriac.errors import NotConfiguredError, UnavailableError
from celeriac.records import LeaseLostError
from celeriac.storage.values import ValueMissingError


@dataclass(frozen=True)
class Way:
    """``failure`` is the type of error in the record; None for a task that succeeds."""

    end: Callable[[], Any]
    failure: str | None = None
    message: str = ""
    #: Not in a pool of threads: there it would end, or change, the worker itself.
    only_in_processes: bool = False

    @property
    def state(self) -> str:
        return states.SUCCESS if self.failure is None else states.FAILURE


# -- what it raises


class OwnInit(ValueError):
    """An exception whose arguments differ from its message, as those of HTTP clients do."""

    def __init__(self, *, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status


class OwnBase(BaseException):
    """An exception that no ``except Exception`` catches."""


class Holding(Exception):
    """An exception that no pickle takes."""

    def __init__(self) -> None:
        super().__init__("held")
        self.lock = threading.Lock()


class Unspeakable(Exception):
    """An exception that can't be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Mute:
    """A value that can't be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Unmakeable(Exception):
    """An exception that can't be made again in another process."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("once only")


def _cancel_inside() -> None:
    async def wait() -> None:
        raise asyncio.CancelledError("the client went away")

    asyncio.run(wait())


def _stop_iteration() -> None:
    raise StopIteration("nothing is left")


def _recurse() -> None:
    _recurse()


def _local_class() -> None:
    class Local(Exception):
        pass

    raise Local("from within")


def _unknown_elsewhere() -> None:
    """Its class is in a module that only this process knows, as one of a changed ``sys.path``."""
    module = types.ModuleType("known_here_only")
    sys.modules[module.__name__] = module
    made = type("Made", (Exception,), {"__module__": module.__name__})
    module.Made = made  # type: ignore[attr-defined]
    raise made("up")


def _caused_by_itself() -> None:
    error = ValueError("round and round")
    other = ValueError("and round")
    error.__cause__, other.__cause__ = other, error
    raise error


def _raise(kind: Callable[..., BaseException], *args: Any, **named: Any) -> Callable[[], None]:
    def end() -> None:
        raise kind(*args, **named)

    return end


def _nested(depth: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


_REFUSED: Any = {"Error": {"Code": "AccessDenied", "Message": "no"}}

RAISED = {
    "value-error": Way(_raise(ValueError, "as it was told to"), "ValueError", "as it was told to"),
    "no-message": Way(_raise(ValueError), "ValueError"),
    "own-init": Way(_raise(OwnInit, status=502, body="bad gateway"), "OwnInit", "502: bad gateway"),
    "unpicklable": Way(_raise(Holding), "Holding", "held"),
    "unspeakable": Way(_raise(Unspeakable, "x"), "Unspeakable"),
    "unmakeable": Way(_raise(Unmakeable, "once"), "Unmakeable", "once"),
    "local-class": Way(_local_class, "Local", "from within"),
    "unknown-elsewhere": Way(_unknown_elsewhere, "Made", "up"),
    "odd-name": Way(_raise(type("a b/ü", (Exception,), {}), "odd"), "a b/ü", "odd"),
    "surrogate": Way(_raise(ValueError, "a\ud800b"), "ValueError", "a?b"),
    "bytes": Way(_raise(ValueError, b"\xff"), "ValueError", r"b'\xff'"),
    "long-message": Way(_raise(ValueError, "x" * 2**20), "ValueError", "xxx"),
    "deep-arguments": Way(_raise(ValueError, _nested(5000)), "ValueError"),
    "cyclic-arguments": Way(_raise(ValueError, _cycle()), "ValueError"),
    "odd-arguments": Way(_raise(ValueError, {1, 2}, object, 3j), "ValueError"),
    "caused-by-itself": Way(_caused_by_itself, "ValueError", "round and round"),
    "group": Way(
        _raise(BaseExceptionGroup, "several", [OwnBase("one"), ValueError("two")]),
        "BaseExceptionGroup",
        "several (2 sub-exceptions)",
    ),
    "stop-iteration": Way(_stop_iteration, "StopIteration", "nothing is left"),
    "recursion": Way(_recurse, "RecursionError", "maximum recursion depth exceeded"),
    "memory": Way(_raise(MemoryError, "no more"), "MemoryError", "no more"),
    "warning": Way(_raise(DeprecationWarning, "old"), "DeprecationWarning", "old"),
    # No ``Exception``: they pass every handler that isn't made for them.
    "cancelled-error": Way(_cancel_inside, "CancelledError", "the client went away"),
    "exit": Way(lambda: sys.exit(3), "SystemExit", "The task called sys.exit(3)."),
    "exit-with-words": Way(
        lambda: sys.exit("enough"), "SystemExit", "The task called sys.exit('enough')."
    ),
    "exit-without-words": Way(
        lambda: sys.exit(Mute()),  # type: ignore[arg-type]
        "SystemExit",
        "The task called sys.exit(<Unrepresentable",
    ),
    "keyboard-interrupt": Way(
        _raise(KeyboardInterrupt), "KeyboardInterrupt", "The task raised KeyboardInterrupt."
    ),
    "generator-exit": Way(_raise(GeneratorExit, "closed"), "GeneratorExit", "closed"),
    "own-base": Way(_raise(OwnBase, "beyond all handlers"), "OwnBase", "beyond all handlers"),
}

#: What our own parts, Celery's and the pool's tell each other by.
BORROWED = {
    "worker-shutdown": Way(_raise(celery.WorkerShutdown, 0), "WorkerShutdown"),
    "worker-terminate": Way(_raise(celery.WorkerTerminate, True), "WorkerTerminate"),
    "worker-lost": Way(_raise(WorkerLostError, "me?"), "WorkerLostError", "me?"),
    "time-limit": Way(_raise(TimeLimitExceeded, 3), "TimeLimitExceeded"),
    "terminated": Way(_raise(Terminated, 15), "Terminated"),
    "revoked": Way(_raise(celery.TaskRevokedError, "by me"), "TaskRevokedError", "by me"),
    "invalid-task": Way(_raise(celery.InvalidTaskError, "me?"), "InvalidTaskError", "me?"),
    "no-more-retries": Way(
        _raise(celery.MaxRetriesExceededError, "3"), "MaxRetriesExceededError", "3"
    ),
    "broker": Way(_raise(OperationalError, "gone"), "OperationalError", "gone"),
    "connection": Way(_raise(ConnectionResetError, "by peer"), "ConnectionResetError", "by peer"),
    "disk-full": Way(_raise(OSError, 28, "No space left"), "OSError", "[Errno 28] No space left"),
    "aws-refuses": Way(_raise(ClientError, _REFUSED, "GetItem"), "ClientError"),
    "aws-is-away": Way(
        _raise(EndpointConnectionError, endpoint_url="http://x"), "EndpointConnectionError"
    ),
    "unavailable": Way(_raise(UnavailableError, "SQS"), "UnavailableError"),
    "not-configured": Way(
        _raise(NotConfiguredError, "No region", "AWS_REGION"), "NotConfiguredError"
    ),
    "another-lease": Way(_raise(LeaseLostError, "another", "me", None), "LeaseLostError"),
    "another-value": Way(_raise(ValueMissingError, "item:x"), "ValueMissingError"),
}

#: Dead-lettered, and never tried again by a policy.
REJECTED = {
    "rejected": Way(_raise(celery.Reject, "no", False), "Reject"),
    "rejected-for-an-error": Way(
        _raise(celery.Reject, ValueError("why"), False), "ValueError", "why"
    ),
}

# -- what it returns


RETURNED = {
    "none": Way(lambda: None),
    "nan": Way(lambda: [float("nan"), float("inf")]),
    "decimal": Way(lambda: {"price": Decimal("1.10")}),
    "moment": Way(lambda: datetime(2026, 1, 2, tzinfo=UTC)),
    "uuid": Way(lambda: UUID(int=7)),
    "raw-bytes": Way(lambda: b"\x00\xff"),
    "set": Way(lambda: {1, 2}),
    "number-keys": Way(lambda: {1: "a", None: "b"}),
    "megabyte": Way(lambda: "x" * 2**20),
    "many": Way(lambda: list(range(100_000))),
    "exception": Way(lambda: [1, "an error is no result"]),
    "object": Way(object, "result-not-json"),
    "mute": Way(Mute, "result-not-json"),
    "function": Way(lambda: _recurse, "result-not-json"),
    "generator": Way(lambda: (each for each in range(3)), "result-not-json"),
    "tuple-keys": Way(lambda: {(1, 2): 3}, "result-not-json"),
    "cycle": Way(_cycle, "result-not-json"),
    "deep": Way(lambda: _nested(100_000), "result-not-json"),
    "long-number": Way(lambda: 10**5000, "result-not-json"),
}

# -- what it leaves behind


def _print_much() -> None:
    for _ in range(1000):
        print("x" * 1000)


def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


def _die_in_a_thread() -> None:
    def die() -> None:
        raise OwnBase("in a thread")

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()


def _leave_a_program() -> None:
    # Ends by itself, long after the task.
    subprocess.Popen(["sleep", "20"])


def _fork_and_return() -> int:
    """Both processes return from the task; only one is the pool's."""
    return os.fork() and 1


def _fork_and_raise() -> None:
    os.fork()
    raise ValueError("twice")


def _fork_and_exit() -> None:
    pid = os.fork()
    if not pid:
        sys.exit(0)
    os.waitpid(pid, 0)


def _close_output() -> None:
    os.close(1)
    sys.stdout = None


def _mute_signals() -> None:
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


def _set_an_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.2)


def _go_astray() -> None:
    astray = Path(tempfile.mkdtemp())
    os.chdir(astray)
    astray.rmdir()


def _change_limits() -> None:
    sys.setrecursionlimit(len(inspect.stack()) + 20)


LEFT = {
    "print-much": Way(_print_much),
    "leave-a-thread": Way(_leave_a_thread),
    "die-in-a-thread": Way(_die_in_a_thread),
    "leave-a-program": Way(_leave_a_program),
    "fork-and-return": Way(_fork_and_return),
    "fork-and-raise": Way(_fork_and_raise, "ValueError", "twice"),
    "fork-and-exit": Way(_fork_and_exit),
    "close-output": Way(_close_output, only_in_processes=True),
    "mute-signals": Way(_mute_signals, only_in_processes=True),
    "set-an-alarm": Way(_set_an_alarm, only_in_processes=True),
    "go-astray": Way(_go_astray, only_in_processes=True),
    "change-limits": Way(_change_limits, only_in_processes=True),
}

WAYS = RAISED | BORROWED | REJECTED | RETURNED | LEFT
