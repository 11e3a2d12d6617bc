"""What ``AsyncResult`` reads of a task: its record, as Celery's other backends would show it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celeriac import clock, states
from celeriac.app import encoding, meta, told
from celeriac.app.canvas import CanvasBackend
from celeriac.records import TaskRecord
from celeriac.storage.services import services

log = logging.getLogger(__name__)


class ReadingBackend(CanvasBackend):
    """The half of the result backend that reads, and forgets. The other half stores."""

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """What ``AsyncResult`` shows, as with any backend of Celery's.

        An end whose result is ignored isn't shown, nor is a start that isn't tracked.
        """
        unknown = {"status": states.PENDING, "result": None}
        record = services().records.get(task_id)
        if record is None:
            return unknown
        has_told = record.meta is not None or record.progress is not None
        if record.state == states.STARTED and not has_told and not self._tracks(record):
            return {**unknown, "status": states.RETRY if record.retries else states.PENDING}
        found = self._meta(record)
        return unknown if found.pop("ignored", False) else found

    def _tracks(self, record: TaskRecord) -> bool:
        task = self.app.tasks.get(record.type)
        return bool(task.track_started if task else self.app.conf.task_track_started)

    def task_result_exists(self, task_id: str) -> bool:
        """Whether there is such a task: PENDING always means a real, queued one here."""
        return services().records.get(task_id) is not None

    def _meta(self, record: TaskRecord) -> dict[str, Any]:
        found: dict[str, Any] = {
            "status": record.state,
            "result": None,
            "traceback": None,
            "children": self._children(record),
            "task_id": record.task_id,
            "parent_id": record.parent_id,
            "group_id": record.group_id,
            "date_done": (
                clock.to_datetime(record.finished_at).isoformat() if record.finished_at else None
            ),
        }
        if record.result is not None:
            text = services().values.get(record.tenant, record.task_id, record.result)
            found |= encoding.from_text(text)
        elif record.state == states.REVOKED:
            found["result"] = self.encode_result(TaskRevokedError("revoked"), states.REVOKED)
        elif record.failure is not None:
            # Of an attempt that is tried again, and of an error too large to be kept whole.
            found["result"] = told.as_error(record.failure)
        elif record.meta is not None:
            found["result"] = self.decode(meta.text_of(record))
        elif record.progress is not None:
            found["result"] = {
                "current": record.progress.current,
                "total": record.progress.total,
                "message": record.progress.message,
            }
        return dict(self.meta_from_decoded(found))

    def _children(self, record: TaskRecord) -> Any:
        if record.children is None:
            return []
        if record.children.startswith("["):
            # As it was kept before children were kept by reference.
            return self.decode(record.children)
        return self.decode(services().values.get(record.tenant, record.task_id, record.children))

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
        """``AsyncResult.forget()``: remove the record of a task that has ended.

        Without its record, another task would never run.
        """
        if not services().records.forget(task_id):
            log.warning("task %s is not forgotten: it has not ended", task_id)
