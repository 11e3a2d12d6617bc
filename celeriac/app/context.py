"""The ``TaskContext`` of a task that runs in a worker."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from celeriac import states
from celeriac.contract import Artifact, Cancelled, PermanentError
from celeriac.contract.context import name_on_disk
from celeriac.records import Progress, TaskRecord
from celeriac.storage.artifacts import ArtifactNotFoundError
from celeriac.storage.services import services

#: Progress is written at most this often: each report is a write that costs money.
REPORT_INTERVAL = timedelta(seconds=0.5)
#: The record is asked at most this often whether the caller wants an end.
ASK_INTERVAL = timedelta(seconds=1)


class AttemptContext:
    """What every attempt has, wherever it runs. Leaving it removes ``workdir``."""

    def __init__(
        self, task_id: str, type_name: str, attempt: int, tenant: str, time_limit: timedelta
    ) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.tenant = tenant
        self.deadline = datetime.now(UTC) + time_limit
        self.logger = logging.LoggerAdapter(
            logging.getLogger(f"tasks.{type_name}"),
            {"task_id": task_id, "task_type": type_name, "attempt": attempt},
        )
        self._type_name = type_name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if "workdir" in self.__dict__:
            shutil.rmtree(self.workdir, ignore_errors=True)

    @cached_property
    def workdir(self) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{self._type_name}-"))


class RunningContext(AttemptContext):
    """Implements ``TaskContext`` for one attempt under a lease."""

    def __init__(self, record: TaskRecord, owner: str, time_limit: timedelta) -> None:
        super().__init__(record.task_id, record.type, record.attempts, record.tenant, time_limit)
        self._record = record
        self._owner = owner
        self._reported_at = float("-inf")
        self._asked_at = monotonic()

    @property
    def cancelled(self) -> bool:
        if self._record.cancel_requested_at is None:
            now = monotonic()
            if now - self._asked_at >= ASK_INTERVAL.total_seconds():
                self._asked_at = now
                self._record = services().records.get(self.task_id) or self._record
        return self._record.cancel_requested_at is not None

    def progress(self, current: int, total: int, message: str = "") -> None:
        now = monotonic()
        if current < total and now - self._reported_at < REPORT_INTERVAL.total_seconds():
            return
        self._reported_at = self._asked_at = now
        self._record = services().records.report(
            self.task_id,
            self._owner,
            states.PROGRESS,
            progress=Progress(current=current, total=total, message=message),
        )
        if self._record.cancel_requested_at is not None:
            raise Cancelled

    def read_artifact(self, key: str) -> Path:
        # A directory of its own for each: two artifacts may have one name.
        path = Path(tempfile.mkdtemp(dir=self.workdir)) / name_on_disk(key)
        try:
            services().artifacts.download(self.tenant, key, path)
        except ArtifactNotFoundError as error:
            raise PermanentError(str(error), type="artifact-not-found") from error
        return path

    def save_artifact(
        self,
        name: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> Artifact:
        key = f"tasks/{self.task_id}/{self.attempt}/{name}"
        size = services().artifacts.put(
            self.tenant, key, content, content_type=content_type, metadata=metadata
        )
        return Artifact(name=name, key=key, content_type=content_type, size=size)
