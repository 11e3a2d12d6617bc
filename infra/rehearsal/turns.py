"""Limits, priorities and pauses, while workers run."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from infra.rehearsal.caller import Caller
from infra.rehearsal.deployment import RehearsalError
from tasks.queues import DEFAULT

_TYPE, _SHORT = "long-running", {"total_steps": 1, "step_seconds": 0}
_LIMITED = "alone"
#: Workers obey a pause within ten seconds.
_OBEYED_SECONDS = 20


def run_one_at_a_time(caller: Caller) -> None:
    """More tasks are submitted than may run: they run one after the other."""
    ids = [caller.submit(_LIMITED, {}) for _ in range(3)]
    ran = sorted(_result(caller, id) for id in ids)
    if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(ran)):
        raise RehearsalError(f"Tasks of {_LIMITED!r} ran side by side: {ran}.")


def run_an_urgent_one(caller: Caller) -> None:
    """A task of high priority goes by the other lane, whose messages the same workers receive."""
    id = caller.submit(_TYPE, _SHORT, query="priority=high")
    if (end := caller.end(id)) != "SUCCESS":
        raise RehearsalError(f"The urgent task ended in {end}.")


def pause_and_resume(caller: Caller, log: Path) -> None:
    """A task of a paused queue is accepted, and starts after the queue is resumed.

    ``log`` is that of the queue's worker, which says when it obeys.
    """
    here = f"/queues/{DEFAULT.name}"
    # An earlier pause is in the log too.
    read = len(log.read_text())
    caller.ask("POST", f"{here}/pause", query="reason=a+rehearsal")
    try:
        _wait_for(log, f"paused: queue {DEFAULT.name}", read)
        id = caller.submit(_TYPE, _SHORT)
        resumed_at = time.time()
    finally:
        caller.ask("POST", f"{here}/resume", expect=HTTPStatus.NO_CONTENT)
    if (end := caller.end(id)) != "SUCCESS":
        raise RehearsalError(f"The task of the resumed queue ended in {end}.")
    started = datetime.fromisoformat(caller.ask("GET", f"/tasks/{id}").json()["started_at"])
    if started.timestamp() < resumed_at:
        raise RehearsalError(f"It started at {started}, while its queue was paused.")


def _result(caller: Caller, id: str) -> tuple[float, float]:
    if (end := caller.end(id)) != "SUCCESS":
        raise RehearsalError(f"A task of {_LIMITED!r} ended in {end}.")
    result: Any = caller.ask("GET", f"/tasks/{id}").json()["result"]
    return result["began"], result["ended"]


def _wait_for(log: Path, text: str, start: int) -> None:
    """Wait until a log says so after its first ``start`` characters."""
    deadline = time.monotonic() + _OBEYED_SECONDS
    while text not in log.read_text()[start:]:
        if time.monotonic() > deadline:
            raise RehearsalError(f"{log} doesn't say {text!r} within {_OBEYED_SECONDS} s.")
        time.sleep(0.2)
