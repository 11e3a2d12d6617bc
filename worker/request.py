"""A request for execution, as Celery's worker keeps one for each message it has taken."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import time
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry
from celery.worker.request import Request
from celery.worker.state import task_ready

from celeriac import clock, telemetry
from celeriac.errors import UnavailableError, transient
from celeriac.records import Failure, LeaseLostError
from celeriac.services import services
from celeriac.task import FAULT_PAUSE, Hidden, TypedTask
from celeriac.values import ValueMissingError
from worker import durations, tally

log = logging.getLogger(__name__)


class RecordedRequest(Request):
    """Says to the record what a child that was killed can't say itself."""

    #: Handed back to the queue before a child began with it.
    given_back = False
    _already_revoked = False

    @property
    def owner(self) -> str:
        """Who this delivery is to the record."""
        return str(self.request_dict["owner"])

    @property
    def channel(self) -> Any:
        return self.message.channel

    @property
    def tag(self) -> str:
        """The delivery tag of its message."""
        return str(self.message.delivery_tag)

    def revoked(self) -> bool:
        return self.given_back or bool(super().revoked())

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        with self._let_go():
            self._on_failure(exc_info, send_failed_event, return_ok)

    def _on_failure(self, exc_info: Any, send_failed_event: bool, return_ok: bool) -> None:
        error = exc_info.exception
        error = getattr(error, "exc", error)
        if isinstance(error, MemoryError) and return_ok:
            # Celery would end this whole process. The task has failed, and its record says so.
            tally.note_failure()
            task_ready(self)
            self.acknowledge()
            return
        if isinstance(error, TimeLimitExceeded):
            return  # billiard tells on_timeout next, which sees to it
        if isinstance(error, Reject) and isinstance(error.reason, Hidden):
            log.info("task %s is left alone: %s", self.id, error.reason)
            if error.reason.duration is None:
                self.forget()
                return
            self.channel.hide(self.tag, error.reason.duration)
        if isinstance(error, WorkerLostError) and not self._already_revoked:
            self._release_lost()
        if _is_failure(exc_info.exception):
            tally.note_failure()
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if soft:
            super().on_timeout(soft, timeout)
            return
        with self._let_go():
            if self._retry_after_timeout(timeout):
                task_ready(self)
                self.acknowledge()
            else:
                tally.note_failure()
                super().on_timeout(soft, timeout)

    def _announce_revoked(
        self, reason: str, terminated: bool, signum: str | None, expired: bool
    ) -> None:
        if not self.time_start:
            # No child has claimed it: its record waits, and nobody is its owner.
            self._context.update(owner=None)
        with self._let_go():
            super()._announce_revoked(reason, terminated, signum, expired)
        # Even if it couldn't be written down: the message comes back, and the next delivery sees.
        self._already_revoked = True

    @contextmanager
    def _let_go(self) -> Iterator[None]:
        """Whatever fails inside, the message comes back: it isn't held, and renewed, for ever."""
        try:
            yield
        except Exception as error:
            if isinstance(error, Reject):
                log.warning("task %s is left to a later delivery: %s", self.id, error.reason)
            else:
                log.exception("task %s is left to a later delivery after", self.id)
            task_ready(self)
            self.channel.hide(self.tag, FAULT_PAUSE)
            self.reject(requeue=True)

    def forget(self) -> None:
        """Let go of the message without a word to SQS: it is another worker's now."""
        task_ready(self)
        self.channel.forget(self.tag)
        self.acknowledged = True

    def kill_child(self) -> None:
        """Kill the process that is at this task. In the threads pool that would be this one."""
        if self.worker_pid and self.worker_pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(self.worker_pid, signal.SIGKILL)

    def give_back(self) -> None:
        """Hand the message back to the queue, visible at once, before a child begins with it."""
        self.given_back = True
        task_ready(self)
        self.channel.give_back([self.tag])
        self.acknowledged = True

    def acknowledge(self) -> None:
        if self.time_start and not self.acknowledged:
            durations.note(time() - self.time_start)
        super().acknowledge()

    def _release_lost(self) -> None:
        """Make the task of a child that died claimable at once, and count the loss."""
        try:
            services().records.release(self.id, self.owner, lost=True)
        except LeaseLostError as lost:
            log.info("%s", lost)
        except Exception as error:
            if not transient(error):
                raise
            log.warning("the lease of task %s ends by itself: %s", self.id, error)

    def _retry_after_timeout(self, timeout: float) -> bool:
        """Whether the policy gives a task that had to be killed another attempt."""
        task = self.task
        retries = self.request_dict.get("retries") or 0
        if not isinstance(task, TypedTask) or retries >= (task.max_retries or 0):
            return False
        delay = task.task_type.retry.delay(retries + 1)
        message = f"The task ignored its time limit and was killed after {timeout:g} s."
        try:
            record = services().records.retry(
                self.id,
                self.owner,
                clock.now() + clock.millis(delay),
                Failure(type="TimeLimitExceeded", message=message),
            )
            telemetry.retried(record)
            self.app.publish_kept(record)
        except LeaseLostError as lost:
            log.info("%s", lost)
        except (UnavailableError, ValueMissingError) as error:
            # The message comes back, finds RETRY, and has the next one sent.
            log.warning("the retry of task %s is not sent: %s", self.id, error)
            self.channel.hide(self.tag, timedelta(0))
            self.reject(requeue=True)
        return True


def _is_failure(error: Any) -> bool:
    """Whether what a child raised ends the task in FAILURE."""
    if isinstance(error, ExceptionWithTraceback):
        error = error.exc
    match error:
        case Reject(requeue=requeue):
            return not requeue
        case Retry() | Ignore() | Terminated() | WorkerLostError():
            return False
        case _:
            return True
