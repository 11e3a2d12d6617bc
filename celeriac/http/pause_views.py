"""How pauses look to callers: of queues and of task types alike."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from celeriac.clock import to_datetime
from celeriac.operations.pausing import LONGEST_REASON
from celeriac.storage.pauses import Pause


class PauseOptions(BaseModel):
    """What can be said of a pause."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=LONGEST_REASON, description="For others to read.")


class PauseView(BaseModel):
    """Workers begin none of its tasks. They are accepted, and wait."""

    model_config = ConfigDict(title="Pause")

    since: datetime
    by: str | None = Field(description="The key or token's subject that paused it.")
    reason: str | None


def shown(pause: Pause) -> PauseView:
    """A pause as callers see it."""
    return PauseView(since=to_datetime(pause.since), by=pause.by, reason=pause.reason)


def pause_view(pause: Pause | None) -> PauseView | None:
    """The same, of what may not be paused."""
    return None if pause is None else shown(pause)


def pause_link(here: str, pause: Pause | None) -> dict[str, str]:
    """Where to POST to change it."""
    action = "pause" if pause is None else "resume"
    return {action: f"{here}/{action}"}
