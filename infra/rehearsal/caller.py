"""Someone with an API key: asks the function, and takes no answer but the expected one."""

from __future__ import annotations

import time

from infra import caller
from infra.rehearsal.deployment import RehearsalError
from infra.rehearsal.function import Function

_TASK_SECONDS = 120
_ENDS = ("SUCCESS", "FAILURE", "REVOKED")


class Caller(caller.Caller):
    """A caller of the API that runs in ``function``. Another status is a ``RehearsalError``."""

    def __init__(self, function: Function, key: str) -> None:
        super().__init__(function, key, RehearsalError)

    def end(self, task_id: str) -> str:
        """Wait until a task has ended; its last state, whatever it is after two minutes."""
        deadline = time.monotonic() + _TASK_SECONDS
        while True:
            state = str(self.ask("GET", f"/tasks/{task_id}", query="wait=20").json()["status"])
            if state in _ENDS or time.monotonic() > deadline:
                return state
