"""Whatever goes wrong, in whatever order: one holder at a time, ends are final, every task ends.

Hypothesis plays callers, workers, SQS and time against the engine (see ``stage``): messages that
are duplicated, reordered and late, leases that expire under a frozen worker, processes killed
between any two writes, answers of AWS that never arrive, cancellations, retries, hand-backs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from celeriac.app.factory import Celeriac
from celeriac.contract import Cancelled
from celeriac.errors import UnavailableError
from celeriac.operations.submission import Submission
from celeriac.records import (
    DynamoRecords,
    LeaseLostError,
    RecordStore,
    TaskRecord,
)
from celeriac.settings import Settings
from celeriac.storage import services
from celeriac.testing import MemoryRecords
from tests.unit.engine.interleaving import ATTEMPTS, System
from tests.unit.engine.pausing import VISIBILITY, PausedCall, Step, TaskStep
from tests.unit.engine.support import Timer

CUES = st.sampled_from([*[Step.GO] * 6, Step.REFUSED, Step.UNHEARD, Step.CRASH])
ACTS = st.sampled_from([*[TaskStep.RAISE] * 5, *TaskStep, Step.CRASH])

#: What may happen, when, and how likely it is.
EVENTS: list[tuple[Event, Callable[[Engine], object], int]] = []


def event(
    weight: int, when: Callable[[Engine], object] = lambda _engine: True
) -> Callable[[Event], Event]:
    """Something that may happen, ``weight`` times as likely as the rarest."""

    def add(happen: Event) -> Event:
        EVENTS.append((happen, when, weight))
        return happen

    return add


class Engine(RuleBasedStateMachine):
    """Callers, workers and AWS, one step at a time."""

    app: Celeriac
    timer: Timer

    def __init__(self) -> None:
        super().__init__()
        self.system = System(self.app, self.timer, self.new_store())
        self.queue = self.system.queue
        self.run = uuid.uuid4().hex
        self.callers: list[tuple[str, PausedCall]] = []
        #: In the order of submission: Hypothesis wants each run to be repeatable.
        self.submitted: dict[str, None] = {}
        self.accepted: set[str] = set()
        self.seen: dict[str, TaskRecord] = {}

    def new_store(self) -> RecordStore:
        return MemoryRecords(clock=self.timer)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule for all events: rules of their own would be drawn too seldom to get far."""
        likely = [each for each, when, weight in EVENTS if when(self) for _ in range(weight)]
        happens = data.draw(st.sampled_from(likely), "event")
        note(happens.__name__)
        happens(self, data)

    # -- callers

    @event(1, lambda self: len(self.callers) < 3)
    def submits(self, data: st.DataObject) -> None:
        """A caller submits; two with one key submit the same task, at once or one after another."""
        key = data.draw(st.sampled_from("ab"), "key")
        task_id, caller = self.system.caller(f"{self.run}-{key}")
        self.submitted[task_id] = None
        self.callers.append((task_id, caller))
        self._hear()

    @event(8, lambda self: self.callers)
    def caller_goes_on(self, data: st.DataObject) -> None:
        _, caller = data.draw(st.sampled_from(self.callers), "caller")
        caller.resume(data.draw(CUES, f"step at {caller.at}"))
        self._hear()

    def _hear(self) -> None:
        """What callers were answered, and that it is true."""
        for task_id, caller in [each for each in self.callers if each[1].done]:
            self.callers.remove((task_id, caller))
            if caller.crashed:
                continue
            if isinstance(caller.outcome, Submission):
                assert caller.outcome.record.task_id == task_id
                assert self.system.record(task_id), "accepted, and there is no record of it"
                self.accepted.add(task_id)
            else:
                assert isinstance(caller.outcome, UnavailableError), caller.outcome

    @event(1, lambda self: self.seen)
    def cancels(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(list(self.seen)), "task")
        self.system.witness.cancel(task_id)

    # -- workers

    @event(6, lambda self: self.queue.visible)
    def receives(self, data: st.DataObject) -> None:
        self.system.receive(data.draw(st.sampled_from(self.queue.visible), "message"))

    @event(2, lambda self: self.queue.messages or self.queue.deleted)
    def receives_twice(self, data: st.DataObject) -> None:
        """At least once: SQS delivers what it hides, and even what was deleted."""
        messages = self.queue.messages + self.queue.deleted
        message = data.draw(st.sampled_from(messages), "message")
        self.system.receive(replace(message) if message in self.queue.deleted else message)

    @event(14, lambda self: self.system.deliveries)
    def worker_goes_on(self, data: st.DataObject) -> None:
        delivery = data.draw(st.sampled_from(self.system.deliveries), "delivery")
        steps = ACTS if delivery.at == "task_step" else CUES
        delivery.resume(data.draw(steps, f"step at {delivery.at}"))
        self.system.settle(delivery)

    @event(2, lambda self: self.system.deliveries)
    def worker_ends_well(self, data: st.DataObject) -> None:
        """The usual case, which single steps would seldom reach."""
        self.system.play_out(data.draw(st.sampled_from(self.system.deliveries), "delivery"))

    @event(3, lambda self: self.system.unacknowledged)
    def acknowledges(self, data: st.DataObject) -> None:
        """In a batch, a moment later: a worker that is killed before loses it."""
        message = data.draw(st.sampled_from(self.system.unacknowledged), "message")
        if data.draw(st.booleans(), "arrives"):
            self.system.acknowledge(message)
        else:
            self.system.unacknowledged.remove(message)

    @event(3, lambda self: self.system.deliveries)
    def keeper_renews(self, data: st.DataObject) -> None:
        """Like ``celeriac.worker.keeper``: visibility, lease, and what the caller asked for."""
        delivery = data.draw(st.sampled_from(self.system.deliveries), "delivery")
        self.queue.hide(delivery.message, VISIBILITY)
        try:
            record = self.system.witness.renew(
                delivery.message.task_id, delivery.owner, delivery.message.hidden_until
            )
        except LeaseLostError:
            if delivery.at != "claim":
                delivery.crash()
        else:
            if record.cancel_requested_at is not None and delivery.at == "task_step":
                delivery.resume(Cancelled())
        self.system.settle(delivery)

    @event(1, lambda self: self.system.deliveries)
    def child_is_killed(self, data: st.DataObject) -> None:
        """By the kernel, or by a worker that drains."""
        delivery = data.draw(st.sampled_from(self.system.deliveries), "delivery")
        self.system.hand_back(delivery, lost=data.draw(st.booleans(), "lost"))

    @event(2)
    def time_passes(self, data: st.DataObject) -> None:
        seconds = data.draw(st.sampled_from([1, 20, 59, 61, 200]), "seconds")
        self.timer.advance(timedelta(seconds=seconds))

    # -- what always holds

    @invariant()
    def at_most_one_holds_a_live_lease(self) -> None:
        assert self.system.witness.violations == []
        for task_id in self.seen:
            assert len(self.system.witness.holders(task_id)) <= 1

    @invariant()
    def ends_are_final(self) -> None:
        for task_id in self.submitted:
            record = self.system.record(task_id)
            before = self.seen.get(task_id)
            if before is not None and before.terminal:
                assert record == before
            elif record is not None:
                self.seen[task_id] = record

    @invariant()
    def attempts_are_counted(self) -> None:
        assert all(1 <= record.attempt <= ATTEMPTS for record in self.seen.values())

    # -- when the faults are over

    def teardown(self) -> None:
        try:
            self._quiesce()
        finally:
            self.system.close()
            for _, caller in self.callers:
                caller.crash()

    def _quiesce(self) -> None:
        for _, caller in list(self.callers):
            while not caller.done:
                caller.resume(Step.GO)
        self._hear()
        self.system.deliver_everything()
        self.ends_are_final()
        left = [record for record in map(self.system.record, self.submitted) if record]
        unfinished = [record for record in left if not record.terminal]
        assert not {record.task_id for record in unfinished} & self.accepted
        # Never accepted: the caller died, or was told to try again. Its repetition, or cleanup,
        # sends what is there.
        for record in unfinished:
            self.app.resend(record)
        self.system.deliver_everything()
        self.ends_are_final()
        for task_id in self.submitted:
            found = self.system.record(task_id)
            assert found is None or found.terminal


class EngineOnDynamo(Engine):
    """The same on the real records, in moto."""

    def new_store(self) -> RecordStore:
        own = services.services()
        return DynamoRecords(own.dynamodb, own.settings.table_name, clock=self.timer)


Event = Callable[[Engine, st.DataObject], None]


def run(machine: type[Engine], app: Celeriac, timer: Timer, examples: int, steps: int) -> None:
    machine.app, machine.timer = app, timer
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_engine_survives_everything(staged_app: Celeriac, staged_timer: Timer) -> None:
    """On records in memory: many runs."""
    run(Engine, staged_app, staged_timer, examples=80, steps=50)


def test_the_engine_survives_everything_on_dynamodb(
    aws: Settings, staged_app: Celeriac, staged_timer: Timer
) -> None:
    """On DynamoDB: few runs, since each write takes its time."""
    run(EngineOnDynamo, staged_app, staged_timer, examples=5, steps=40)
