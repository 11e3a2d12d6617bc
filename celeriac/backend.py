"""Celery's result backend, over the task records.

``store_result`` is one conditional update, valid only for the attempt that holds the lease. What
an attempt that has lost its lease has to say is logged and dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from celery.exceptions import Reject, TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celeriac import clock, outcomes, states, telemetry
from celeriac.calls import Call
from celeriac.canvas import CanvasBackend
from celeriac.errors import transient
from celeriac.letting_go import Hidden, comes_back, put_off, told
from celeriac.outcomes import Outcome
from celeriac.records import (
    Failure,
    LeaseLostError,
    RecordExistsError,
    TaskRecord,
)
from celeriac.sending import on_behalf_of
from celeriac.services import services

log = logging.getLogger(__name__)


class RecordBackend(CanvasBackend):
    """Stores states and results in task records, groups and chord joins beside them."""

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
        stored = self._store(task_id, result if kept else None, state, None, request)
        if stored and request and request.chord:
            with told():
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
            # The task did well. Its callbacks and its chain's next step couldn't be sent.
            raise put_off(request, exc)
        if not self._store(task_id, exc, state, traceback, request) or not request:
            return
        with told(), on_behalf_of(request):
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
        ended = self._store(task_id, error, state, None, request)
        if ended and request:
            with told(), on_behalf_of(request):
                if request.chord:
                    self.on_chord_part_return(request, state, error)
                self._fail_chain(request.chain, error, state=state)
        return ended

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

    def _store(self, task_id: str, result: Any, state: str, traceback: Any, request: Any) -> bool:
        """Whether the state was written down: False if another attempt holds the task.

        Raises:
            Reject: the record can't be written now; or this is the attempt itself, or who speaks
                for it, and its message is left to the one that holds the task now.
        """
        if request is not None and request.id != task_id:
            # One task says something of another: what it holds itself doesn't count there.
            request = None
        if isinstance(result, Reject) and isinstance(result.reason, Exception):
            # What goes to the dead-letter queue fails for its reason, not for being rejected.
            result = result.reason
        try:
            with comes_back():
                self._write(task_id, result, state, traceback, request)
        except LeaseLostError as lost:
            log.warning("%s is not stored: %s", state, lost)
            if request is not None and request.get("owner") is not None:
                raise Reject(Hidden(str(lost), None), requeue=True) from lost
            return False
        return True

    def _write(self, task_id: str, result: Any, state: str, traceback: Any, request: Any) -> None:
        # The owner comes with the message, so that the main process, which speaks for a child
        # that was killed, is known by it as well.
        owner: str | None = request.get("owner") if request else None
        if state == states.RETRY:
            # Written already, before the next attempt's message was sent.
            return
        if state not in states.TERMINAL:
            if owner is None:
                log.warning(
                    "%s of task %s isn't stored: only its holder can say so", state, task_id
                )
            else:
                services().records.report(task_id, owner, state, meta=self.encode(result))
            return
        record: TaskRecord | None = request.get("record") if request else None
        if record is None:
            record = self._record_of(task_id, request, owner)
        outcome = {"result": self.encode_result(result, state)}
        if state != states.SUCCESS:
            outcome["traceback"] = traceback
        children = self.current_task_children(request)
        encoded_children = self.encode(children) if children else None
        reference = services().values.put(
            record.tenant, task_id, "result", self.encode(outcome), record.expires_at
        )
        if state == states.SUCCESS and owner is not None:
            success = Outcome(task_id, owner, reference, encoded_children)
            # A chord is told of its member once the member has ended, by the same process.
            if request.chord or not outcomes.takes(success):
                success.write()
            return
        ended = services().records.finish(
            task_id,
            owner,
            state,
            result=reference,
            failure=Failure.of(result) if state == states.FAILURE else None,
            children=encoded_children,
        )
        telemetry.ended(ended)

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

    # -- reading

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        record = services().records.get(task_id)
        return self._meta(record) if record else {"status": states.PENDING, "result": None}

    def task_result_exists(self, task_id: str) -> bool:
        """Whether there is such a task: PENDING always means a real, queued one here."""
        return services().records.get(task_id) is not None

    def _meta(self, record: TaskRecord) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "status": record.state,
            "result": None,
            "traceback": None,
            "children": self.decode(record.children) if record.children else [],
            "task_id": record.task_id,
            "parent_id": record.parent_id,
            "group_id": record.group_id,
            "date_done": (
                clock.to_datetime(record.finished_at).isoformat() if record.finished_at else None
            ),
        }
        if record.result is not None:
            text = services().values.get(record.tenant, record.task_id, record.result)
            meta |= self.decode(text)
        elif record.state == states.REVOKED:
            meta["result"] = self.encode_result(TaskRevokedError("revoked"), states.REVOKED)
        elif record.state == states.RETRY and record.failure is not None:
            meta["result"] = {
                "exc_type": record.failure.type,
                "exc_message": [record.failure.message],
                "exc_module": None,
            }
        elif record.meta is not None:
            meta["result"] = self.decode(record.meta)
        elif record.progress is not None:
            meta["result"] = {
                "current": record.progress.current,
                "total": record.progress.total,
                "message": record.progress.message,
            }
        return dict(self.meta_from_decoded(meta))

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> Any:
        """What became of a task, once it has ended.

        Of a chord that failed, ``get()`` raises its member's own error, which ``on_interval`` looks
        for. With Celery's own it depends on whether the body failed between the same two looks.
        """
        meta = super().wait_for(task_id, timeout, interval, no_ack, on_interval)
        if on_interval is not None and meta["status"] == states.FAILURE:
            on_interval()
        return meta

    def get_many(
        self,
        task_ids: Any,
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,
        on_message: Any = None,
        on_interval: Any = None,
        max_iterations: int | None = None,
        **kwargs: Any,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The results of tasks as they end, read a hundred at a time."""
        waiting = {str(task_id) for task_id in task_ids}
        interval = 0.5 if interval is None else interval
        elapsed = 0.0
        rounds = 0
        while waiting:
            for task_id, record in services().records.get_many(waiting).items():
                if record.terminal:
                    waiting.discard(task_id)
                    meta = self._meta(record)
                    if on_message is not None:
                        on_message(meta)
                    yield task_id, meta
            rounds += 1
            if not waiting or (max_iterations and rounds >= max_iterations):
                return
            if timeout is not None and elapsed >= timeout:
                raise CeleryTimeoutError(
                    f"{len(waiting)} tasks have not ended after {timeout:g} s."
                )
            if on_interval:
                on_interval()
            nap = interval if timeout is None else min(interval, timeout - elapsed)
            self._sleep(nap)
            elapsed += nap

    def _forget(self, task_id: str) -> None:
        services().records.discard(task_id)

    # -- what follows

    def tell_again(self, request: Any, record: TaskRecord) -> None:
        """Repeat what follows a task's end, for the worker that may have died before it.

        Of its errbacks those that are sent: one that is called had its call when the task ended.
        """
        if request.chord:
            self.on_chord_part_return(request, record.state, None)
        if record.state not in states.UNSUCCESSFUL:
            return
        with on_behalf_of(request):
            if request.chain:
                self._fail_chain(request.chain, self._meta(record)["result"], state=record.state)
                self._rejoin(request.chain, record.state)
            if record.state == states.FAILURE and request.errbacks:
                self._send_errbacks(request)
