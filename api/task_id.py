"""The id in a task's path."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends

from celeriac.errors import NotFoundError

# Ids are UUIDs, unless plain Celery code has chosen its own.
_TASK_ID = re.compile(r"[0-9A-Za-z_.:-]{1,255}")


async def _known_id(task_id: str) -> str:
    """What can't be an id is the id of no task."""
    if not _TASK_ID.fullmatch(task_id):
        raise NotFoundError(task_id[:100])
    return task_id


TaskId = Annotated[str, Depends(_known_id)]
