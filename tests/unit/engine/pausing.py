"""Callers and workers that pause before each write, until the test says how it goes on.

The engine itself runs: ``submit``, Celery's tracer around ``TypedTask``, the result backend, the
records. Each paused call is a thread. It stops before each write to the records and each sending of
a message. Only two parts are played here: SQS, which keeps messages as AWS does, and the worker's
main process, which handles a message as ``celeriac.worker.request`` does.
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

from celeriac.app.call_options import own_headers
from celeriac.app.factory import Celeriac
from celeriac.app.release import ReturnAfter, TakenOver
from celeriac.clock import Millis, millis
from celeriac.contract import Cancelled, PermanentError, RetryLater, TaskContext
from celeriac.records import RecordStore
from tests.unit.engine.support import Timer

VISIBILITY = timedelta(seconds=60)


class Step(Enum):
    """What becomes of the write that an call waits to make."""

    GO = "it is made"
    REFUSED = "AWS can't be reached: it is not made"
    UNHEARD = "it is made, and no answer ever arrives"
    CRASH = "the process is killed before it"


class TaskStep(Enum):
    """What a task's function does next."""

    RETURN = "return a result"
    RAISE = "raise an error that the policy retries"
    GIVE_UP = "raise PermanentError"
    LATER = "raise RetryLater"
    REPORT = "report progress"


class Crash(BaseException):
    """The call's process is killed."""


class PausedCall:
    """A thread that stops at each write until it is given its next step."""

    def __init__(self, play: Callable[[], object]) -> None:
        self.at: str | None = None
        self.outcome: object = None
        self.crashed = False
        self._step: Step | TaskStep | Cancelled = Step.GO
        self._ours = threading.Semaphore(0)
        self._theirs = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(play,), daemon=True)
        self._thread.start()
        self._theirs.acquire()

    @property
    def done(self) -> bool:
        return self.at is None

    def resume(self, step: Step | TaskStep | Cancelled) -> None:
        """Go on until the next write, or to the end."""
        self._step = step
        self._ours.release()
        self._theirs.acquire()

    def crash(self) -> None:
        while not self.done:
            self.resume(Step.CRASH)

    def wait(self, at: str) -> Step | TaskStep | Cancelled:
        """Called by the call itself: stop here."""
        if self.crashed:
            raise Crash
        self.at = at
        self._theirs.release()
        self._ours.acquire()
        if self._step is Step.CRASH:
            self.crashed = True
            raise Crash
        return self._step

    def _run(self, play: Callable[[], object]) -> None:
        _local.paused = self
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
    """Make a write when the test says so; at once outside a paused call."""
    paused: PausedCall | None = getattr(_local, "paused", None)
    if paused is None:
        return call()
    step = paused.wait(at)
    if step is Step.REFUSED:
        raise EndpointConnectionError(endpoint_url=at)
    answer = call()
    if step is Step.UNHEARD:
        raise ConnectionClosedError(endpoint_url=at)
    return answer


class PausingRecords:
    """A record store whose writes wait for their steps."""

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


def run_steps(payload: Any, context: TaskContext) -> Any:
    """The function of the tests' tasks: it does what its steps say."""
    paused: PausedCall = _local.paused
    for said in itertools.count(1):
        match paused.wait("task_step"):
            case Cancelled() as cancelled:
                raise cancelled
            case TaskStep.RAISE:
                raise RuntimeError("a root in the way")
            case TaskStep.GIVE_UP:
                raise PermanentError("no leaf", type="no-leaf")
            case TaskStep.LATER:
                raise RetryLater(timedelta(seconds=30))
            case TaskStep.REPORT:
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


class Delivery(PausedCall):
    """A message that a worker has received, and the child process that is at it."""

    def __init__(self, app: Celeriac, message: Message, owner: str) -> None:
        self.message = message
        self.owner = owner
        task = app.tasks[message.headers["task"]]
        trace = build_tracer(task.name, task, app=app)
        args, kwargs, embed = message.body
        request = {
            **message.headers,
            **embed,
            "headers": own_headers(message.headers),
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

    def tell_main_process(self, app: Celeriac, queue: Queue) -> Message | None:
        """Do as ``celeriac.worker.request`` after a child's end: the message, if it is settled."""
        rejected = self.rejected
        if rejected is None:
            return self.message
        if not rejected.requeue:
            app.backend.mark_as_failure(self.message.task_id, rejected, request=self.request)
            queue.delete(self.message)
        elif isinstance(rejected.reason, ReturnAfter):
            queue.hide(self.message, rejected.reason.delay)
        elif not isinstance(rejected.reason, TakenOver):
            queue.hide(self.message, timedelta(0))
        return None
