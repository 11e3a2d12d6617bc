"""Whatever goes wrong, in whatever order: one holder at a time, ends are final, every task ends.

Hypothesis plays callers, workers, SQS and time against the engine (see ``stage``): messages that
are duplicated, reordered and late, leases that expire under a frozen worker, processes killed
between any two writes, answers of AWS that never arrive, cancellations, retries, hand-backs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from celery import _state
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from celeriac import clock, identifiers, services
from celeriac.app import CeleriacApp, make_app
from celeriac.errors import UnavailableError
from celeriac.records import (
    Claimed,
    DynamoRecords,
    LeaseLostError,
    MemoryRecords,
    RecordStore,
    TaskRecord,
)
from celeriac.settings import Settings
from celeriac.submission import Submission, submit
from celeriac.values import MemoryValues
from tasks.contract import BaseModel, Cancelled, Catalogue, Queue, Retry, TaskContext, task
from tests.unit.engine import stage
from tests.unit.engine.stage import VISIBILITY, Act, Actor, Cue, Delivery
from tests.unit.engine.support import Timer

ATTEMPTS = 3


class Part(BaseModel):
    """No fields: the cues say what happens."""


@task(
    queue=Queue.DEFAULT,
    time_limit=timedelta(minutes=5),
    retry=Retry(attempts=ATTEMPTS, first_delay=timedelta(seconds=2)),
)
def play(payload: Part, context: TaskContext) -> Part:
    """Do what the cues say."""
    result: Part = stage.play_part(payload, context)
    return result


TYPES = Catalogue([play])

CUES = st.sampled_from([Cue.GO] * 6 + [Cue.REFUSED, Cue.UNHEARD, Cue.CRASH])
ACTS = st.sampled_from(
    [Act.RETURN, Act.RAISE, Act.RAISE, Act.LATER, Act.GIVE_UP, Act.REPORT, Cue.CRASH]
)

Event = Callable[["Engine", st.DataObject], None]
EVENTS: list[tuple[Event, Callable[[Engine], bool], int]] = []


def event(
    weight: int, when: Callable[[Engine], bool] = lambda _engine: True
) -> Callable[[Event], Event]:
    """Something that may happen, ``weight`` times as likely as the rarest."""

    def add(happen: Event) -> Event:
        EVENTS.append((happen, when, weight))
        return happen

    return add


class Witness:
    """Implements ``RecordStore`` and writes down what owners were told about their leases."""

    def __init__(self, store: RecordStore, timer: Timer) -> None:
        self._store = store
        self._timer = timer
        #: Until when each owner may believe that it holds a task, by task.
        self.leases: dict[str, dict[str, int]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def claim(self, task_id: str, attempt: int, owner: str, until: int) -> object:
        answer = self._store.claim(task_id, attempt, owner, until)
        if isinstance(answer, Claimed):
            assert answer.record.lease_until is not None
            self.leases.setdefault(task_id, {})[owner] = answer.record.lease_until
        return answer

    def renew(self, task_id: str, owner: str, until: int) -> TaskRecord:
        record = self._store.renew(task_id, owner, until)
        self.leases[task_id][owner] = until
        return record

    def retry(self, task_id: str, owner: str, *rest: object, **named: object) -> TaskRecord:
        return self._gone(self._store.retry(task_id, owner, *rest, **named), owner)  # type: ignore[arg-type]

    def release(self, task_id: str, owner: str, **named: bool) -> TaskRecord:
        return self._gone(self._store.release(task_id, owner, **named), owner)

    def finish(self, task_id: str, owner: str | None, *rest: str, **named: object) -> TaskRecord:
        return self._gone(self._store.finish(task_id, owner, *rest, **named), owner)  # type: ignore[arg-type]

    def _gone(self, record: TaskRecord, owner: str | None) -> TaskRecord:
        if owner is not None:
            self.leases[record.task_id].pop(owner, None)
        return record

    def holders(self, task_id: str) -> list[str]:
        leases = self.leases.get(task_id, {})
        return [owner for owner, until in leases.items() if until > self._timer.now]


class Engine(RuleBasedStateMachine):
    """Callers, workers and AWS, one cue at a time."""

    app: CeleriacApp
    timer: Timer

    def __init__(self) -> None:
        super().__init__()
        self.witness = Witness(self.new_store(), self.timer)
        own = services.services()
        own.records = stage.CuedRecords(self.witness)  # type: ignore[assignment, arg-type]
        own.values = MemoryValues()
        own.artifacts = stage.NoArtifacts()  # type: ignore[assignment]
        self.queue = stage.Queue(self.timer)
        self.app.amqp.send_task_message = self.queue.send
        self.run = uuid.uuid4().hex
        self.owners = 0
        self.callers: list[tuple[str, Actor]] = []
        self.deliveries: list[Delivery] = []
        self.unacknowledged: list[stage.Message] = []
        #: In the order of submission: Hypothesis wants each run to be repeatable.
        self.submitted: dict[str, None] = {}
        self.accepted: set[str] = set()
        self.seen: dict[str, TaskRecord] = {}

    def new_store(self) -> RecordStore:
        return MemoryRecords(clock=self.timer)

    def record(self, task_id: str) -> TaskRecord | None:
        return self.witness._store.get(task_id)

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
        key = f"{self.run}-{data.draw(st.sampled_from('ab'), 'key')}"
        task_id = identifiers.derived_task_id("default", play.name, key)
        caller = Actor(
            lambda: submit(play.name, {}, idempotency_key=key, app=self.app, types=TYPES)
        )
        self.submitted[task_id] = None
        self.callers.append((task_id, caller))
        self._heard()

    @event(8, lambda self: bool(self.callers))
    def caller_goes_on(self, data: st.DataObject) -> None:
        _, caller = data.draw(st.sampled_from(self.callers), "caller")
        caller.cue(data.draw(CUES, f"cue at {caller.at}"))
        self._heard()

    def _heard(self) -> None:
        """What callers were answered, and that it is true."""
        for task_id, caller in [each for each in self.callers if each[1].done]:
            self.callers.remove((task_id, caller))
            if caller.crashed:
                continue
            if isinstance(caller.outcome, Submission):
                assert caller.outcome.record.task_id == task_id
                assert self.record(task_id) is not None, "accepted, and there is no record of it"
                self.accepted.add(task_id)
            else:
                assert isinstance(caller.outcome, UnavailableError), caller.outcome

    @event(1, lambda self: bool(self.seen))
    def cancels(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(list(self.seen)), "task")
        self.witness.cancel(task_id)  # type: ignore[operator]

    # -- workers

    def _receive(self, message: stage.Message) -> None:
        self.owners += 1
        message.hidden_until = self.timer.now + clock.millis(VISIBILITY)
        delivery = Delivery(self.app, message, f"worker/{self.owners}")
        self.deliveries.append(delivery)
        self._settle(delivery)

    @event(6, lambda self: bool(self.queue.visible))
    def receives(self, data: st.DataObject) -> None:
        self._receive(data.draw(st.sampled_from(self.queue.visible), "message"))

    @event(2, lambda self: bool(self.queue.messages or self.queue.deleted))
    def receives_twice(self, data: st.DataObject) -> None:
        """At least once: SQS delivers what it hides, and even what was deleted."""
        messages = self.queue.messages + self.queue.deleted
        message = data.draw(st.sampled_from(messages), "message")
        if message in self.queue.deleted:
            message = replace(message)
        self._receive(message)

    @event(14, lambda self: bool(self.deliveries))
    def worker_goes_on(self, data: st.DataObject) -> None:
        delivery = data.draw(st.sampled_from(self.deliveries), "delivery")
        cues = ACTS if delivery.at == "act" else CUES
        delivery.cue(data.draw(cues, f"cue at {delivery.at}"))
        self._settle(delivery)

    @event(2, lambda self: bool(self.deliveries))
    def worker_ends_well(self, data: st.DataObject) -> None:
        """The usual case, which single cues would seldom reach."""
        self._play_out(data.draw(st.sampled_from(self.deliveries), "delivery"))

    def _play_out(self, delivery: Delivery) -> None:
        while not delivery.done:
            delivery.cue(Act.RETURN if delivery.at == "act" else Cue.GO)
        self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        """The main process, once the child is done with the message."""
        if not delivery.done:
            return
        self.deliveries.remove(delivery)
        if delivery.crashed:
            return
        done_with = delivery.tell_main_process(self.app, self.queue)
        if done_with is not None:
            self.unacknowledged.append(done_with)

    @event(3, lambda self: bool(self.unacknowledged))
    def acknowledges(self, data: st.DataObject) -> None:
        """In a batch, a moment later: a worker that is killed before loses it."""
        message = data.draw(st.sampled_from(self.unacknowledged), "message")
        self.unacknowledged.remove(message)
        if data.draw(st.booleans(), "arrives"):
            self.queue.delete(message)

    @event(3, lambda self: bool(self.deliveries))
    def keeper_renews(self, data: st.DataObject) -> None:
        """As ``worker.keeper``: visibility and lease; and what the record says of the caller."""
        delivery = data.draw(st.sampled_from(self.deliveries), "delivery")
        until = self.timer.now + clock.millis(VISIBILITY)
        delivery.message.hidden_until = max(delivery.message.hidden_until, until)
        try:
            record = self.witness.renew(delivery.message.task_id, delivery.owner, until)
        except LeaseLostError:
            if delivery.at != "claim":
                delivery.crash()
                self._settle(delivery)
        else:
            if record.cancel_requested_at is not None and delivery.at == "act":
                delivery.cue(Cancelled())
                self._settle(delivery)

    @event(1, lambda self: bool(self.deliveries))
    def child_is_killed(self, data: st.DataObject) -> None:
        """The child dies, or is killed by a worker that drains: its main process hands back."""
        delivery = data.draw(st.sampled_from(self.deliveries), "delivery")
        delivery.crash()
        self._settle(delivery)
        with suppress(LeaseLostError):
            self.witness.release(
                delivery.message.task_id, delivery.owner, lost=data.draw(st.booleans(), "lost")
            )
        delivery.message.hidden_until = self.timer.now

    @event(2)
    def time_passes(self, data: st.DataObject) -> None:
        seconds = data.draw(st.sampled_from([1, 20, 59, 61, 200]), "seconds")
        self.timer.advance(timedelta(seconds=seconds))

    # -- what always holds

    @invariant()
    def at_most_one_holds_a_live_lease(self) -> None:
        for task_id in self.seen:
            assert len(self.witness.holders(task_id)) <= 1

    @invariant()
    def ends_are_final(self) -> None:
        for task_id in self.submitted:
            record = self.record(task_id)
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
            for actor in [*self.deliveries, *(caller for _, caller in self.callers)]:
                actor.crash()

    def _quiesce(self) -> None:
        for delivery in list(self.deliveries):
            self._play_out(delivery)
        for _, caller in list(self.callers):
            while not caller.done:
                caller.cue(Cue.GO)
        self._heard()
        self._deliver_everything()
        self.ends_are_final()
        left = [self.seen[each] for each in sorted(self.accepted) if not self.seen[each].terminal]
        assert not left, "accepted, and never ended"
        # What was never accepted, but has a record: a repeated key, or cleanup, sends it again.
        for record in list(self.seen.values()):
            found = self.record(record.task_id)
            if found is not None and not found.terminal:
                self.app.resend(found)
        self._deliver_everything()
        self.ends_are_final()
        for task_id in self.seen:
            found = self.record(task_id)
            assert found is None or found.terminal

    def _deliver_everything(self) -> None:
        for _ in range(300):
            while self.unacknowledged:
                self.queue.delete(self.unacknowledged.pop())
            if not self.queue.messages:
                return
            self.timer.now = max(self.timer.now, min(m.hidden_until for m in self.queue.messages))
            self._receive(self.queue.visible[0])
            for delivery in list(self.deliveries):
                self._play_out(delivery)
        raise AssertionError("messages go round for ever")


@pytest.fixture
def app(aws: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleriacApp]:
    """The engine under a clock that the machine sets; only SQS is played."""
    before = _state._get_current_app() if _state.default_app else None
    monkeypatch.setattr(Engine, "timer", Timer(), raising=False)
    monkeypatch.setattr(clock, "now", Engine.timer)
    app = make_app(aws, TYPES)
    app.conf.broker_transport = "memory"
    app.conf.broker_transport_options = {}
    monkeypatch.setattr(Engine, "app", app, raising=False)
    services.reset()
    yield app
    services.reset()
    _state._set_current_app(before)


def machine_settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )


def test_the_engine_survives_everything(app: CeleriacApp) -> None:
    """On records in memory: many runs."""
    run_state_machine_as_test(Engine, settings=machine_settings(100, 30))  # type: ignore[no-untyped-call]


def test_the_engine_survives_everything_on_dynamodb(app: CeleriacApp, aws: Settings) -> None:
    """The same on DynamoDB: few runs, since each write takes its time."""

    class OnDynamo(Engine):
        def new_store(self) -> RecordStore:
            return DynamoRecords(services.services().dynamodb, aws.table_name, clock=self.timer)

    run_state_machine_as_test(OnDynamo, settings=machine_settings(10, 25))  # type: ignore[no-untyped-call]
