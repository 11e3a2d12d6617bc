"""One check's run: a caller with a key, a time limit, and a list of what to undo."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from infra.caller import Caller
from infra.verify.check import NotHeld
from infra.verify.deployment import Deployment

ENDS = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
#: A long poll, shorter than the API's longest.
_POLL_SECONDS = 20

_T = TypeVar("_T")


class Trial(Caller):
    """What a check may use. Every wait ends with the check's time limit.

    Another answer than the expected one is a ``NotHeld``.
    """

    def __init__(self, deployment: Deployment, key: str, limit: timedelta) -> None:
        super().__init__(deployment.api, key, NotHeld)
        self.deployment = deployment
        self._limit = limit
        self._ends_at = time.monotonic() + limit.total_seconds()
        self._undo: list[Callable[[], object]] = []

    def submit(
        self, type: str, payload: object, *, query: str = "", idempotency_key: str | None = None
    ) -> str:
        """Submit a task, which is cancelled afterwards if it hasn't ended; its id."""
        id = super().submit(type, payload, query=query, idempotency_key=idempotency_key)
        self.cancels(id)
        return id

    def cancels(self, task_id: str) -> None:
        """Have a task cancelled afterwards, if it hasn't ended."""

        def cancel() -> None:
            path = f"/tasks/{task_id}"
            answer = self.api.request("DELETE", path, key=self.key)
            # 409: it has ended. 404: it never was.
            if answer.status not in (200, 202, 404, 409):
                raise NotHeld(f"DELETE {path} answered {answer.status}")

        self.undoes(cancel)

    def task(self, id: str, *, wait: int = 0) -> dict[str, Any]:
        """A task, when it changes or after ``wait`` seconds."""
        query = f"wait={wait}" if wait else ""
        found: dict[str, Any] = self.ask("GET", f"/tasks/{id}", query=query).json()
        return found

    def starts(self, id: str) -> dict[str, Any]:
        """Wait until a worker runs the task."""
        # No long poll: one that begins after the start waits for the next change.
        return self.until(lambda: _if_started(self.task(id)), f"worker that runs {id}", every=0.3)

    def ends(self, id: str, state: str = "SUCCESS") -> dict[str, Any]:
        """Wait until the task has ended.

        Raises:
            NotHeld: it ended in another state, or not in time.
        """
        task = self.until(
            lambda: _if_ended(self.task(id, wait=self._poll())), f"end of the task {id}", every=0.2
        )
        if task["status"] != state:
            raise NotHeld(f"{task['type']} {id} ended in {task['status']}: {task['error']}")
        return task

    def until(self, look: Callable[[], _T | None], what: str, *, every: float = 1) -> _T:
        """Look until there is something.

        Raises:
            NotHeld: there is nothing within the check's time.
        """
        while not (found := look()):
            if time.monotonic() + every > self._ends_at:
                raise NotHeld(f"there was no {what} within {self._limit}")
            time.sleep(every)
        return found

    def undoes(self, action: Callable[[], object]) -> None:
        """Have something undone afterwards. What was done last is undone first."""
        self._undo.append(action)

    def clean_up(self) -> list[str]:
        """Undo it all; what could not be undone, and why."""
        left = []
        while self._undo:
            try:
                self._undo.pop()()
            except Exception as error:  # noqa: BLE001 - the rest is undone all the same
                left.append(f"{type(error).__name__}: {error}")
        return left

    def _poll(self) -> int:
        return max(1, min(_POLL_SECONDS, int(self._ends_at - time.monotonic())))


def _if_ended(task: dict[str, Any]) -> dict[str, Any] | None:
    return task if task["status"] in ENDS else None


def _if_started(task: dict[str, Any]) -> dict[str, Any] | None:
    return task if task["started_at"] else None
