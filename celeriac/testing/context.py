"""A context for unit tests: it keeps what the task did, in memory and in a temporary directory.

result = process_file(ProcessFile(file_key="files/1/a.png"), context)
assert context.artifacts["out.webp"].content.startswith(b"RIFF")
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from celeriac.contract.context import Artifact, TaskContext, name_on_disk
from celeriac.contract.errors import Cancelled, PermanentError


@dataclass(frozen=True)
class SavedArtifact:
    """What a task gave to ``save_artifact``."""

    artifact: Artifact
    content: bytes
    metadata: Mapping[str, str]


@dataclass
class FakeContext:
    """Implements ``TaskContext``. ``workdir`` is a directory of the test's own (``tmp_path``).

    ``files`` are the artifacts the task can read, by key. Setting ``cancelled`` makes the next
    ``progress`` raise ``Cancelled``, as it does in a worker.
    """

    workdir: Path
    task_id: str = "01890000-0000-7000-8000-000000000000"
    attempt: int = 1
    tenant: str = "test"
    deadline: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(minutes=5))
    cancelled: bool = False
    files: dict[str, Path] = field(default_factory=dict)
    steps: list[tuple[int, int, str]] = field(default_factory=list)
    artifacts: dict[str, SavedArtifact] = field(default_factory=dict)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        return logging.LoggerAdapter(logging.getLogger("tasks"), {"task_id": self.task_id})

    def progress(self, current: int, total: int, message: str = "") -> None:
        if self.cancelled:
            raise Cancelled
        self.steps.append((current, total, message))

    def read_artifact(self, key: str) -> Path:
        if key not in self.files:
            raise PermanentError(f"There is no artifact {key!r}.", type="artifact-not-found")
        # A directory of its own for each: two artifacts may have one name.
        copy = Path(tempfile.mkdtemp(dir=self.workdir)) / name_on_disk(key)
        shutil.copyfile(self.files[key], copy)
        return copy

    def save_artifact(
        self,
        name: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> Artifact:
        if {"", ".", ".."} & set(name.split("/")) or any(each < " " for each in name):
            raise ValueError(f"{name!r} can't be the name of an artifact.")
        data = content if isinstance(content, bytes) else content.read_bytes()
        key = f"tasks/{self.task_id}/{self.attempt}/{name}"
        artifact = Artifact(name=name, key=key, content_type=content_type, size=len(data))
        self.artifacts[name] = SavedArtifact(artifact, data, dict(metadata or {}))
        return artifact


if TYPE_CHECKING:

    def _implements(fake: FakeContext) -> TaskContext:
        """The type checker holds the fake to the interface."""
        return fake
