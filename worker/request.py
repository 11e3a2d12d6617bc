"""A request for execution, as Celery's worker keeps one for each message it has taken."""

from __future__ import annotations

import logging
import os
import signal
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from time import time
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.app.trace import fast_trace_task, trace_task_ret
from celery.concurrency.thread import ApplyResult as ThreadResult
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError
from celery.signals import task_revoked
from celery.worker.request import Request
from celery.worker.state import task_ready

from celeriac import clock, telemetry
from celeriac.errors import UnavailableError, transient
from celeriac.letting_go import FAULT_PAUSE, Hidden, give_up
from celeriac.records import Failure, LeaseLostError, TaskRecord
from celeriac.services import services
from celeriac.typed_task import TypedTask
from celeriac.values import ValueMissingError
from worker import durations, execution, tally
from worker.claims import Claims
from worker.execution import Report
from worker.phases import Phase, Phases
from worker.writers import Writers

log = logging.getLogger(__name__)

#: After so many receives of a message, each further one is put off for twice as long.
PROMPT_RECEIVES = 5
#: With these, the 20 receives that SQS allows span more than two hours.
LONGEST_HIDING = timedelta(minutes=15)

#: What a pool tells of an attempt that isn't a fault of storing its outcome.
_TOLD_BY_POOL = (
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


class RecordedRequest(Request):
    """Says to the record what a child that was killed can't say itself."""

    #: Who has it claimed ahead; None in a pool whose threads claim for themselves.
    claims: Claims | None = None
    worker_pid: int | None = None
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phase = Phases()
        # It is ours to say: whoever sent the message can't.
        self.request_dict.pop("claimed", None)

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
    def given_back(self) -> bool:
        """Handed back to the queue before a process began with it."""
        return self.phase.now is Phase.GIVEN_BACK

    def execute_using_pool(self, pool: Any, **options: Any) -> Any:
        """As Celery's; the child reports the outcome instead of writing it."""
        if self.claims is None:
            result = super().execute_using_pool(pool, **options)
            if isinstance(result, ThreadResult):
                self._future = result.f
            return result
        self.claims.leave(self)
        if self.revoked() or not self.phase.enter(Phase.BEGUN, unless=(Phase.GIVEN_BACK,)):
            raise TaskRevokedError(self.id)
        hard, soft = self.time_limits
        result = pool.apply_async(
            execution.run,
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

    def on_success(self, failed__retval__runtime: tuple[int, Any, float], **options: Any) -> None:
        """Acknowledge, once the outcome is written."""
        failed, gave, seconds = failed__retval__runtime
        if failed or self.claims is None or not isinstance(gave, Report):
            super().on_success(failed__retval__runtime, **options)
            return
        # Its process goes on to another task, and is not to be asked or killed for this one.
        self.worker_pid = None
        self._ended_at = time()
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
                self.forget()
            case Exception() if transient(answer) and writers.later(
                FAULT_PAUSE, lambda: self._write(writers, report, seconds)
            ):
                log.warning("the outcome of task %s is written later: %s", self.id, answer)
            case Exception():
                with self._let_go():
                    raise answer
            case _:
                super().on_success((0, report.shown, seconds))

    def revoked(self) -> bool:
        """Whether it isn't to run: given back, or expired before anybody began with it."""
        if self.given_back or self._already_revoked:
            return True
        if self.expires and datetime.now(self.expires.tzinfo) > self.expires:
            return self._expire()
        return bool(super().revoked())

    def _expire(self) -> bool:
        """End it as revoked, unless somebody has begun with it: then its claim decides.

        worker A    claim ✓ ─ (expires) ─ runs on, or is lost
        worker B                  revoke ✗   claim ✗ held, or ✓ taken over
        """
        with self._let_go(), self._speaking():
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
        with self._let_go():
            self._on_failure(exc_info, send_failed_event, return_ok)

    def _on_failure(self, exc_info: Any, send_failed_event: bool, return_ok: bool) -> None:
        error = _raised(exc_info)
        if not return_ok and not isinstance(error, _TOLD_BY_POOL):
            # Its outcome couldn't be written. Celery would acknowledge it all the same.
            raise error
        if isinstance(error, MemoryError) and return_ok:
            # Celery would end this whole process. The task has failed, and its record says so.
            tally.note_failure()
            task_ready(self)
            self.acknowledge()
            return
        if isinstance(error, TimeLimitExceeded):
            return  # billiard tells on_timeout next, which sees to it
        match error:
            case Reject(reason=Hidden() as hidden):
                log.info("task %s is left alone: %s", self.id, hidden)
                if hidden.duration is None:
                    self.forget()
                    return
                self._hide(hidden.duration)
            case Reject(requeue=True):
                # The task's own code wants it delivered anew: whoever receives it can claim it.
                give_up(self.id, self.owner)
        lost = isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
        if lost and not self._already_revoked:
            # Claimable at once, and the loss is counted.
            give_up(self.id, self.owner, lost=True)
        if _is_failure(error):
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
        with self._let_go(), self._speaking():
            super()._announce_revoked(reason, terminated, signum, expired)
        # Even if it couldn't be written down: the message comes back, and the next delivery sees.
        self._already_revoked = True

    @contextmanager
    def _let_go(self) -> Iterator[None]:
        """Whatever fails inside, the message comes back: it isn't held, and renewed, for ever.

        One that another worker holds now is left to it.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, Reject):
                log.warning("task %s is left to a later delivery: %s", self.id, error.reason)
            else:
                log.exception("task %s is left to a later delivery after", self.id)
            match error:
                case Reject(reason=Hidden(duration=None)):
                    self.forget()
                    return
            task_ready(self)
            if self.claims is not None:
                # Claimable when it comes back, and no worker counts as lost.
                self.claims.writers.write(partial(give_up, self.id, self.owner), self._on_given_up)
            self._hide(FAULT_PAUSE)
            self.reject(requeue=True)

    def _on_given_up(self, answer: Exception | None) -> None:
        if answer is not None:
            log.error("the lease of task %s ends by itself", self.id, exc_info=answer)

    def _hide(self, duration: timedelta) -> None:
        """Let the message stay hidden for so long when it is rejected next.

        Longer once it has been received often: SQS takes what is received 20 times for poison, and
        it is not the message's fault that AWS is out of reach, or that another worker is at it.
        """
        held = self.channel.held.get(self.tag)
        doublings = max(0, (held.receives if held else 1) - PROMPT_RECEIVES)
        self.channel.hide(self.tag, min(duration * 2**doublings, LONGEST_HIDING))

    def _success_was_stored(self) -> bool:
        """Never acknowledge for that: the process may have been lost before it told its chord.

        The next delivery finds that the task has ended, and tells what is left to tell.
        """
        return False

    def forget(self) -> None:
        """Let go of the message without a word to SQS: it is another worker's now."""
        task_ready(self)
        if not self.acknowledged:
            self.channel.forget(self.tag)
            self.acknowledged = True

    def kill_child(self) -> None:
        """Kill the process that is at this task. In the threads pool that would be this one."""
        if self.worker_pid and self.worker_pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(self.worker_pid, signal.SIGKILL)

    def leave_line(self) -> bool:
        """Have no thread of the pool begin with it; False if one has already."""
        return self._future is None or self._future.cancel()

    def give_back(self) -> None:
        """Hand the message back to the queue, visible at once, before a child begins with it."""
        if not self.leave_line():
            return
        was = self.phase.enter(Phase.GIVEN_BACK, unless=(Phase.BEGUN,))
        if was in (None, Phase.GIVEN_BACK):
            return
        if was is Phase.CLAIMED and self.claims is not None:
            # Visible before its lease has ended, it would be hidden again for as long as that.
            self.claims.writers.write(partial(give_up, self.id, self.owner), lambda _: self.show())
            self.claims.leave(self)
        elif was is not Phase.CLAIMING:
            # Whoever hears what came of the claim sees that it was given back.
            self.show()
        task_ready(self)
        self.acknowledged = True

    def show(self) -> None:
        """Make the message visible to all workers."""
        self.channel.give_back([self.tag])

    def acknowledge(self) -> None:
        if self.time_start and not self.acknowledged:
            durations.note((self._ended_at or time()) - self.time_start)
        super().acknowledge()

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
            raise Reject(Hidden(str(lost), None), requeue=True) from lost
        except (UnavailableError, ValueMissingError) as error:
            # The message comes back, finds RETRY, and has the next one sent.
            log.warning("the retry of task %s is not sent: %s", self.id, error)
            self.channel.hide(self.tag, timedelta(0))
            self.reject(requeue=True)
        return True


def _raised(exc_info: Any) -> Any:
    """What a child has raised, without what billiard wraps it in to send it."""
    error = exc_info.exception
    return error.exc if isinstance(error, ExceptionWithTraceback) else error


def _is_failure(error: Any) -> bool:
    """Whether what a child raised ends the task in FAILURE."""
    match error:
        case Reject(requeue=requeue):
            return not requeue
        case Retry() | Ignore() | Terminated() | WorkerLostError():
            return False
        case _:
            return True
