"""Celery's consumer, which moves what it can't take to the dead-letter queue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.worker.consumer import Consumer as CeleryConsumer

from celeriac import states, telemetry
from celeriac.errors import transient
from celeriac.records import Failure, LeaseLostError
from celeriac.services import services

if TYPE_CHECKING:
    from worker.claims import Claims
    from worker.request import RecordedRequest

log = logging.getLogger(__name__)


class Consumer(CeleryConsumer):
    """Poison goes to the dead-letter queue, and its record says why."""

    #: Set while it consumes for a pool of processes.
    claims: Claims | None = None
    on_task_request: Callable[[RecordedRequest], Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Gives a request to the pool, once it has room.
        self.run = self.on_task_request
        self.on_task_request = self._take

    def _take(self, request: RecordedRequest) -> None:
        if self.claims is None:
            self.run(request)
        else:
            self.claims.take(request)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._bury(message, "undecodable-message", f"The message can't be decoded: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._bury(message, "unknown-message", "The message is not a Celery task message.")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        name = message.headers.get("task")
        self._bury(message, "unknown-task-type", f"No worker here knows the task type {name!r}.")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._bury(message, "invalid-message", f"The message is not a valid task: {exc}")

    def _bury(self, message: Any, type: str, why: str) -> None:
        log.error("a message goes to the dead-letter queue: %s", why)
        task_id = (message.headers or {}).get("id")
        if isinstance(task_id, str):
            failure = Failure(type=type, message=why)
            try:
                ended = services().records.finish(task_id, None, states.FAILURE, failure=failure)
                telemetry.ended(ended)
            except LeaseLostError as lost:
                log.info("%s", lost)
            except Exception as error:  # an exception here would end the event loop
                if transient(error):
                    log.warning("the record of task %s is not marked: %s", task_id, error)
                else:
                    log.exception("the record of a buried message is not marked")
        message.reject(requeue=False)
