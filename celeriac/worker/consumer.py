"""Celery's consumer, which dead-letters the messages that it can't take."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.exceptions import Reject
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.asynchronous import set_event_loop
from kombu.exceptions import ContentDisallowed, DecodeError

from celeriac import states
from celeriac.app import telemetry
from celeriac.app.release import FAULT_PAUSE, returning_message
from celeriac.records import Failure, LeaseLostError
from celeriac.storage.services import services
from celeriac.worker.claims import beginning

if TYPE_CHECKING:
    from celeriac.worker.claims import Claims
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)

#: How long a process may take to begin with what it was given, at the worker's end.
BEGIN_WAIT = timedelta(seconds=10)
#: Workers tell each other nothing: that would be a broadcast, which SQS doesn't have.
NO_BROADCAST = {"without_gossip": True, "without_heartbeat": True, "without_mingle": True}


class Consumer(CeleryConsumer):
    """Poison goes to the dead-letter queue, and its record says why."""

    #: Set while it consumes for a pool of processes.
    claims: Claims | None = None
    on_task_request: Callable[[RecordedRequest], Any]

    def __init__(self, *args: Any, worker_options: Any = None, **kwargs: Any) -> None:
        options = {**(worker_options or {}), **NO_BROADCAST}
        super().__init__(*args, worker_options=options, **{**kwargs, "task_events": False})
        #: Gives a request to the pool, once it has room.
        self.run = self.on_task_request
        self.on_task_request = self._take

    def connect(self) -> Any:
        """As Celery's, for an event loop that was reset because a connection was lost.

        kombu then forgets which loop is the current one (kombu/asynchronous/hub.py, Hub.reset), and
        a channel made without one never polls.
        """
        if self.hub is not None:
            set_event_loop(self.hub)
        return super().connect()

    def bucket_for_task(self, type: Any) -> None:
        """No bucket: Celery's would limit this worker alone, in its memory.

        ``rate_limit`` limits the deployment: ``celeriac.worker.admission``.
        """

    def _take(self, request: RecordedRequest) -> None:
        if self.claims is None:
            self.run(request)
        else:
            self.claims.take(request)

    def on_close(self) -> None:
        """Have Celery know all that has begun, before it drops what has not.

        process        . . . reads task ── runs it ── "begun", outcome ──►
        main process   gives task ── SIGTERM ── drops it (celery, AsynPool.flush)

        The outcome would be read by no process, and the child would wait half a minute for one.
        """
        if self.claims is not None:
            self.claims.close()
            # An exit code once the worker is told to stop. After a lost connection the event loop
            # has dropped the processes already.
            if state.should_stop is not None and state.should_stop is not False:
                self._turn_until_begun()
            self.claims.finish()
        super().on_close()

    def _turn_until_begun(self) -> None:
        loop = self.hub.create_loop()
        deadline = monotonic() + BEGIN_WAIT.total_seconds()
        while (late := beginning()) and monotonic() < deadline:
            next(loop)
        if late:
            log.warning(
                "the messages of %d tasks return later: their processes are silent", len(late)
            )

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._dead_letter(message, "undecodable-message", f"The message can't be decoded: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._dead_letter(message, "unknown-message", "The message is not a Celery task message.")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        name = message.headers.get("task")
        why = f"No worker here knows the task type {name!r}."
        self._dead_letter(message, "unknown-task-type", why)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._dead_letter(message, "invalid-message", f"The message is not a valid task: {exc}")

    def _dead_letter(self, message: Any, type: str, why: str) -> None:
        task_id = (message.headers or {}).get("id")
        if isinstance(task_id, str):
            try:
                with returning_message():
                    self._fail(message, task_id, Failure(type=type, message=why))
            except Reject as rejected:
                log.warning("a message is dead-lettered later: %s: %s", why, rejected.reason)
                message.channel.return_after(message.delivery_tag, FAULT_PAUSE)
                message.reject(requeue=True)
                return
            except Exception:  # it would end the event loop
                log.exception("the end of a dead-lettered message's task isn't written, or told")
        log.error("a message goes to the dead-letter queue: %s", why)
        message.reject(requeue=False)

    def _fail(self, message: Any, task_id: str, failure: Failure) -> None:
        """End the task of a message that nobody can run, and tell those who wait for it."""
        try:
            record = services().records.finish(task_id, None, states.FAILURE, failure=failure)
            telemetry.ended(record)
        except LeaseLostError as lost:
            log.info("%s", lost)
            if lost.now_is is None or not lost.now_is.terminal:
                return
            # Ended by a worker that may have died before it told anybody.
            record = lost.now_is
        self.app.backend.tell_again(Context(message.headers, **_embedded(message)), record)


def _embedded(message: Any) -> dict[str, Any]:
    """What a message says of the canvas that its task belongs to, if it can be read."""
    try:
        _, _, embedded = message.payload
    except (DecodeError, ContentDisallowed, TypeError, ValueError):
        return {}
    return embedded if isinstance(embedded, dict) else {}
