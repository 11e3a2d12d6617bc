"""Celery's result backend, over the task records.

``store_result`` is one conditional update, valid only for the attempt that holds the lease. What
an attempt that has lost its lease has to say is logged and dropped.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.exceptions import Reject, SoftTimeLimitExceeded, TaskRevokedError
from celery.utils.serialization import UnpickleableExceptionWrapper
from kombu.exceptions import EncodeError

from celeriac import states
from celeriac.app import encoding, meta, outcomes, told
from celeriac.app.canvas_parts import whole
from celeriac.app.escapes import EscapedError
from celeriac.app.outcomes import Outcome
from celeriac.app.reading import ReadingBackend
from celeriac.app.release import TakenOver, release_and_return, returning_message
from celeriac.app.sending import on_behalf_of
from celeriac.contract.errors import Picklable
from celeriac.errors import transient
from celeriac.records import (
    Failure,
    LeaseLostError,
    RecordExistsError,
    TaskRecord,
)
from celeriac.storage import values
from celeriac.storage.services import services
from celeriac.storage.values import ValueTooLargeError
from celeriac.transport.call import Call

log = logging.getLogger(__name__)


class ResultTooLargeError(Picklable, EncodeError):
    """The result of a task is larger than any value that is kept.

    Celery takes an ``EncodeError`` for the task's own failure, and any other for its backend's.
    """

    type = "value-too-large"


class RecordBackend(ReadingBackend):
    """Stores states and results in task records, groups and chord joins next to them."""

    supports_autoexpire = True

    # -- storing

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """End the task. A task whose result is ignored ends too, without keeping it."""
        kept = store_result and not getattr(request, "ignore_result", False)
        request = self._whole(request)
        stored = self._store(
            task_id, result if kept else None, state, None, request, ignored=not kept
        )
        if stored and request and request.chord:
            with returning_message(also=SoftTimeLimitExceeded):
                self.on_chord_part_return(request, state, result)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """End the task as failed, and tell its chord, its chain and its errbacks.

        An ignored result doesn't hide a failure. An attempt that no longer holds the task tells
        nobody.

        Raises:
            Reject: AWS is out of reach, and what the task was to bring about isn't done.
        """
        if request and request.get("has_run") and isinstance(exc, Exception) and transient(exc):
            # The task succeeded. Its callbacks and its chain's next step couldn't be sent.
            raise release_and_return(request, exc)
        request = self._whole(request)
        ignored = not store_result
        if not self._store(task_id, exc, state, traceback, request, ignored) or not request:
            return
        with returning_message(also=SoftTimeLimitExceeded), on_behalf_of(request):
            # As Celery's own, which would store the result once more.
            if request.chord:
                self.on_chord_part_return(request, state, exc)
            self._fail_chain(request.chain, exc, traceback, state=state)
            if call_errbacks and request.errbacks:
                self._call_task_errbacks(request, exc, traceback)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> bool:
        """End the task as revoked, and tell its chord and its chain, which is revoked with it.

        Whether it was this that ended it.

        Raises:
            Reject: AWS is out of reach; the message comes back, and they are told then.
        """
        error = TaskRevokedError(reason)
        request = self._whole(request)
        ended = self._store(task_id, error, state, None, request, ignored=not store_result)
        if ended and request:
            with returning_message(also=SoftTimeLimitExceeded), on_behalf_of(request):
                if request.chord:
                    self.on_chord_part_return(request, state, error)
                self._fail_chain(request.chain, error, state=state)
        return ended

    def _whole(self, request: Any) -> Any:
        """The request with all that is to be told of its end. Raises ``Reject`` in an outage."""
        with returning_message():
            return whole(request)

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Write a state down, if this attempt still holds the task; the result, encoded.

        Raises:
            Reject: the record can't be written now. The message comes back and the task runs
                again, rather than being acknowledged and lost.
        """
        self._store(task_id, result, state, traceback, request)
        return self.encode_result(result, state)

    def _store(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any,
        request: Any,
        ignored: bool = False,
    ) -> bool:
        """Whether the state holds: False if another attempt holds the task.

        The record keeps an ``ignored`` result's state, and hides it from ``AsyncResult``.

        Nothing is written of a task that runs where it was called, unless Celery's settings ask
        for that (``task_store_eager_result``).

        Raises:
            Reject: the record can't be written now; or this is the attempt itself, or who speaks
                for it, and its message is left to the one that holds the task now.
        """
        if request is not None and request.id != task_id:
            # One task says something of another: what it holds itself doesn't count there.
            request = None
        if request is not None and request.get("is_eager") and not self._keeps_eager(request):
            return True
        if isinstance(result, Reject) and isinstance(result.reason, Exception):
            # What goes to the dead-letter queue fails for its reason, not for being rejected.
            result = result.reason
        try:
            with returning_message():
                self._write(task_id, result, state, traceback, request, ignored)
        except LeaseLostError as lost:
            log.warning("%s is not stored: %s", state, lost)
            if request is not None and request.get("owner") is not None:
                raise Reject(TakenOver(str(lost)), requeue=True) from lost
            return False
        return True

    def _keeps_eager(self, request: Any) -> bool:
        task = self.app.tasks.get(request.get("task"))
        return bool(task is not None and task.store_eager_result)

    def _write(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any,
        request: Any,
        ignored: bool,
    ) -> None:
        # The owner comes with the message, so that the main process, which speaks for a child
        # that was killed, is known by it as well.
        owner: str | None = request.get("owner") if request else None
        if state == states.RETRY:
            # Written already, before the next attempt's message was sent.
            return
        if state == states.STARTED and owner is not None and request.get("record") is None:
            # Celery's tracer, before the claim, which is the start.
            return
        if state not in states.TERMINAL:
            if owner is None:
                log.warning(
                    "%s of task %s isn't stored: only its holder can say so", state, task_id
                )
            else:
                self._report(task_id, owner, state, result, request)
            return
        record: TaskRecord | None = request.get("record") if request else None
        if record is None:
            record = self._record_of(task_id, request, owner)
        text: str | None = request.get("result_text") if request else None
        if text is None or ignored or state != states.SUCCESS:
            text = self._outcome(result, state, traceback, ignored)
        children = self.current_task_children(request)
        ending = Outcome(
            task_id,
            owner,
            state,
            result=self._keep_outcome(record, text, state),
            children=self._keep(record, "children", self.encode(children)) if children else None,
            failure=_failure(result, request) if state == states.FAILURE else None,
        )
        # A chord is told of its member once the member has ended, by the same process. A task that
        # ends itself, with update_state, still runs.
        hands_over = state == states.SUCCESS and owner is not None and request.get("has_run")
        if hands_over and not request.chord and outcomes.takes(ending):
            return
        ending.write()
        if request is not None:
            request.update(ended=True)

    def result_text(self, result: Any) -> str:
        """What is kept of a result. Raises ``ResultNotJsonError`` and ``ResultTooLargeError``."""
        text = encoding.to_text(self.encode_result(result, states.SUCCESS))
        if (size := len(text.encode())) > values.LARGEST:
            raise ResultTooLargeError(str(ValueTooLargeError(size)))
        return text

    def _keep_outcome(self, record: TaskRecord, outcome: str, state: str) -> str | None:
        """Keep what a task gave. Of a failure too large to keep, its name and message stay.

        Raises:
            ResultTooLargeError: it is the result of a task, which has failed by that.
        """
        try:
            return self._keep(record, "result", outcome)
        except ValueTooLargeError as error:
            if state == states.SUCCESS:
                raise ResultTooLargeError(str(error)) from error
            log.warning("the error of task %s is too large to be kept whole", record.task_id)
            return None

    def _keep(self, record: TaskRecord, name: str, text: str) -> str:
        """Keep a text of any size; the reference to it."""
        lasts = self._at_least(record)
        return services().values.put(record.tenant, record.task_id, name, text, lasts)

    def _at_least(self, record: TaskRecord) -> int:
        """How long a record lasts, which may be kept for longer since this attempt read it."""
        return max(record.expires_at, self._expires_at())

    def _report(self, task_id: str, owner: str, state: str, given: Any, request: Any) -> None:
        """Say what a running task has said of itself.

        Raises ``StateNameError`` and ``ResultNotJsonError``.
        """
        meta.check_state(state)
        text = encoding.python_text(given)
        record = request.get("record") or services().records.get(task_id)
        if record is None:
            raise LeaseLostError(task_id, owner, None)
        kept = meta.keep(record, owner, text, self._at_least(record))
        services().records.report(task_id, owner, state, meta=kept)

    def _outcome(self, result: Any, state: str, traceback: Any, ignored: bool) -> str:
        """What is kept of a task's end. Raises ``ResultNotJsonError``."""
        others = {"ignored": True} if ignored else {}
        if state == states.SUCCESS:
            return encoding.to_text(self.encode_result(result, state), **others)
        others["traceback"] = traceback
        told_itself = not isinstance(result, BaseException)
        encoded = told.as_kept(result) if told_itself else self.encode_result(result, state)
        try:
            return encoding.to_text(encoded, **others)
        except encoding.ResultNotJsonError:
            if told_itself:
                raise
            # Its arguments can't be kept. Its class and its message can.
            said = {**encoded, "exc_message": [Failure.of(result).message]}
            return encoding.to_text(said, **others)

    def _record_of(self, task_id: str, request: Any, owner: str | None) -> TaskRecord:
        """The task's record; one of its own for a task that ends without having been sent.

        Such are the steps of a chain after one that failed, and the body of a chord whose member
        failed.
        """
        found = services().records.get(task_id)
        if found is not None:
            return found
        if owner is not None:
            raise LeaseLostError(task_id, owner, None)
        errbacks = getattr(request, "errbacks", None)
        record: TaskRecord = self.app.new_record(
            getattr(request, "task", None) or "unknown",
            task_id,
            self.app.current_tenant(),
            Call(options={"link_error": errbacks} if errbacks else {}),
            queue=self.app.conf.task_default_queue,
        )
        try:
            services().records.create(record)
        except RecordExistsError as error:
            return error.existing
        return record

    # -- what follows

    def tell_again(self, request: Any, record: TaskRecord) -> None:
        """Repeat what follows a task's end, for the worker that may have died before it.

        Errbacks that were told are not told again.
        """
        request = self._whole(request)
        if request.chord:
            self.on_chord_part_return(request, record.state, None)
        if record.state not in states.UNSUCCESSFUL:
            return
        with on_behalf_of(request):
            if request.chain:
                self._fail_chain(request.chain, self._meta(record)["result"], state=record.state)
                self._rejoin(request.chain, record.state)
            if record.state == states.FAILURE and request.errbacks:
                ended = self._meta(record)
                self._call_task_errbacks(request, ended["result"], ended["traceback"])


def _failure(result: Any, request: Any) -> Failure:
    """What the record says of a failure: the error as the task raised it, or what it has told.

    Celery hands an error that can't be pickled to its backend as one of a class that can: the
    nearest base class, or ``UnpickleableExceptionWrapper``.
    """
    raised = request.get("raised") if request is not None else None
    if raised is not None and not request.get("has_run"):
        return Failure.of(raised)
    if isinstance(result, UnpickleableExceptionWrapper):
        result = EscapedError(result.exc_cls_name, ", ".join(map(str, result.exc_args)))
    return Failure.of(result) if isinstance(result, BaseException) else told.failure_of(result)
