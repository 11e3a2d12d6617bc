"""Groups, chords and chains of the result backend: what a task's end means for others.

The members of a chord join it: each adds itself to a set. The member that completes the set sends
the body.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from datetime import timedelta
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.backends.base import BaseBackend, _create_chord_error_with_cause
from celery.canvas import Signature, group, maybe_signature
from celery.exceptions import ChordError, NotRegistered, SoftTimeLimitExceeded
from celery.result import GroupResult, allow_join_result, result_from_tuple
from kombu.utils.encoding import safe_repr
from kombu.utils.functional import maybe_list

from celeriac import clock, states
from celeriac.app.callbacks import with_ids
from celeriac.app.sending import on_behalf_of
from celeriac.errors import transient
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.topology import FURTHEST_DUE
from celeriac.transport.call import Call


class CanvasBackend(BaseBackend):
    """Keeps the results of groups, and joins chords."""

    supports_native_join = True

    def _save_group(self, group_id: str, result: Any) -> Any:
        text = self.encode({"result": result.as_tuple()})
        # Its tasks may all be due in a year. A chord's is deleted when its body is sent.
        services().groups.save(group_id, text, self._expires_at(after=FURTHEST_DUE))
        return result

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        text = services().groups.load(group_id)
        if text is None:
            return None
        meta: dict[str, Any] = self.decode(text)
        meta["result"] = result_from_tuple(meta["result"], self.app)
        return meta

    def _delete_group(self, group_id: str) -> None:
        services().groups.delete(group_id)

    def apply_chord(self, header_result_args: Any, body: Signature, **kwargs: Any) -> None:
        """Keep the header's results, so that the last member can find the others."""
        self.save_group(header_result_args[0], self.app.GroupResult(*header_result_args))

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count a member of a chord as done, and send the body when all are.

        Idempotent: the join is a set, and the body has an id of its own that is claimed once. A
        worker that dies between the last two steps leaves them to the redelivered message.

            member A    finish ✓ ── join: 2 of 3
            member B    finish ✓ ── join: 3 of 3 ── (dies)
            B again     OVER ────── join: 3 of 3 ── body sent
        """
        group_id = request.group
        if not group_id:
            return
        body: Signature = maybe_signature(request.chord, app=self.app)
        header = self.restore_group(group_id, cache=False)
        if header is None:
            # Another member has sent the body and removed the group.
            return
        size = request.chord.get("chord_size")
        # The others may be paused for long, or due in a year, as the group's own item may.
        lasts = self._expires_at(after=FURTHEST_DUE)
        done = services().groups.join(group_id, request.id, lasts)
        if done >= (len(header) if size is None else size):
            with on_behalf_of(request):
                self._send_body(body, header)

    def _fail_chain(self, chain: Any, *args: Any, **options: Any) -> None:
        """Like Celery's, which would leave a group at the end of a failed chain waiting forever."""
        super()._fail_chain(list(_steps(chain or ())), *args, **options)

    def _rejoin(self, chain: Iterable[Mapping[str, Any]], state: str) -> None:
        """Count the steps of a failed chain that are members of chords as done, once more.

        Celery takes it that a step which has failed was counted; its worker may have died before.
        """
        for each in _parts(chain):
            if each["options"].get("chord"):
                self.on_chord_part_return(_request_of(each), state, None)

    def _call_task_errbacks(self, request: Any, exc: Any, traceback: Any) -> None:
        """As Celery's: call the errbacks that take the error, and send the others.

        One that is sent has a derived id, so that sending it again is harmless. One that is called
        is noted before, so that it isn't called again:

            worker A    finish ✓ ── note ✓ ── called ── (dies)
            worker B                                      OVER ── note ✗
        """
        request = self._with_errbacks(request)
        request.errbacks = [
            each
            for each in request.errbacks
            if not self._is_called(each) or self._is_first_to_tell(request, each)
        ]
        if request.errbacks:
            super()._call_task_errbacks(request, exc, traceback)

    def _is_first_to_tell(self, request: Any, errback: Mapping[str, Any]) -> bool:
        if request.is_eager:
            return True
        told = errback["options"]["task_id"]
        return services().groups.note(request.id, told, self._expires_at())

    def _with_errbacks(self, request: Any) -> Any:
        """A request whose errbacks have ids of their own."""
        errbacks = map(self.app.signature, maybe_list(request.errbacks) or ())
        changed = copy(request)
        changed.errbacks = with_ids(errbacks, request.id, "errback")
        return changed

    def _is_called(self, errback: Mapping[str, Any]) -> bool:
        """Whether Celery calls an errback where the task has failed, as its own code decides it."""
        signature = self.app.signature(errback)
        try:
            header = getattr(signature.type, "__header__", None)
        except NotRegistered:
            return False
        if header is None or isinstance(header, partial):
            return False
        return bool(self._errback_arity_greater(signature, 1))

    def chord_error_from_stack(self, callback: Signature, exc: Any = None) -> Any:
        """Fail the body of a chord, and tell those who wait for it and its errbacks.

        As Celery's, which would neither tell a chord that the body is a member of, nor repeat what
        it couldn't send.
        """
        if isinstance(callback, group):
            return super().chord_error_from_stack(callback, exc)
        request = _request_of(callback)
        ended = services().records.get(request.id)
        if ended is not None and ended.terminal:
            self.tell_again(request, ended)
        else:
            traceback = ExceptionInfo((type(exc), exc, sys.exc_info()[2])).traceback
            self.mark_as_failure(request.id, exc, traceback, request=request)
        return None

    def _send_body(self, body: Signature, header: GroupResult) -> None:
        try:
            with allow_join_result():
                results = header.join_native(
                    timeout=self.app.conf.result_chord_join_timeout, propagate=True
                )
        except Exception as error:
            culprit = _failed_member(header)
            if culprit is None:
                if _passes(error):
                    # No member failed: their results can't be read now.
                    raise
                reason = safe_repr(error)
            else:
                body = _without(_told_of(culprit), body)
                reason = f"Dependency {culprit.task_id} raised {safe_repr(error)}"
            self.chord_error_from_stack(body, _create_chord_error_with_cause(reason, error))
        else:
            try:
                body.delay(results)
            except Exception as error:
                if _passes(error):
                    raise
                reason = f"Callback error: {safe_repr(error)}"
                self.chord_error_from_stack(body, _create_chord_error_with_cause(reason, error))
        header.delete()

    def _expires_at(self, after: timedelta = timedelta(0)) -> int:
        return (clock.now() + clock.millis(after + self.app.settings.record_ttl)) // 1000


def _passes(error: Exception) -> bool:
    """Whether joining a chord may succeed at another time. The chord has not failed.

    The time limit that strikes is that of the member which happens to be the last.
    """
    return transient(error) or isinstance(error, SoftTimeLimitExceeded)


def _failed_member(header: GroupResult) -> TaskRecord | None:
    """The first member of a chord that didn't succeed."""
    task_ids = list(member_ids(header))
    found = services().records.get_many(task_ids)
    failed = (
        found[each]
        for each in task_ids
        if each in found and found[each].state in states.UNSUCCESSFUL
    )
    return next(failed, None)


def _told_of(failed: TaskRecord) -> list[Any]:
    """The errbacks that were told of a failed member, which is the body of a chord itself."""
    if failed.failure is None or failed.failure.type != ChordError.__name__:
        return []
    text = services().values.get(failed.tenant, failed.task_id, failed.input)
    return list(Call.from_text(text).options.get("link_error") or ())


def _without(told: list[Any], body: Signature) -> Signature:
    """A chord's body that leaves out these errbacks.

    ``link_error`` of a chord links an errback to the bodies of the chords in it too: it is to hear
    of one failure once.
    """
    errbacks = maybe_list(body.options.get("link_error")) or ()
    spared: Signature = body.clone()
    spared.options["link_error"] = [each for each in errbacks if each not in told]
    return spared


def member_ids(header: GroupResult) -> Iterator[str]:
    """The ids of a group's tasks, those of the groups in it too."""
    for each in header.results:
        if isinstance(each, GroupResult):
            yield from member_ids(each)
        else:
            yield each.id


def _steps(signatures: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Signatures of a chain, and those inside its groups: each has a result of its own."""
    for each in signatures:
        yield each
        if each.get("subtask_type") in {"group", "chain"}:
            yield from _steps(each["kwargs"]["tasks"])


def _parts(signatures: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The same, and the bodies of chords among them."""
    for each in _steps(signatures):
        yield each
        if each.get("subtask_type") == "chord":
            yield from _parts([each["kwargs"]["body"]])


def _request_of(signature: Mapping[str, Any]) -> Context:
    """The request of a task that was never sent, for those who are told of its end."""
    options = signature["options"]
    return Context(
        {
            **signature,
            **options,
            "id": options.get("task_id"),
            "group": options.get("group_id"),
            "errbacks": options.get("link_error"),
            "delivery_info": {},
        }
    )
