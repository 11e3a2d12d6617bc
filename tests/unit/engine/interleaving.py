"""A queue, records and a task type, with the worker's main process, for interleaved calls."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from celeriac.app.factory import Celeriac
from celeriac.contract import (
    BaseModel,
    Catalogue,
    Retry,
    TaskContext,
    task,
)
from celeriac.operations.submission import submit
from celeriac.records import (
    Claimed,
    ClaimLost,
    LeaseLostError,
    RecordStore,
    TaskRecord,
    identifiers,
)
from celeriac.storage import services
from celeriac.testing import MemoryValues
from tasks.queues import DEFAULT
from tests.unit.engine import pausing
from tests.unit.engine.pausing import VISIBILITY, Delivery, Message, PausedCall, Step, TaskStep
from tests.unit.engine.support import Timer

ATTEMPTS = 3


class Part(BaseModel):
    """No fields: the steps say what happens."""


@task(
    queue=DEFAULT,
    time_limit=timedelta(minutes=5),
    retry=Retry(attempts=ATTEMPTS, first_delay=timedelta(seconds=2)),
)
def play(payload: Part, context: TaskContext) -> Part:
    """Do what the steps say."""
    result: Part = pausing.run_steps(payload, context)
    return result


TYPES = Catalogue([play])


class Witness:
    """A record store; checks what owners are told, and keeps what they may believe."""

    def __init__(self, store: RecordStore, timer: Timer) -> None:
        self.store = store
        self._timer = timer
        #: What must never happen; a list, since the engine would take an exception for a fault.
        self.violations: list[str] = []
        #: Who was given each task last.
        self._holder: dict[str, str] = {}
        #: Until when each owner may believe that it holds a task, by task.
        self._leases: dict[str, dict[str, int]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def claim(
        self, task_id: str, attempt: int, owner: str, until: int, *, ahead: bool = False
    ) -> Claimed | ClaimLost:
        answer = self.store.claim(task_id, attempt, owner, until, ahead=ahead)
        if isinstance(answer, Claimed):
            if set(self.holders(task_id)) - {owner}:
                self.violations.append(f"{owner} claimed under another's live lease")
            self._holder[task_id] = owner
            self._leases.setdefault(task_id, {})[owner] = until
        return answer

    def renew(self, task_id: str, owner: str, until: int) -> TaskRecord:
        record = self._accepted(self.store.renew(task_id, owner, until), owner)
        self._leases[task_id][owner] = until
        return record

    def report(self, task_id: str, owner: str, *rest: Any, **named: Any) -> TaskRecord:
        return self._accepted(self.store.report(task_id, owner, *rest, **named), owner)

    def retry(self, task_id: str, owner: str, *rest: Any, **named: Any) -> TaskRecord:
        return self._gone(self.store.retry(task_id, owner, *rest, **named), owner)

    def release(self, task_id: str, owner: str, **named: Any) -> TaskRecord:
        before = self.store.get(task_id)
        record = self.store.release(task_id, owner, **named)
        if before == record:
            # It was free already, by its last holder: nothing was written.
            self._leases[task_id].pop(owner, None)
            return record
        return self._gone(record, owner)

    def finish(self, task_id: str, owner: str | None, *rest: Any, **named: Any) -> TaskRecord:
        return self._gone(self.store.finish(task_id, owner, *rest, **named), owner)

    def _accepted(self, record: TaskRecord, owner: str | None) -> TaskRecord:
        if owner is not None and self._holder.get(record.task_id) != owner:
            self.violations.append(f"{owner} wrote {record.state} after being fenced off")
        return record

    def _gone(self, record: TaskRecord, owner: str | None) -> TaskRecord:
        if owner is not None:
            self._leases[record.task_id].pop(owner, None)
        return self._accepted(record, owner)

    def holders(self, task_id: str) -> list[str]:
        """Who may believe now that it holds the task."""
        leases = self._leases.get(task_id, {})
        return [owner for owner, until in leases.items() if until > self._timer.now]


class System:
    """What callers and workers act upon, and the acts of a worker's main process."""

    def __init__(self, app: Celeriac, timer: Timer, store: RecordStore) -> None:
        self.app = app
        self.timer = timer
        self.witness = Witness(store, timer)
        self.queue = pausing.Queue(timer)
        self.deliveries: list[Delivery] = []
        self.unacknowledged: list[Message] = []
        self._owners = 0
        own = services.services()
        own.records = pausing.PausingRecords(self.witness)
        own.values = MemoryValues()
        own.artifacts = pausing.NoArtifacts()  # type: ignore[assignment]
        app.amqp.send_task_message = self.queue.send

    def record(self, task_id: str) -> TaskRecord | None:
        return self.witness.store.get(task_id)

    def caller(self, key: str) -> tuple[str, PausedCall]:
        """A caller that submits a task with an idempotency key, and the task's id."""
        task_id = identifiers.derived_task_id("default", play.name, key)
        return task_id, PausedCall(lambda: submit(play.name, {}, idempotency_key=key, app=self.app))

    def receive(self, message: Message) -> Delivery:
        """A worker takes a message."""
        self._owners += 1
        self.queue.hide(message, VISIBILITY)
        delivery = Delivery(self.app, message, f"worker/{self._owners}")
        self.deliveries.append(delivery)
        self.settle(delivery)
        return delivery

    def settle(self, delivery: Delivery) -> None:
        """Do what the main process does once a child is done with its message."""
        if not delivery.done:
            return
        self.deliveries.remove(delivery)
        if delivery.crashed:
            return
        done_with = delivery.tell_main_process(self.app, self.queue)
        if done_with is not None:
            self.unacknowledged.append(done_with)

    def play_out(self, delivery: Delivery) -> None:
        """Let a worker go on without faults, to its task's success."""
        while not delivery.done:
            delivery.resume(TaskStep.RETURN if delivery.at == "task_step" else Step.GO)
        self.settle(delivery)

    def acknowledge(self, message: Message) -> None:
        self.unacknowledged.remove(message)
        self.queue.delete(message)

    def hand_back(self, delivery: Delivery, *, lost: bool) -> None:
        """The child has died, or is killed by a worker that drains."""
        delivery.crash()
        self.settle(delivery)
        with suppress(LeaseLostError):
            crash = "exit code 3" if lost else None
            self.witness.release(delivery.message.task_id, delivery.owner, crash=crash)
        self.queue.hide(delivery.message, timedelta(0))

    def deliver_everything(self) -> None:
        """Without another fault: every message is received and run, until none is left."""
        for _ in range(300):
            for delivery in list(self.deliveries):
                self.play_out(delivery)
            for message in list(self.unacknowledged):
                self.acknowledge(message)
            if not self.queue.messages:
                return
            soonest = min(message.hidden_until for message in self.queue.messages)
            self.timer.now = max(self.timer.now, soonest)
            self.receive(self.queue.visible[0])
        raise AssertionError("messages go round for ever")

    def close(self) -> None:
        """No thread is left behind."""
        for delivery in self.deliveries:
            delivery.crash()
