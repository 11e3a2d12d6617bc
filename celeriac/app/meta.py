"""What plain Celery code says of a running task: ``update_state(state=…, meta=…)``.

The record is written again at each transition, so a longer text is kept next to it, or in S3:

    {"current": 1, "total": 2}                      the meta itself
    item:meta-5f2c {"current": 1, "total": 2}       where it is, and the progress in it

Each attempt has one place for it and writes it again.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from celeriac.contract.errors import Picklable
from celeriac.records import Progress, TaskRecord
from celeriac.storage.services import services

#: In bytes of UTF-8: with a usual one, a record stays within the KiB of one write unit.
INLINE_LIMIT = 256
_REFERENCES = ("item:", "s3:")
_LONGEST_STATE = 80


class StateNameError(Picklable, ValueError):
    """A running task says that it is in a state which no record can name."""

    def __init__(self, state: object) -> None:
        super().__init__(
            f"A task can't be in the state {state!r:.100}: use a text of up to {_LONGEST_STATE} "
            "printable characters, such as 'PROGRESS', and put the rest into meta."
        )
        self.state = state


def check_state(state: Any) -> None:
    """Raise ``StateNameError`` for what can't be the name of a state; None leaves it as it is."""
    if state is None:
        return
    if not (isinstance(state, str) and 0 < len(state) <= _LONGEST_STATE and state.isprintable()):
        raise StateNameError(state)


def keep(record: TaskRecord, owner: str, text: str, expires_at: int) -> str:
    """Keep a meta until ``expires_at``, in seconds since 1970; what the record holds of it.

    Raises ``ValueTooLargeError``.
    """
    if len(text.encode()) <= INLINE_LIMIT:
        return text
    place = f"meta-{hashlib.sha256(owner.encode()).hexdigest()[:12]}"
    reference = services().values.put(
        record.tenant, record.task_id, place, text, expires_at, again=True
    )
    progress = progress_of(text)
    if progress is None:
        return reference
    current, total, message = progress.current, progress.total, progress.message
    said = json.dumps({"current": current, "total": total, "message": message})
    return f"{reference} {said}" if len(said) <= INLINE_LIMIT else reference


def text_of(record: TaskRecord) -> str | None:
    """The meta of a running task. Raises ``ValueMissingError``."""
    if record.meta is None or not record.meta.startswith(_REFERENCES):
        return record.meta
    reference = record.meta.partition(" ")[0]
    return services().values.get(record.tenant, record.task_id, reference)


def progress_of(meta: str | None) -> Progress | None:
    """The progress in what a record holds of a meta.

    Celery's documentation names its members ``current`` and ``total``.
    """
    if meta is not None and meta.startswith(_REFERENCES):
        meta = meta.partition(" ")[2]
    if meta is None or not meta.startswith("{"):
        return None
    try:
        given = json.loads(meta)
    except (ValueError, RecursionError):
        return None
    match given:
        case {"current": current, "total": total} if _is_number(current) and _is_number(total):
            message = given.get("message", given.get("status", ""))
            return Progress(
                current=int(current),
                total=int(total),
                message=message if isinstance(message, str) else "",
            )
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
