"""Celery's remote control without a broadcast, which SQS doesn't have.

What ``app.control``, ``AsyncResult.revoke()`` and ``celery inspect`` ask of workers is answered
here, from records and from heartbeats (20 s old at most). What only a worker could do is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from celery.app.control import Control as CeleryControl
from celery.app.events import Events as CeleryEvents

from celeriac import clock, states
from celeriac.contract.errors import Picklable
from celeriac.errors import unavailable
from celeriac.operations import cancelling, queues
from celeriac.storage.heartbeats import Worker
from celeriac.storage.services import services
from celeriac.topology import FURTHEST_DUE

if TYPE_CHECKING:
    from celeriac.app.sending import CeleriacApp

Reply = dict[str, dict[str, Any]]


class NoBroadcastError(Picklable, NotImplementedError):
    """A command of Celery's remote control that needs to reach the workers themselves."""

    def __init__(self, command: str) -> None:
        self.command = command
        super().__init__(
            f"{command!r} is a broadcast to all workers, and SQS has none. "
            "What to use instead is told in docs/monitoring.md."
        )


class Events(CeleryEvents):
    """``app.events``: workers send none, so nothing can receive them."""

    def Receiver(self, *_: Any, **__: Any) -> NoReturn:  # noqa: N802 - Celery's name
        """Raises ``NoBroadcastError``."""
        raise NoBroadcastError("events")


class Control(CeleryControl):
    """``app.control`` of an app whose tasks have records."""

    app: CeleriacApp

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Iterable[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float = 1.0,
        limit: int | None = None,
        callback: Callable[[Reply], object] | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """Do what a command asks for, and answer as the workers would.

        Args:
            destination: the ids of the workers that are to answer; all unless given.

        Raises:
            NoBroadcastError: only the workers themselves could.
            UnavailableError: AWS is out of reach.
        """
        if command == "revoke":
            replies = [{"records": {"ok": self._revoke(**(arguments or {}))}}]
        elif command == "revoke_by_stamped_headers":
            replies = [{"records": {"ok": self._revoke_stamps(**(arguments or {}))}}]
        elif command in ANSWERS:
            with unavailable("DynamoDB"):
                workers = services().workers.list()
            replies = [
                {each.id: ANSWERS[command](each)}
                for each in workers
                if not destination or each.id in destination
            ]
        else:
            raise NoBroadcastError(command)
        if callback is not None:
            for each in replies:
                callback(each)
        return replies if reply else None

    def purge(self, connection: Any = None) -> int:
        """Remove what waits in all queues, and end its tasks as REVOKED; how many messages."""
        return sum(queues.purge(queue, app=self.app).removed for queue in self.app.catalogue.queues)

    discard_all = purge

    def _revoke(self, task_id: str | Iterable[str], terminate: bool = False, **signal: Any) -> str:
        """Revoke what waits for a worker; with ``terminate``, stop what runs as well.

        A running task gets ``Cancelled``, and is killed if it doesn't end: whatever the signal.
        A task that hasn't been sent, such as a later step of a chain, is revoked in advance.
        """
        task_ids = [task_id] if isinstance(task_id, str) else list(task_id)
        for each in task_ids:
            with unavailable("DynamoDB"):
                record = services().records.get(each)
            if record is None:
                self.app.backend.mark_as_revoked(each, "revoked before it was sent")
            elif terminate or record.state in states.WAITING or record.ahead:
                # Claimed ahead, it waits for a process. One that begins in this moment is stopped.
                cancelling.cancel(each, record.tenant)
        return f"tasks {', '.join(task_ids)} revoked"

    def _revoke_stamps(
        self, headers: Mapping[str, Any], terminate: bool = False, **signal: Any
    ) -> str:
        """Revoke what waits, or is sent later, with one of these stamps.

        Raises:
            NoBroadcastError: with ``terminate``: which tasks run with a stamp isn't known.
        """
        if terminate:
            raise NoBroadcastError("revoke_by_stamped_headers with terminate")
        # A task that waits, or is sent now, may be due in a year.
        kept = FURTHEST_DUE + self.app.settings.record_ttl
        expires_at = (clock.now() + clock.millis(kept)) // 1000
        with unavailable("DynamoDB"):
            services().stamps.revoke(headers, expires_at)
        return f"headers {dict(headers)} flagged as revoked, but not terminated"


def _stats(worker: Worker) -> dict[str, Any]:
    return {
        "pid": worker.pid,
        "uptime": (clock.now() - worker.started_at) // 1000,
        "prefetch_count": worker.prefetch,
        "pool": {"max-concurrency": worker.concurrency},
        "processed": worker.processed,
        "failed": worker.failed,
    }


def _active(worker: Worker) -> list[dict[str, Any]]:
    return [
        {
            "id": each.task_id,
            "name": each.type,
            "hostname": worker.hostname,
            "time_start": each.since / 1000,
        }
        for each in worker.active
    ]


def _reserved(worker: Worker) -> list[dict[str, Any]]:
    return [
        {"id": each.task_id, "name": each.type, "hostname": worker.hostname}
        for each in worker.reserved
    ]


#: What a worker would answer; the shapes are Celery's (celery/worker/control.py).
ANSWERS: dict[str, Callable[[Worker], Any]] = {
    "ping": lambda _: {"ok": "pong"},
    "active": _active,
    "active_queues": lambda worker: [{"name": name} for name in worker.queues],
    "reserved": _reserved,
    "registered": lambda worker: list(worker.registered),
    # Delays are SQS's and EventBridge's, never a worker's to keep.
    "scheduled": lambda _: [],
    "stats": _stats,
}
