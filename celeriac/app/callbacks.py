"""What is sent because a task has ended: its callbacks and errbacks, with ids derived from its own.

The worker may die, or find SQS out of reach, before the task's end is written or acknowledged. Then
they are sent a second time, and that finds the records of the first:

    worker A    callback sent ── (dies)
    worker B                              callback sent: it exists ── finish ✓

Of a callback that is a canvas of several tasks, only the one that gives its result has such an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from celeriac.records import identifiers


def with_ids(
    signatures: Iterable[Mapping[str, Any]] | None, task_id: str, role: str
) -> list[dict[str, Any]]:
    """The signatures that follow a task, in their order. One that has an id keeps it."""
    return [
        {
            **each,
            "options": {
                "task_id": identifiers.following_task_id(task_id, role, place),
                **each["options"],
            },
        }
        for place, each in enumerate(signatures or ())
    ]
