"""Celery tasks that claim their record before they run.

``RecordedTask`` is the base of every task of the app: of plain ``@app.task`` functions, and of
``celeriac.typed_task``, which runs the task types of the catalogue.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from celery import Task
from celery.exceptions import Ignore, Reject

from celeriac import clock, interruption, telemetry
from celeriac.calls import Call
from celeriac.errors import UnavailableError, transient
from celeriac.following import with_ids
from celeriac.letting_go import FAULT_PAUSE, Hidden, comes_back, put_off, told
from celeriac.messages import attempt_of
from celeriac.records import Claimed, ClaimLost, LeaseLostError, LostClaim, TaskRecord
from celeriac.services import services
from tasks.contract import Cancelled, PermanentError

log = logging.getLogger(__name__)

#: What our header of a message says may grow; a worker refuses a version it doesn't know.
SCHEMA_VERSION = 1
#: A task that has killed so many workers isn't given another.
MOST_LOST = 3
#: A process that begins with what was claimed so lately needn't ask whether it is cancelled.
PROMPT = timedelta(milliseconds=250)
#: After a lease has ended, for clocks that differ.
LEASE_MARGIN = timedelta(seconds=1)
#: The signatures that replace a task by several, of which only the last takes over its id.
CANVAS = frozenset({"chain", "group", "chord"})


class Poison(Exception):
    """A task whose every attempt killed its worker; ``lost`` says how many."""

    type = "worker-lost"

    def __init__(self, lost: int) -> None:
        super().__init__(lost)
        self.lost = lost

    def __str__(self) -> str:
        return (
            f"{self.lost} workers were lost while they ran this task. "
            "It may need more memory than they have, or crash the interpreter."
        )


class RecordedTask(Task):
    """A Celery task that runs only under a lease on its record."""

    abstract = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Whatever its author says: a message that is acknowledged early is lost with its worker.
        cls.acks_late = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Claim the task, or leave it to whoever has it.

        Raises:
            Ignore: there is nothing to do; the message is acknowledged.
            Reject: another worker may be at it; the message comes back later.
        """
        if not self.request.is_eager:
            claimed = self.request.get("claimed")
            _hide_own(self.request)
            ahead = self._still_ours(claimed)
            record = self._fit(ahead) if ahead else self._claim(task_id)
            self.request.update(record=record)
        super().before_start(task_id, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if request.called_directly or request.is_eager:
            return super().__call__(*args, **kwargs)
        record: TaskRecord = request.record
        reference = _header(request).get("input")
        if reference is not None:
            try:
                text = services().values.get(record.tenant, record.task_id, reference)
            except Exception as error:
                if not transient(error):
                    raise
                raise put_off(request, error) from error
            call = Call.from_text(text)
            args, kwargs = tuple(call.args), dict(call.kwargs)
            # What a retry sends on is what the attempt was called with.
            request.update(args=list(args), kwargs=kwargs)
        try:
            result = self._attempt(record, args, kwargs)
        except Cancelled as cancelled:
            why = "cancelled by its caller"
            # First what it saved: who sees REVOKED finds nothing of it.
            remove_artifacts(record)
            self.backend.mark_as_revoked(record.task_id, reason=why, request=request)
            raise Ignore(why) from cancelled
        except LeaseLostError as lost:
            # Whoever holds the task now has its message too: this one is not to be touched.
            raise Reject(Hidden(str(lost), None), requeue=True) from lost
        # From here on it isn't the task's own code that fails.
        callbacks = with_ids(request.callbacks, record.task_id, "callback")
        request.update(has_run=True, callbacks=callbacks)
        return result

    def retry(self, *args: Any, exc: BaseException | None = None, **options: Any) -> Any:
        """As Celery's; the record keeps what the retry is for."""
        self.request.update(retry_reason=exc)
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
            return super().on_replace(sig)
        try:
            handed_on = services().records.hand_on(self.request.id, self.request.owner)
            return super().on_replace(sig)
        except Ignore:
            if sig.subtask_type in CANVAS:
                _await(handed_on)
            raise
        except (UnavailableError, ClientError, BotoCoreError) as error:
            if not isinstance(error, UnavailableError) and not transient(error):
                raise
            why = Hidden(f"what replaces the task can't be sent now: {error}", FAULT_PAUSE)
            raise Reject(why, requeue=True) from error

    def _attempt(self, record: TaskRecord, args: Any, kwargs: Any) -> Any:
        if record.cancel_requested_at is not None:
            # While it waited for this process.
            raise Cancelled
        return interruption.run(record.task_id, self.run, *args, **kwargs)

    def _claim(self, task_id: str) -> TaskRecord:
        request = self.request
        if request.get("owner") is None:
            raise RuntimeError(
                "The message has no owner: it didn't come through celeriac.transport."
            )
        until = clock.now() + clock.millis(self.app.conf.celeriac_visibility)
        try:
            answer = services().records.claim(task_id, attempt_of(request), request.owner, until)
            if isinstance(answer, Claimed):
                return self._fit(answer.record)
            self._leave(answer)
        except Reject:
            raise
        except Exception as error:
            # Whatever it is, a permission that is missing or a time limit that strikes here, the
            # task hasn't run: acknowledged, it would be lost.
            if not transient(error):
                log.exception("task %s can't be claimed", task_id)
            why = Hidden(f"the record can't be claimed now: {error}", FAULT_PAUSE)
            raise Reject(why, requeue=True) from error
        log.info("task %s is not run: %s", task_id, answer.why.value)
        raise Ignore(answer.why.value)

    def _still_ours(self, claimed: TaskRecord | None) -> TaskRecord | None:
        """What was claimed ahead, unless the lease is over: this machine may have slept.

        Asked for anew if it has waited for so long that its caller may have cancelled it.

            main process   claim ✓ ── (waits for a process) ──────────►
            caller                        cancel: marked
            process                                              reads ── REVOKED, never begun

        Raises:
            Reject: the record can't be read now; the message comes back.
        """
        now = clock.now()
        if claimed is None or (claimed.lease_until or 0) <= now:
            return None
        visibility: timedelta = self.app.conf.celeriac_visibility
        claimed_at = (claimed.lease_until or 0) - clock.millis(visibility)
        if now - claimed_at < clock.millis(PROMPT):
            return claimed
        with comes_back():
            now_is = services().records.get(claimed.task_id)
        ours = now_is is not None and now_is.running and now_is.lease_owner == self.request.owner
        return now_is if ours else None

    def _fit(self, record: TaskRecord) -> TaskRecord:
        """The record, if its message can be run. Raises ``Reject``: it is dead-lettered."""
        if record.lost >= MOST_LOST:
            raise Reject(Poison(record.lost), requeue=False)
        version = _header(self.request).get("v", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            explanation = f"The message has version {version}; this worker reads {SCHEMA_VERSION}."
            raise Reject(PermanentError(explanation, type="unknown-version"), requeue=False)
        due = _header(self.request).get("due", record.created_at)
        if due > record.created_at:
            # For the task's own code: a worker is never asked to wait for it.
            self.request.update(eta=clock.to_datetime(due).isoformat())
        telemetry.started(record, due)
        return record

    def _leave(self, lost: ClaimLost) -> None:
        """Do what is left to do for a task that is not ours.

        Raises:
            Reject: another worker holds it; the message comes back when its lease has ended.
        """
        record = lost.record
        if record is None:
            return
        if lost.why is LostClaim.HELD:
            left = timedelta(milliseconds=max(0, (record.lease_until or 0) - clock.now()))
            raise Reject(Hidden(lost.why.value, left + LEASE_MARGIN), requeue=True)
        if record.terminal:
            # The worker that ended it may have died before its chord or chain heard of it.
            with told():
                self.backend.tell_again(self.request, record)
        elif lost.why is LostClaim.STALE and record.attempt > attempt_of(self.request):
            # Its retry was recorded, and its worker may have died before sending the message.
            self.app.resend(record)


def adopt(base: type[Any]) -> type[Any]:
    """A task class that claims its record, whatever class its author wrote."""
    if issubclass(base, RecordedTask):
        return base
    return type(base.__name__, (RecordedTask, base), {"abstract": True, "__module__": __name__})


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
    prefix = f"tasks/{record.task_id}/{record.attempt}/"
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


def _hide_own(request: Any) -> None:
    """Leave to a task the headers that its caller gave: ``self.request.headers``."""
    for name in ("claimed", "owner"):
        if request.headers:
            request.headers.pop(name, None)


def _header(request: Any) -> dict[str, Any]:
    return request.get("celeriac") or {}
