"""Task ids: in the order of their creation, or derived from an idempotency key or another task."""

from __future__ import annotations

import os
import re
import uuid

from celeriac import clock

# Any fixed UUID serves; changing it would make every idempotency key new.
NAMESPACE = uuid.UUID("6a8ff4d8-2f6f-5b0e-9d0c-ce1e51ac0001")

#: Plain Celery code may choose ids of its own. Each has a URL, and a folder in S3.
_TASK_ID = re.compile(r"[0-9A-Za-z_.:-]{1,255}")


def is_task_id(task_id: object) -> bool:
    """Whether a task can have this id."""
    return (
        isinstance(task_id, str)
        and _TASK_ID.fullmatch(task_id) is not None
        and task_id not in {".", ".."}
    )


def new_task_id() -> str:
    """A UUIDv7: 48 bits of milliseconds, then random bits (RFC 9562, section 5.7)."""
    random_bits = int.from_bytes(os.urandom(10))
    value = (clock.now() & (1 << 48) - 1) << 80 | random_bits
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def derived_task_id(tenant: str, type_name: str, idempotency_key: str) -> str:
    """The one id that this tenant, task type and idempotency key always give (UUIDv5)."""
    # The lengths keep ("a", "bc") and ("ab", "c") apart.
    name = f"{len(tenant)}:{tenant}{len(type_name)}:{type_name}{idempotency_key}"
    return str(uuid.uuid5(NAMESPACE, name))


def following_task_id(task_id: str, role: str, place: int) -> str:
    """The one id of the task that follows another as its callback, say, of this place (UUIDv5)."""
    # No name of ``derived_task_id`` begins with a letter.
    return str(uuid.uuid5(NAMESPACE, f"{role} {place} of {task_id}"))
