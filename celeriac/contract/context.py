"""The context of a running task: its identity, progress, files and log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

_LONGEST_NAME = 100


def name_on_disk(key: str) -> str:
    """The name under which a worker keeps an artifact: the end of the key's last part.

    A key's last part may have as many bytes as a file system allows, or more. Tools that write next
    to the file need room for a suffix.
    """
    name = key.rpartition("/")[2].encode("utf-8", "replace")[-_LONGEST_NAME:]
    shown = name.decode("utf-8", "ignore").replace("\0", "")
    return "file" if shown in ("", ".", "..") else shown


class Artifact(BaseModel):
    """A file that a task saved in S3. Only the HTTP view sets ``url``; it is never stored."""

    name: str
    key: str
    content_type: str
    size: int
    url: str | None = None


class TaskContext(Protocol):
    """The second argument of every task function."""

    @property
    def task_id(self) -> str:
        """The same in every attempt: use it as the idempotency key of calls to other systems."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""

    @property
    def tenant(self) -> str:
        """The tenant that owns this task."""

    @property
    def deadline(self) -> datetime:
        """The time (UTC) at which the time limit ends this attempt."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller has cancelled the task. Reads the record at most once a second."""

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that adds the task's id, type and attempt to each line."""

    @property
    def workdir(self) -> Path:
        """This attempt's own directory, removed when the attempt ends."""

    def progress(self, current: int, total: int, message: str = "") -> None:
        """Show the caller how far the task is.

        Call it as often as you like: it writes at most twice a second, and always when
        ``current`` reaches ``total``. Raises ``Cancelled`` if the caller has cancelled the task.
        """

    def read_artifact(self, key: str) -> Path:
        """Fetch an artifact of this tenant into ``workdir``, and return its path.

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
        """Save bytes, or the file at a path, as an artifact of this task and attempt."""
