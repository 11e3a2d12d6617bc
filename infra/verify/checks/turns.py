"""Whose turn it is: urgent tasks, and queues that are paused."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from http import HTTPStatus

from infra.verify.check import NotHeld, NotShown, check
from infra.verify.checks.tasks import SHORT
from infra.verify.checks.workers import not_in_use
from infra.verify.trial import Trial
from tasks.queues import DEFAULT

_TYPE = "long-running"
_QUEUE = DEFAULT.name
#: More than a worker takes at a time.
_BACKLOG = 40
_SLOW = {"total_steps": 1, "step_seconds": 2}
#: Workers obey a pause within so long.
_OBEYED = timedelta(seconds=10)
#: And delete the messages of cancelled tasks within so long.
_EMPTIED = timedelta(minutes=2)


@check(
    "high-lane",
    claims="An urgent task ends while normal ones that were submitted before it still wait.",
    proves="priorities.md",
    limit=timedelta(minutes=10),
)
def high_lane(trial: Trial) -> str:
    for _ in range(_BACKLOG):
        trial.submit(_TYPE, _SLOW)
    began = time.monotonic()
    trial.ends(trial.submit(_TYPE, SHORT, query="priority=high"))
    waiting = trial.ask("GET", f"/queues/{_QUEUE}").json()["waiting"]
    if not waiting:
        raise NotHeld(f"none of {_BACKLOG} normal tasks waited any more when it ended")
    return f"it ended after {time.monotonic() - began:.0f} s; {waiting} normal ones still waited"


@check(
    "pause",
    claims="A task of a paused queue is accepted and waits; it starts once the queue is resumed.",
    proves="pausing.md",
    limit=timedelta(minutes=10),
)
def pause(trial: Trial) -> str:
    _wait_until_empty(trial)
    here = f"/queues/{_QUEUE}"

    def resume() -> None:
        trial.ask("POST", f"{here}/resume", expect=HTTPStatus.NO_CONTENT)

    trial.ask("POST", f"{here}/pause")
    trial.undoes(resume)
    time.sleep(_OBEYED.total_seconds())
    id = trial.submit(_TYPE, SHORT)
    time.sleep(_OBEYED.total_seconds())
    if trial.task(id)["started_at"]:
        raise NotHeld(f"the task {id} started while its queue was paused")
    began = time.monotonic()
    resume()
    task = trial.ends(id)
    held = datetime.fromisoformat(task["started_at"]) - datetime.fromisoformat(task["created_at"])
    return (
        f"held for {held.total_seconds():.0f} s; it ended {time.monotonic() - began:.0f} s after "
        "the resume"
    )


def _wait_until_empty(trial: Trial) -> None:
    """Wait for the last messages of an earlier check, whose tasks are cancelled.

    Raises ``NotShown`` if others use the queue.
    """
    gives_up_at = time.monotonic() + _EMPTIED.total_seconds()
    while True:
        try:
            return not_in_use(trial)
        except NotShown:
            if time.monotonic() > gives_up_at:
                raise
        time.sleep(1)


CHECKS = (high_lane, pause)
