"""Callers and workers on a stage where every write of theirs waits for its cue.

What runs is the engine itself: ``submit``, Celery's tracer around ``TypedTask``, the result
backend, the records. Each actor is a thread that stops before each write to the records and each
sending of a message, until the test gives it its cue. Played here are only SQS, which keeps
messages as AWS does, and the worker's main process, which does with a message what
``worker.request`` does.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from celery.app.task import Context
from celery.app.trace import build_tracer
from celery.exceptions import Reject

from celeriac.app import CeleriacApp
from celeriac.clock import Millis, millis
from celeriac.letting_go import Hidden
from celeriac.records import RecordStore
from tasks.contract import Cancelled, PermanentError, RetryLater, TaskContext
from tests.unit.engine.support import Timer

VISIBILITY = timedelta(seconds=60)


class Cue(Enum):
    """What becomes of the write that an actor waits to make."""

    GO = "it is made"
    REFUSED = "AWS can't be reached: it is not made"
    UNHEARD = "it is made, and no answer ever arrives"
    CRASH = "the process is killed before it"


class Act(Enum):
    """What a task's function does next."""

    RETURN = "return a result"
    RAISE = "raise an error that the policy retries"
    GIVE_UP = "raise PermanentError"
    LATER = "raise RetryLater"
    REPORT = "report progress"


class Crash(BaseException):
    """The actor's process is killed."""


class Actor:
    """A thread that stops at each write until it is given its cue."""

    def __init__(self, play: Callable[[], object]) -> None:
        self.at: str | None = None
        self.outcome: object = None
        self.crashed = False
        self._cue: Cue | Act | Cancelled = Cue.GO
        self._ours = threading.Semaphore(0)
        self._theirs = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(play,), daemon=True)
        self._thread.start()
        self._theirs.acquire()

    @property
    def done(self) -> bool:
        return self.at is None

    def cue(self, cue: Cue | Act | Cancelled) -> None:
        """Go on until the next write, or to the end."""
        self._cue = cue
        self._ours.release()
        self._theirs.acquire()

    def crash(self) -> None:
        while not self.done:
            self.cue(Cue.CRASH)

    def wait(self, at: str) -> Cue | Act | Cancelled:
        """Called by the actor itself: stop here."""
        if self.crashed:
            raise Crash
        self.at = at
        self._theirs.release()
        self._ours.acquire()
        if self._cue is Cue.CRASH:
            self.crashed = True
            raise Crash
        return self._cue

    def _run(self, play: Callable[[], object]) -> None:
        _local.actor = self
        try:
            self.outcome = play()
        except Crash:
            self.crashed = True
        except Exception as error:  # noqa: BLE001 - the outcome is for the test to judge
            self.outcome = error
        self.at = None
        self._theirs.release()


_local = threading.local()


def write(at: str, call: Callable[[], Any]) -> Any:
    """Make a write when it is its turn; at once outside an actor."""
    actor: Actor | None = getattr(_local, "actor", None)
    if actor is None:
        return call()
    cue = actor.wait(at)
    if cue is Cue.REFUSED:
        raise EndpointConnectionError(endpoint_url=at)
    answer = call()
    if cue is Cue.UNHEARD:
        raise ConnectionClosedError(endpoint_url=at)
    return answer


class CuedRecords:
    """A record store whose writes wait for their cues."""

    WRITES = frozenset(
        {"create", "discard", "resend", "claim", "renew", "report", "retry", "release", "finish"}
    )

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self.WRITES:
            return method
        return lambda *args, **kwargs: write(name, lambda: method(*args, **kwargs))


class NoArtifacts:
    """The tasks of these tests keep none."""

    def delete(self, tenant: str, keys: list[str]) -> None:
        assert not keys

    def list(self, tenant: str, prefix: str) -> Iterator[Any]:
        return iter(())


def play_part(payload: Any, context: TaskContext) -> Any:
    """The function of the tasks on stage: it does what its cues say."""
    actor: Actor = _local.actor
    for said in itertools.count(1):
        match actor.wait("act"):
            case Cancelled() as cancelled:
                raise cancelled
            case Act.RAISE:
                raise RuntimeError("a root in the way")
            case Act.GIVE_UP:
                raise PermanentError("no leaf", type="no-leaf")
            case Act.LATER:
                raise RetryLater(timedelta(seconds=30))
            case Act.REPORT:
                # The last of so many is always written.
                context.progress(said, said)
            case _:
                return payload
    raise AssertionError("unreachable")


@dataclass
class Message:
    """A message in SQS. It can be received again once ``hidden_until`` has passed."""

    headers: dict[str, Any]
    body: tuple[Any, Any, Any]
    hidden_until: Millis

    @property
    def task_id(self) -> str:
        return str(self.headers["id"])


@dataclass
class Queue:
    """SQS: keeps what is sent until it is deleted, and may deliver it more than once."""

    timer: Timer
    messages: list[Message] = field(default_factory=list)
    #: SQS may deliver even these once more.
    deleted: list[Message] = field(default_factory=list)

    def send(self, _producer: Any, _name: str, message: Any, **options: Any) -> None:
        """In place of Celery's ``amqp.send_task_message``."""
        headers, _, body, _ = message
        headers = headers | (options.get("headers") or {})
        delay = timedelta(seconds=options.get("DelaySeconds", 0))
        # As JSON, as it travels.
        sent = Message(
            json.loads(json.dumps(headers)),
            json.loads(json.dumps(body)),
            self.timer.now + millis(delay),
        )
        write("send", lambda: self.messages.append(sent))

    def hide(self, message: Message, duration: timedelta) -> None:
        message.hidden_until = self.timer.now + millis(duration)

    def delete(self, message: Message) -> None:
        if message in self.messages:
            self.messages.remove(message)
            self.deleted.append(message)

    @property
    def visible(self) -> list[Message]:
        return [each for each in self.messages if each.hidden_until <= self.timer.now]


class Delivery(Actor):
    """A message that a worker has received, and the child process that is at it."""

    def __init__(self, app: CeleriacApp, message: Message, owner: str) -> None:
        self.message = message
        self.owner = owner
        task = app.tasks[message.headers["task"]]
        trace = build_tracer(task.name, task, app=app)
        args, kwargs, embed = message.body
        request = {
            **message.headers,
            **embed,
            "args": args,
            "kwargs": kwargs,
            "delivery_info": {},
            "owner": owner,
        }

        self.request = Context(request)

        def play() -> object:
            try:
                return trace(message.task_id, args, kwargs, request)[1]
            except Reject as rejected:
                return rejected

        super().__init__(play)

    @property
    def rejected(self) -> Reject | None:
        """Why the child rejects the message, if it does: inside its tracer, or out of it."""
        outcome = self.outcome
        reason = outcome if isinstance(outcome, Reject) else getattr(outcome, "retval", None)
        return reason if isinstance(reason, Reject) else None

    def tell_main_process(self, app: CeleriacApp, queue: Queue) -> Message | None:
        """Do as ``worker.request`` with a child that has ended: the message, if it is done with."""
        rejected = self.rejected
        if rejected is None:
            return self.message
        if not rejected.requeue:
            app.backend.mark_as_failure(self.message.task_id, rejected, request=self.request)
            queue.delete(self.message)
        elif not isinstance(rejected.reason, Hidden):
            queue.hide(self.message, timedelta(0))
        elif rejected.reason.duration is not None:
            queue.hide(self.message, rejected.reason.duration)
        return None
