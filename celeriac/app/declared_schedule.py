"""A schedule that code declares, whatever declares it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celeriac.contract import Schedule

#: docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_LONGEST_ID = 64
_DIGEST = 8
#: What the ids of task types' schedules begin with, and those of ``beat_schedule``.
OF_TYPE, OF_BEAT = PREFIXES = ("type-", "beat-")


@dataclass(frozen=True, kw_only=True)
class DeclaredSchedule:
    """A schedule that belongs to the deployment's own tenant. ``where`` is its place in the code.

    A typed task is called with ``schedule.payload``, a plain one with ``args``, ``kwargs`` and the
    ``options`` of ``apply_async``.
    """

    schedule_id: str
    type: str
    schedule: Schedule
    where: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


def schedule_id(name: str) -> str:
    """A name for EventBridge. One that is changed for it ends in a digest, and so stays unique."""
    plain = re.sub(r"[^0-9A-Za-z_.-]+", "-", name)
    if plain == name and len(name) <= _LONGEST_ID:
        return name
    digest = hashlib.blake2s(name.encode(), digest_size=_DIGEST // 2).hexdigest()
    return f"{plain[: _LONGEST_ID - _DIGEST - 1].rstrip('-')}-{digest}"
