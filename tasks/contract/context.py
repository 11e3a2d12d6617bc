"""What a running task may ask of the system around it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel


class Artifact(BaseModel):
    """A file in S3 that a task made. ``url`` is filled in by the HTTP view, never stored."""

    name: str
    key: str
    content_type: str
    size: int
    url: str | None = None


class TaskContext(Protocol):
    """The second argument of every task function."""

    @property
    def task_id(self) -> str:
        """The same for every attempt: give it to outside systems as their idempotency key."""

    @property
    def attempt(self) -> int:
        """Which try this is, counted from 1."""

    @property
    def tenant(self) -> str:
        """Whose task this is."""

    @property
    def deadline(self) -> datetime:
        """When the time limit ends this attempt (UTC)."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller has asked for an end. Asks the record at most once a second."""

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs with the task's id, type and attempt on every line."""

    @property
    def workdir(self) -> Path:
        """A directory of this attempt's own, removed when the attempt ends."""

    def progress(self, current: int, total: int, message: str = "") -> None:
        """Tell the caller how far the task is.

        Cheap to call often: written at most twice a second, and always when ``current`` reaches
        ``total``. Raises ``Cancelled`` if the caller has asked for an end.
        """

    def read_artifact(self, key: str) -> Path:
        """Fetch an artifact of this tenant into ``workdir`` and give its path.

        Raises ``PermanentError`` (type ``artifact-not-found``) if there is no such artifact.
        """

    def save_artifact(
        self,
        name: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> Artifact:
        """Keep bytes, or the file at a path, as an artifact of this task and attempt."""
