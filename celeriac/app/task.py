"""Celery tasks that claim their record before they run.

``RecordedTask`` is the base of every task of the app: of plain ``@app.task`` functions, and of
``celeriac.app.typed_task``, which runs the task types of the catalogue.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from celery import Task
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from celery.result import allow_join_result

from celeriac import clock
from celeriac.app import aftermath, interruption, telemetry
from celeriac.app.callbacks import with_ids
from celeriac.app.canvas_parts import put_back
from celeriac.app.escapes import EscapedError, contained
from celeriac.app.release import (
    FAULT_PAUSE,
    Foreign,
    ReturnAfter,
    TakenOver,
    release_and_return,
    release_lease,
    returning_message,
)
from celeriac.contract import Cancelled, PermanentError
from celeriac.contract.errors import Picklable
from celeriac.errors import NotConfiguredError, UnavailableError, transient
from celeriac.records import Claimed, ClaimLost, LeaseLostError, LostClaim, TaskRecord
from celeriac.storage.services import services
from celeriac.transport.call import Call
from celeriac.transport.message import attempt_of

log = logging.getLogger(__name__)

#: What our header of a message says may grow; a worker refuses a version it doesn't know. In the
#: second one, parts of a canvas may be left out of the message.
SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
#: A process that begins with what was claimed so lately needn't ask whether it is cancelled.
PROMPT = timedelta(milliseconds=250)
#: After a lease has ended, for clocks that differ.
LEASE_MARGIN = timedelta(seconds=1)
#: What the record of a task says that raised ``Retry`` by itself.
NOT_RETRIED = (
    "The task raised Retry, which sends no message. Call self.retry() to have another attempt."
)
#: The signatures that replace a task by several, of which only the last takes over its id.
CANVAS = frozenset({"chain", "group", "chord"})


class Poison(Picklable, Exception):
    """A task at which too many processes died, or too many whole workers were lost."""

    type = "worker-lost"

    @classmethod
    def of(cls, record: TaskRecord) -> Poison:
        return cls(
            f"Of its attempts, {record.crashes} ended with the death of their process, "
            f"{record.lost} with the loss of their worker. The latest: {record.loss}."
        )


class RecordedTask(Task):
    """A Celery task that runs only under a lease on its record."""

    abstract = True
    #: By name: a process that only sends never loads a worker.
    Request = "celeriac.worker.request:RecordedRequest"

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Claim the task, or leave it to the worker that has it.

        Raises:
            Ignore: there is nothing to do; the message is acknowledged.
            Reject: another worker may be at it; the message comes back later.
        """
        if not self.request.is_eager:
            clock.adopt(self.request.get("clock_offset", clock.offset()))
            claimed = self.request.get("claimed")
            admit = self.request.get("admit")
            if admit is not None:
                # In a pool of threads, each asks for itself.
                self.request.update(admitted_until=admit())
            ahead = self._still_ours(claimed)
            record = self._fit(ahead) if ahead else self._claim(task_id)
            self.request.update(record=record)
            self._end_if_stamped(record)
        contained(super().before_start, task_id, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if request.called_directly or request.get("begun"):
            # A function like any other, which may call itself.
            return super().__call__(*args, **kwargs)
        request.update(begun=True)
        if request.is_eager:
            return self._call(args, kwargs)
        record: TaskRecord = request.record
        args, kwargs = self._arguments(record, args, kwargs)
        try:
            result = self._attempt(record, args, kwargs)
        except Cancelled as cancelled:
            why = "cancelled by its caller"
            # First what it saved: who sees REVOKED finds nothing of it.
            remove_artifacts(record)
            self.backend.mark_as_revoked(record.task_id, reason=why, request=request)
            raise Ignore(why) from cancelled
        except LeaseLostError as lost:
            if lost.task_id != record.task_id:
                raise EscapedError.of(lost) from lost
            # The worker that holds the task now has its message too.
            raise Reject(TakenOver(str(lost)), requeue=True) from lost
        except Ignore:
            self._end_ignored(record)
            raise
        except Retry as retry:
            if not request.get("retrying"):
                raise PermanentError(NOT_RETRIED, type="retry-not-sent") from retry
            raise
        except Exception as error:
            # Celery replaces what can't be pickled before its result backend sees it.
            request.update(raised=error)
            raise
        self._keep_text(result)
        # From here on it isn't the task's own code that fails.
        callbacks = with_ids(request.callbacks, record.task_id, "callback")
        request.update(has_run=True, callbacks=callbacks)
        return result

    def _keep_text(self, result: Any) -> None:
        """Make the text that is kept of a result, before what follows the task is sent.

        A result that has none is the task's failure.

            chain    add ── gives an object() ── FAILURE      next step: never sent
        """
        if not (self.ignore_result or self.request.ignore_result):
            self.request.update(result_text=self.backend.result_text(result))

    def retry(self, *args: Any, exc: BaseException | None = None, **options: Any) -> Any:
        """As Celery's; the record keeps what the retry is for."""
        if not self.request.called_directly:
            self.request.update(retry_reason=exc, retrying=True)
        try:
            return super().retry(*args, exc=exc, **options)
        except Reject as rejected:
            if isinstance(rejected.reason, LeaseLostError):
                raise rejected.reason from rejected
            # The next message could not be sent. Celery would drop this one too; it comes back
            # instead, finds the record waiting for the next attempt, and sends again.
            raise Reject(rejected.reason, requeue=True) from rejected

    def on_replace(self, sig: Any) -> Any:
        """Hand the task's id on to what replaces it, which may come much later.

        Raises:
            Ignore: it is sent.
            Reject: it is not; the message comes back, and the task runs again.
        """
        if self.request.is_eager:
            # Celery refuses to wait inside a task; what replaces this one has ended by then.
            with allow_join_result():
                return super().on_replace(sig)
        try:
            handed_on = services().records.hand_on(self.request.id, self.request.owner)
            self.request.update(replaced=True)
            return super().on_replace(sig)
        except Ignore:
            if sig.subtask_type in CANVAS:
                _await(handed_on)
            raise
        except (NotConfiguredError, UnavailableError, ClientError, BotoCoreError) as error:
            if not isinstance(error, UnavailableError) and not transient(error):
                raise
            why = ReturnAfter(f"what replaces the task can't be sent now: {error}", FAULT_PAUSE)
            raise Reject(why, requeue=True) from error

    def _arguments(self, record: TaskRecord, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """What the attempt is called with: the message's arguments, or those it refers to.

        Raises:
            Reject: they can't be read now; the message comes back.
        """
        request = self.request
        reference = _header(request).get("input")
        if reference is None:
            return args, kwargs
        try:
            text = services().values.get(record.tenant, record.task_id, reference)
        except Exception as error:
            if not transient(error):
                raise
            raise release_and_return(request, error) from error
        call = Call.from_text(text)
        put_back(request, call)
        # What a retry sends on is what the attempt was called with.
        request.update(args=list(call.args), kwargs=dict(call.kwargs))
        return tuple(call.args), dict(call.kwargs)

    def _attempt(self, record: TaskRecord, args: Any, kwargs: Any) -> Any:
        if record.cancel_requested_at is not None:
            # While it waited for this process.
            raise Cancelled
        return interruption.run(record.task_id, aftermath.run, self._call, args, kwargs)

    def _call(self, args: Any, kwargs: Any) -> Any:
        """Call the task as its author wrote it: with the ``__call__`` of its base classes."""
        if self.request.is_eager:
            return super().__call__(*args, **kwargs)
        return contained(super().__call__, *args, **kwargs)

    def _end_ignored(self, record: TaskRecord) -> None:
        """End a task whose own code raised ``Ignore``: nobody else would.

        A task that is replaced goes on under its id. One that has ended itself, with
        ``update_state``, has still to tell its chord and chain.
        """
        request = self.request
        if request.get("replaced"):
            return
        if request.get("ended"):
            with returning_message(also=SoftTimeLimitExceeded):
                ended = services().records.get(record.task_id)
                if ended is not None:
                    self.backend.tell_again(request, ended)
            return
        self.backend.mark_as_revoked(
            record.task_id, reason="ignored by its own code", request=request
        )

    def _end_if_stamped(self, record: TaskRecord) -> None:
        """End a task one of whose stamps is revoked.

        Raises:
            Ignore: it has ended.
            Reject: its stamps can't be looked up now; the message comes back.
        """
        request = self.request
        if not request.stamped_headers:
            return
        stamps = {name: (request.stamps or {}).get(name) for name in request.stamped_headers}
        try:
            revoked = services().stamps.any_revoked(stamps)
        except Exception as error:
            if not transient(error):
                raise
            raise release_and_return(request, error) from error
        if revoked:
            why = "revoked by one of its stamps"
            self.backend.mark_as_revoked(record.task_id, reason=why, request=request)
            raise Ignore(why)

    def _claim(self, task_id: str) -> TaskRecord:
        request = self.request
        if request.get("owner") is None:
            raise RuntimeError(
                "The message has no owner: it didn't come through celeriac.transport."
            )
        until = self.app.new_lease()
        try:
            answer = services().records.claim(task_id, attempt_of(request), request.owner, until)
            if isinstance(answer, Claimed):
                self._check_admission()
                return self._fit(answer.record)
            self._settle(answer)
        except Reject:
            raise
        except Exception as error:
            # Whatever it is, a permission that is missing or a time limit that strikes here, the
            # task hasn't run: acknowledged, it would be lost.
            if not transient(error):
                log.exception("task %s can't be claimed", task_id)
            why = ReturnAfter(f"the record can't be claimed now: {error}", FAULT_PAUSE)
            raise Reject(why, requeue=True) from error
        log.info("task %s is not run: %s", task_id, answer.why.value)
        raise Ignore(answer.why.value)

    def _check_admission(self) -> None:
        """Raise ``Reject`` if it was admitted so long ago that others may run in its place."""
        request = self.request
        if clock.now() >= request.get("admitted_until", float("inf")):
            release_lease(request.id, request.owner)
            why = "it was claimed too late to run under its type's limits"
            raise Reject(ReturnAfter(why, timedelta(0)), requeue=True)

    def _still_ours(self, claimed: TaskRecord | None) -> TaskRecord | None:
        """The record that was claimed ahead, unless the lease is over: this machine may have slept.

        It is read again if it has waited so long that its caller may have cancelled it.

            main process   claim ✓ ── (waits for a process) ──────────►
            caller                        cancel: marked
            process                                              reads ── REVOKED, never begun

        Raises:
            Reject: the record can't be read now; the message comes back.
        """
        now = clock.now()
        if claimed is None or (claimed.lease_until or 0) <= now:
            return None
        claimed_at = (claimed.lease_until or 0) - clock.millis(self.app.settings.visibility)
        if now - claimed_at < clock.millis(PROMPT):
            return claimed
        with returning_message():
            now_is = services().records.get(claimed.task_id)
        ours = now_is is not None and now_is.running and now_is.lease_owner == self.request.owner
        return now_is if ours else None

    def _fit(self, record: TaskRecord) -> TaskRecord:
        """The record, if its message can be run. Raises ``Reject``: it is dead-lettered."""
        if record.type != self.name:
            why = f"A message of type {self.name} names task {record.task_id}, a {record.type}."
            raise Reject(Foreign(why), requeue=False)
        limits = self.app.settings
        if record.crashes >= limits.most_crashes or record.lost >= limits.most_workers_lost:
            raise Reject(Poison.of(record), requeue=False)
        version = _header(self.request).get("v", SCHEMA_VERSION)
        if version not in READABLE_VERSIONS:
            readable = " and ".join(map(str, READABLE_VERSIONS))
            explanation = f"The message has version {version}; this worker reads {readable}."
            raise Reject(PermanentError(explanation, type="unknown-version"), requeue=False)
        due = _header(self.request).get("due", record.created_at)
        if due > record.created_at:
            # For the task's own code: a worker is never asked to wait for it.
            self.request.update(eta=clock.to_datetime(due).isoformat())
        telemetry.started(record, due)
        return record

    def _settle(self, lost: ClaimLost) -> None:
        """Do what is left to do for a task that is not ours.

        Raises:
            Reject: another worker holds it; the message comes back when its lease has ended.
        """
        record = lost.record
        if record is None:
            # Nothing may run whose caller can't be told of it.
            log.error(
                "task %s has no record, so its message is deleted: the task was forgotten, or it "
                "waited for longer than 'record_ttl' and no repair kept it",
                self.request.id,
            )
            return
        if lost.why is LostClaim.HELD:
            left = timedelta(milliseconds=max(0, (record.lease_until or 0) - clock.now()))
            raise Reject(ReturnAfter(lost.why.value, left + LEASE_MARGIN), requeue=True)
        if record.terminal:
            # The worker that ended it may have died before its chord or chain was told.
            with returning_message(also=SoftTimeLimitExceeded):
                self.backend.tell_again(self.request, record)
        elif lost.why is LostClaim.STALE and record.attempt > attempt_of(self.request):
            # Its retry was recorded, and its worker may have died before sending the message.
            self.app.resend(record)


def _await(handed_on: TaskRecord) -> None:
    """Have the record of a task wait for the canvas that replaces it, and was sent just now.

    record          STARTED ── hand_on ──► PENDING ── await_canvas ─────────── resend ──► STARTED
    canvas                          first step sent ─┘   …   last step sent, its id the task's ─┘
    a crash                       ✗ here: the message comes back, and the task runs once more
    """
    try:
        services().records.await_canvas(handed_on)
    except Exception as error:
        if not transient(error):
            raise
        # To run the task once more would be worse: that is what not knowing may lead to.
        log.warning("that task %s awaits its canvas isn't noted: %s", handed_on.task_id, error)


def remove_artifacts(record: TaskRecord) -> None:
    """Remove what an attempt that came to nothing has saved; what can't be removed now expires."""
    artifacts = services().artifacts
    prefix = f"tasks/{record.task_id}/{record.attempts}/"
    try:
        saved = [each.key for each in artifacts.list(record.tenant, prefix)]
        artifacts.delete(record.tenant, saved)
    except Exception as error:
        if transient(error):
            log.warning(
                "artifacts of task %s are left until they expire: %s", record.task_id, error
            )
        else:
            log.exception("artifacts of task %s are left until they expire", record.task_id)


def _header(request: Any) -> dict[str, Any]:
    return request.get("celeriac") or {}
