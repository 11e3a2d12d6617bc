"""A request for execution, as Celery's worker keeps one for each message it has taken."""

from __future__ import annotations

import logging
import os
import re
import signal
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.app.trace import fast_trace_task, trace_task_ret
from celery.concurrency.thread import ApplyResult as ThreadResult
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry, TaskRevokedError
from celery.signals import task_revoked
from celery.worker.state import task_ready

from celeriac import clock
from celeriac.app import telemetry
from celeriac.app.call_options import NEVER_SENT, own_headers
from celeriac.app.escapes import as_exception, told_plainly
from celeriac.app.release import (
    FAULT_PAUSE,
    Foreign,
    ReturnAfter,
    TakenOver,
    release_lease,
)
from celeriac.app.typed_task import TypedTask
from celeriac.errors import NotConfiguredError, UnavailableError, transient
from celeriac.records import Failure, LeaseLostError, TaskRecord
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError
from celeriac.transport.headers import check
from celeriac.transport.message import MalformedMessageError
from celeriac.worker import child
from celeriac.worker.admission import admission_of
from celeriac.worker.child import Report
from celeriac.worker.limited import LimitedRequest
from celeriac.worker.phases import Phase, Phases
from celeriac.worker.tally import tally
from celeriac.worker.writers import Writers

log = logging.getLogger(__name__)

#: After this many receives of a message, each further one doubles the delay of its return.
PROMPT_RECEIVES = 5
#: With this, the 20 receives that SQS allows span more than two hours.
LONGEST_DELAY = timedelta(minutes=15)

#: What a pool tells of an attempt that isn't a fault of storing its outcome.
_REPORTED_BY_POOL = (
    Ignore,
    KeyboardInterrupt,
    MemoryError,
    Reject,
    Retry,
    SystemExit,
    Terminated,
    TimeLimitExceeded,
    WorkerLostError,
)


class RecordedRequest(LimitedRequest):
    """Says to the record what a child that was killed can't say itself."""

    worker_pid: int | None = None
    #: When a process or thread began with it, by the monotonic clock.
    begun_at: float | None = None
    acknowledged: bool = False
    #: Its place in the line of a pool of threads.
    _future: Future[Any] | None = None
    _already_revoked = False
    _ended_at: float | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Celery makes a subclass for each task, with these two unrolled
        # (celery/worker/request.py, create_request_cls). Ours do more.
        for name in ("execute_using_pool", "on_success"):
            if name in vars(cls):
                delattr(cls, name)

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        try:
            check(message.headers, message.payload)
        except MalformedMessageError as error:
            raise InvalidTaskError(str(error)) from error
        # Only this worker can say these, not the sender of the message.
        for name in NEVER_SENT & message.headers.keys():
            del message.headers[name]
        super().__init__(message, *args, **kwargs)
        self.phase = Phases()
        self.admission = admission_of(self)
        # As everyone sees them, a signal's handler too: those that its caller gave.
        self.request_dict["headers"] = own_headers(message.headers)

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

    @property
    def returned(self) -> bool:
        """Whether its message was returned before a process began with it."""
        return self.phase.now is Phase.RETURNED

    def execute_using_pool(self, pool: Any, **options: Any) -> Any:
        """As Celery's; the child reports the outcome instead of writing it.

        Raises:
            TaskRevokedError: it is not run. Celery then frees the slot that it was to run in.
        """
        try:
            return self._execute(pool, **options)
        except TaskRevokedError:
            raise
        except Exception as error:
            # It would end the event loop.
            with self._returning():
                raise
            raise TaskRevokedError(self.id) from error

    def _execute(self, pool: Any, **options: Any) -> Any:
        if self.claims is None:
            if self.admission is not None:
                self.request_dict["admit"] = self.admit
            result = super().execute_using_pool(pool, **options)
            if isinstance(result, ThreadResult):
                self._future = result.f
            return result
        self.claims.freed(self)
        if self.revoked() or not self.phase.enter(Phase.BEGUN, unless=(Phase.RETURNED,)):
            raise TaskRevokedError(self.id)
        self.request_dict["clock_offset"] = clock.offset()
        hard, soft = self.time_limits
        result = pool.apply_async(
            child.run,
            args=(
                fast_trace_task if self.app.use_fast_trace_task else trace_task_ret,
                self.type,
                self.id,
                self.request_dict,
                self.body,
                self.content_type,
                self.content_encoding,
            ),
            accept_callback=self.on_accepted,
            timeout_callback=self.on_timeout,
            callback=self.on_success,
            error_callback=self.on_failure,
            soft_timeout=soft or self.task.soft_time_limit,
            timeout=hard or self.task.time_limit,
            correlation_id=self.id,
        )
        self._apply_result = weakref.ref(result)
        return result

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        self.begun_at = time_accepted
        super().on_accepted(pid, time_accepted)

    def on_success(self, failed__retval__runtime: tuple[int, Any, float], **options: Any) -> None:
        """Acknowledge, once the outcome is written."""
        failed, gave, seconds = failed__retval__runtime
        if failed or self.claims is None or not isinstance(gave, Report):
            super().on_success(failed__retval__runtime, **options)
            return
        # Its process goes on to another task, and is not to be asked or killed for this one.
        self.worker_pid = None
        self._ended_at = monotonic()
        self._write(self.claims.writers, gave, seconds)

    def _write(self, writers: Writers, report: Report, seconds: float) -> None:
        writers.write(
            report.outcome.write,
            lambda answer: self._on_written(writers, report, seconds, answer),
        )

    def _on_written(
        self, writers: Writers, report: Report, seconds: float, answer: TaskRecord | Exception
    ) -> None:
        match answer:
            case LeaseLostError():
                log.warning("the outcome is not stored: %s", answer)
                self.abandon()
            case Exception() if transient(answer) and writers.later(
                FAULT_PAUSE, lambda: self._write(writers, report, seconds)
            ):
                log.warning("the outcome of task %s is written later: %s", self.id, answer)
            case Exception():
                with self._returning():
                    raise answer
            case _:
                super().on_success((0, report.shown, seconds))

    def revoked(self) -> bool:
        """Whether it must not run: it was returned, or it expired before any attempt began."""
        if self.returned or self._already_revoked:
            return True
        if self.maybe_expire():
            return self._expire()
        return bool(super().revoked())

    def maybe_expire(self) -> bool:
        """Whether its time is over, by AWS's clock."""
        return bool(self.expires and clock.to_datetime(clock.now()) > self.expires)

    def _expire(self) -> bool:
        """End it as revoked, unless somebody has begun with it: then its claim decides.

        worker A    claim ✓ ─ (expires) ─ runs on, or is lost
        worker B                  revoke ✗   claim ✗ held, or ✓ taken over
        """
        with self._returning(), self._speaking():
            if not self.task.backend.mark_as_revoked(self.id, "expired", request=self._context):
                return False
            task_ready(self)
            self.acknowledge()
            task_revoked.send(
                self.task, request=self._context, terminated=False, signum=None, expired=True
            )
        self._already_revoked = True
        return True

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Inside, what is told to the backend of a task that nobody has claimed has no owner."""
        unclaimed = not self.time_start and "claimed" not in self.request_dict
        self._context.update(owner=None if unclaimed else self.owner)
        try:
            yield
        finally:
            self._context.update(owner=self.owner)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        with self._returning():
            self._on_failure(exc_info, send_failed_event, return_ok)

    def _on_failure(self, exc_info: Any, send_failed_event: bool, return_ok: bool) -> None:
        error = _raised(told_plainly(exc_info) if return_ok else exc_info)
        if not return_ok and not isinstance(error, _REPORTED_BY_POOL):
            # Its outcome couldn't be written. Celery would acknowledge it all the same.
            raise as_exception(error)
        if isinstance(error, MemoryError) and return_ok:
            # Celery would end this whole process. The task has failed, and its record says so.
            tally.note_failure()
            task_ready(self)
            self.acknowledge()
            return
        if isinstance(error, TimeLimitExceeded) or self._waits(error):
            return  # of the former billiard tells on_timeout next, which sees to it
        match error:
            case Reject(reason=TakenOver() as taken_over):
                log.info("the message of task %s is abandoned: %s", self.id, taken_over)
                self.abandon()
                return
            case Reject(reason=Foreign() as foreign):
                log.error("a message goes to the dead-letter queue: %s", foreign)
                release_lease(self.id, self.owner)
                task_ready(self)
                self.reject(requeue=False)
                return
            case Reject(reason=ReturnAfter() as returned):
                log.info("the message of task %s returns later: %s", self.id, returned)
                self._return_after(returned.delay)
            case Reject(requeue=True):
                # The task's own code wants it delivered again: the next worker can claim it.
                release_lease(self.id, self.owner)
        lost = isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
        if lost and not self._already_revoked:
            # Claimable at once, and the loss is counted.
            release_lease(self.id, self.owner, crash=_death(error))
        if _is_failure(error):
            tally.note_failure()
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if soft:
            super().on_timeout(soft, timeout)
            return
        with self._returning():
            if self._retry_after_timeout(timeout):
                task_ready(self)
                self.acknowledge()
            else:
                tally.note_failure()
                super().on_timeout(soft, timeout)

    def _announce_revoked(
        self, reason: str, terminated: bool, signum: str | None, expired: bool
    ) -> None:
        with self._returning(), self._speaking():
            super()._announce_revoked(reason, terminated, signum, expired)
        # Even if it couldn't be written down: the message comes back, and the next delivery sees.
        self._already_revoked = True

    @contextmanager
    def _returning(self) -> Iterator[None]:
        """Return the message if anything fails inside: it would be held and renewed forever.

        A message that another worker has received is abandoned.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, Reject):
                log.warning("the message of task %s returns: %s", self.id, error.reason)
            else:
                log.exception("the message of task %s returns after an error", self.id)
            match error:
                case Reject(reason=TakenOver()):
                    self.abandon()
                    return
            task_ready(self)
            if self.claims is not None:
                # Claimable when its message returns, and no worker counts as lost.
                self.claims.writers.write(
                    partial(release_lease, self.id, self.owner), self._on_released
                )
            self._return_after(FAULT_PAUSE)
            self.reject(requeue=True)

    def _on_released(self, answer: Exception | None) -> None:
        if answer is not None:
            log.error("the lease of task %s is not released", self.id, exc_info=answer)

    def _return_after(self, delay: timedelta) -> None:
        """Have the message return after this delay when it is rejected next.

        The delay grows with the number of receives. SQS dead-letters a message that was received
        20 times, and it is not the message's fault that AWS can't be reached.
        """
        held = self.channel.held.get(self.tag)
        doublings = max(0, (held.receives if held else 1) - PROMPT_RECEIVES)
        self.channel.return_after(self.tag, min(delay * 2**doublings, LONGEST_DELAY))

    def _success_was_stored(self) -> bool:
        """Never acknowledge for that: the process may have been lost before it told its chord.

        The next delivery finds that the task has ended, and tells what is left to tell.
        """
        return False

    def abandon(self) -> None:
        """Abandon the message: another worker holds it. SQS is told nothing."""
        task_ready(self)
        if not self.acknowledged:
            self.channel.abandon(self.tag)
            self.acknowledged = True
        self.leave_limits()

    def kill_child(self) -> None:
        """Kill the process that runs this task. In the threads pool that would be this one."""
        if self.worker_pid and self.worker_pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(self.worker_pid, signal.SIGKILL)

    def leave_pool_queue(self) -> bool:
        """Leave the line of a pool of threads; False if a thread has begun with the task."""
        return self._future is None or self._future.cancel()

    def return_now(self) -> None:
        """Return the message to its queue, visible now, unless a child has begun with it."""
        was = self.enter_returned()
        if was is None:
            return
        if was is Phase.CLAIMED and self.claims is not None:
            # Visible before its lease is released, it would be hidden again until the lease ends.
            self.claims.writers.write(
                partial(release_lease, self.id, self.owner), lambda _: self.make_visible()
            )
            self.claims.freed(self)
        elif was is not Phase.CLAIMING:
            self.make_visible()
        task_ready(self)
        self.acknowledged = True

    def enter_returned(self) -> Phase | None:
        """Decide that the message returns: the phase it was in, or None if it stays as it is.

        None: a process or thread has begun with it, or it is returning already. From ``CLAIMING``,
        its claim's answer makes it visible; from ``CLAIMED``, its lease is to be released first.
        """
        if not self.leave_pool_queue():
            return None
        was = self.phase.enter(Phase.RETURNED, unless=(Phase.BEGUN,))
        return None if was is Phase.RETURNED else was

    def make_visible(self) -> None:
        """Make the message visible to all workers."""
        self.channel.return_now([self.tag])
        self.leave_limits()

    def acknowledge(self) -> None:
        if self.begun_at is not None and not self.acknowledged:
            tally.note_duration((self._ended_at or monotonic()) - self.begun_at)
        super().acknowledge()
        self.leave_limits()

    def reject(self, requeue: bool = False) -> None:
        super().reject(requeue=requeue)
        self.leave_limits()

    def _retry_after_timeout(self, timeout: float) -> bool:
        """Whether the policy gives a task that had to be killed another attempt.

        A task whose caller has asked for an end gets none, and ends as REVOKED.
        """
        task = self.task
        if not isinstance(task, TypedTask):
            return False
        message = f"The task ignored its time limit and was killed after {timeout:g} s."
        try:
            found = services().records.get(self.id)
            if found is None:
                return False
            over = found.counted >= (task.max_retries or 0)
            if over and found.cancel_requested_at is None:
                return False
            delay = task.task_type.retry.delay(found.counted + 1)
            record = services().records.retry(
                self.id,
                self.owner,
                clock.now() + clock.millis(delay),
                Failure(type="TimeLimitExceeded", message=message),
            )
            telemetry.retried(record)
            self.app.publish_kept(record)
        except LeaseLostError as lost:
            raise Reject(TakenOver(str(lost)), requeue=True) from lost
        except (NotConfiguredError, UnavailableError, ValueMissingError) as error:
            # The message comes back, finds RETRY, and has the next one sent.
            log.warning("the retry of task %s is not sent: %s", self.id, error)
            self.channel.return_after(self.tag, timedelta(0))
            self.reject(requeue=True)
        return True


def _raised(exc_info: Any) -> Any:
    """What a child has raised, without what billiard wraps it in to send it."""
    error = exc_info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


def _death(error: BaseException) -> str:
    """How the process died that ran this task: ``signal 9 (SIGKILL)`` or ``exit code 3``.

    billiard says it in a sentence only (``billiard.pool.Pool.mark_as_worker_lost``).
    """
    if isinstance(error, SystemExit):
        return f"exit code {error.code}"
    found = re.search(r"signal \d+(?: \(\w+\))?|exitcode -?\d+", str(error))
    return found[0].replace("exitcode", "exit code") if found else type(error).__name__


def _is_failure(error: Any) -> bool:
    """Whether what a child raised ends the task in FAILURE."""
    match error:
        case Reject(requeue=requeue):
            return not requeue
        case Retry() | Ignore() | Terminated() | WorkerLostError():
            return False
        case _:
            return True
