"""The ``TaskContext`` of a task that runs where it was called: ``.apply()``, ``task_always_eager``.

Nothing is asked of AWS. What tasks save stays in this process, where later tasks can read it.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from celeriac.app.context import AttemptContext
from celeriac.contract import Artifact, PermanentError
from celeriac.contract.context import name_on_disk
from celeriac.storage.artifacts import ArtifactKeyError, ArtifactNotFoundError, is_key

#: What the eager tasks of this process have saved, by tenant and key.
_saved: dict[tuple[str, str], bytes] = {}


class EagerContext(AttemptContext):
    """Implements ``TaskContext`` in memory."""

    cancelled = False

    def __init__(self, request: Any, type_name: str, tenant: str, time_limit: timedelta) -> None:
        task_id = request.id or str(uuid.uuid4())
        super().__init__(task_id, type_name, (request.retries or 0) + 1, tenant, time_limit)

    def progress(self, current: int, total: int, message: str = "") -> None:
        self.logger.debug("progress: %s of %s %s", current, total, message)

    def read_artifact(self, key: str) -> Path:
        content = _saved.get((self.tenant, key))
        if content is None:
            missing = ArtifactNotFoundError(key)
            raise PermanentError(str(missing), type="artifact-not-found") from missing
        path = Path(tempfile.mkdtemp(dir=self.workdir)) / name_on_disk(key)
        path.write_bytes(content)
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
        if not is_key(key):
            raise ArtifactKeyError(key)
        data = content if isinstance(content, bytes) else content.read_bytes()
        _saved[self.tenant, key] = data
        return Artifact(name=name, key=key, content_type=content_type, size=len(data))


def forget() -> None:
    """Forget what eager tasks have saved. For tests."""
    _saved.clear()
