"""What runs under a limit never exceeds it, and whatever takes a slot leaves it in the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from celeriac import states
from celeriac.contract import Limit
from celeriac.marshalling import unmarshal
from celeriac.records import Claimed, DynamoRecords, Failure
from celeriac.settings import Settings
from celeriac.storage.line import Later, Place
from celeriac.storage.rates import HOLD, Rates, Start
from celeriac.storage.services import services
from celeriac.storage.slots import LOOK_INTERVAL, Slots
from celeriac.topology import LIMITS, LONGEST_DELAY
from tests.unit.engine.meter import metered
from tests.unit.engine.support import LEASE, START, Timer, answer_lost, new_record, out_of_reach

MOST = 2
CLAIM_WITHIN = LEASE / 2
_numbers = itertools.count()


def fresh_scope() -> str:
    return f"test-{next(_numbers)}"


class World:
    """Slots and records under one clock."""

    def __init__(self) -> None:
        self.timer = Timer()
        client, table = services().dynamodb, services().settings.table_name
        self.records = DynamoRecords(client, table, clock=self.timer)
        self.slots = Slots(client, table, self.records, lease=LEASE, clock=self.timer)
        self.scope = fresh_scope()

    def task(self) -> str:
        record = new_record(created_at=self.timer())
        self.records.create(record)
        return record.task_id

    def take(self, task_id: str, owner: str = "a/1", place: Place | None = None) -> Later | None:
        return self.slots.take(self.scope, MOST, task_id, owner, place)

    def run(self, task_id: str, owner: str = "a/1", attempt: int = 1) -> None:
        """Take a slot that there is, and claim."""
        assert self.take(task_id, owner) is None
        until = self.timer() + LEASE // timedelta(milliseconds=1)
        assert isinstance(self.records.claim(task_id, attempt, owner, until), Claimed)

    def end(self, task_id: str, owner: str = "a/1") -> None:
        self.records.finish(task_id, owner, states.SUCCESS)
        self.slots.free(self.scope, task_id, owner)

    def item(self) -> dict[str, Any]:
        client = services().dynamodb
        key = {"pk": {"S": f"{LIMITS}{self.scope}"}, "sk": {"S": "running"}}
        answer = client.get_item(TableName=services().settings.table_name, Key=key)
        return unmarshal(answer["Item"])


@pytest.fixture
def world(aws: Settings, at_once: None) -> World:
    return World()


# -- slots


def test_no_more_than_the_limit_have_a_slot(world: World) -> None:
    """The next is refused until one of them ends."""
    first, second, third = world.task(), world.task(), world.task()
    world.run(first)
    world.run(second)

    assert isinstance(world.take(third), Later)
    world.end(first)
    assert world.take(third) is None


def test_a_task_has_one_slot_however_often_it_asks(world: World) -> None:
    """Its claim failed for a moment, and it asks again."""
    task_id = world.task()
    world.take(task_id)
    world.take(task_id)

    assert world.item()["running"] == 1


def test_a_lost_answer_takes_no_second_slot(world: World) -> None:
    """DynamoDB took the write, and it is sent again: it is the same slot."""
    task_id = world.task()
    with answer_lost(services().dynamodb):
        assert world.take(task_id) is None

    assert world.item()["running"] == 1


@pytest.mark.parametrize("then", ["lease ended", "released", "ended, not freed"])
def test_what_a_killed_worker_held_is_evicted(world: World, then: str) -> None:
    """Nobody frees its slots. The first that is refused looks, and takes one."""
    lost, other, third = world.task(), world.task(), world.task()
    world.run(lost)
    world.run(other)
    world.timer.advance(CLAIM_WITHIN)
    if then == "lease ended":
        world.timer.advance(LEASE)
        world.records.renew(other, "a/1", world.timer() + 60_000)
    elif then == "released":
        world.records.release(lost, "a/1")
    else:
        world.records.finish(lost, "a/1", states.SUCCESS)

    assert world.take(third) is None
    assert world.item()["running"] == MOST


def test_what_runs_is_not_evicted(world: World) -> None:
    """However long it runs, while its lease is renewed."""
    running = [world.task(), world.task()]
    for each in running:
        world.run(each)
    for _ in range(5):
        world.timer.advance(LEASE / 2)
        for each in running:
            world.records.renew(each, "a/1", world.timer() + 60_000)
        assert isinstance(world.take(world.task()), Later)


def test_what_is_about_to_be_claimed_is_not_evicted(world: World) -> None:
    """Its slot was taken just before its claim, which is under way."""
    for _ in range(MOST):
        assert world.take(world.task()) is None
    world.timer.advance(CLAIM_WITHIN - timedelta(milliseconds=1))
    assert isinstance(world.take(world.task()), Later)
    world.timer.advance(LOOK_INTERVAL)
    assert world.take(world.task()) is None


def test_a_second_delivery_does_not_free_the_slot_of_the_first(world: World) -> None:
    """SQS has delivered the message twice; the second one gets no slot, and has none to free."""
    task_id = world.task()
    world.run(task_id, "a/1")

    assert isinstance(world.take(task_id, "b/1"), Later)
    world.slots.free(world.scope, task_id, "b/1")
    assert world.item()["running"] == 1


def test_a_task_that_is_taken_over_keeps_its_slot(world: World) -> None:
    """Its worker was lost, and the limit was full: it needs no other slot."""
    lost, other = world.task(), world.task()
    world.run(lost)
    world.run(other)
    world.timer.advance(LEASE + CLAIM_WITHIN)

    assert world.take(lost, "b/1") is None
    world.slots.free(world.scope, lost, "a/1")
    assert world.item()["running"] == MOST


def test_the_next_attempt_keeps_its_slot_when_the_last_frees_late(world: World) -> None:
    """The retry was received before the worker of the first attempt has freed its slot."""
    task_id = world.task()
    world.run(task_id, "a/1")
    world.records.retry(task_id, "a/1", world.timer(), Failure(type="x", message=""))
    assert isinstance(world.take(task_id, "b/1"), Later)
    world.timer.advance(CLAIM_WITHIN)

    assert world.take(task_id, "b/1") is None
    world.slots.free(world.scope, task_id, "a/1")

    assert world.item()["running"] == 1


def test_a_task_that_has_ended_needs_no_slot(world: World) -> None:
    """A second message of it came late: its claim says that it is over."""
    running = [world.task(), world.task()]
    for each in running:
        world.run(each)
    world.records.finish(running[0], "a/1", states.SUCCESS)

    assert world.take(running[0], "b/1") is None


def test_an_outage_admits_nothing(world: World) -> None:
    """DynamoDB can't be reached: that isn't a free slot."""
    task_id = world.task()
    with out_of_reach("dynamodb"), pytest.raises(Exception, match="connect"):
        world.take(task_id)


def test_those_that_wait_ask_one_after_another(world: World) -> None:
    """Each has a place of its own, whose distance follows how fast slots are freed."""
    for _ in range(MOST):
        world.run(world.task())
    places = [world.take(world.task()) for _ in range(5)]

    at = [each.place.at for each in places if each is not None]
    assert len(at) == 5
    assert sorted(at) == at
    assert len(set(at)) == 5


def test_a_place_is_taken_once(world: World) -> None:
    """Who asks before its place, or just after, doesn't go to the end of the line."""
    for _ in range(MOST):
        world.run(world.task())
    waiting = world.task()
    first = world.take(waiting)
    assert first is not None
    again = world.take(waiting, place=first.place)
    assert again is not None
    assert again.place == first.place
    world.timer.now = first.place.at
    late = world.take(waiting, place=first.place)
    assert late is not None
    assert late.place == Place(first.place.at, 1)


class Slotted(RuleBasedStateMachine):
    """Deliveries take slots, claim, are killed, and are delivered again, in any order."""

    tasks: Bundle[str] = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.deliveries = itertools.count(1)
        #: Who runs a task as far as its lease says.
        self.running: dict[str, str] = {}
        #: Which tasks a worker, alive, still frees.
        self.admitted: dict[tuple[str, str], int] = {}

    @rule(target=tasks)
    def submit(self) -> str:
        return self.world.task()

    @rule(task=tasks)
    def ask(self, task: str) -> None:
        owner = f"w/{next(self.deliveries)}"
        if self.world.take(task, owner) is None:
            self.admitted[task, owner] = self.world.timer() + 30_000

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        if not self.admitted:
            return
        task, owner = data.draw(st.sampled_from(sorted(self.admitted)))
        until = self.admitted.pop((task, owner))
        if self.world.timer() >= until:
            return  # too late: it doesn't run
        lease = self.world.timer() + 60_000
        if isinstance(self.world.records.claim(task, 1, owner, lease), Claimed):
            self.running[task] = owner
        else:
            self.world.slots.free(self.world.scope, task, owner)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if self.running:
            task = data.draw(st.sampled_from(sorted(self.running)))
            owner = self.running.pop(task)
            self.world.end(task, owner)

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """Its lease ends by itself."""
        if self.running:
            del self.running[data.draw(st.sampled_from(sorted(self.running)))]
            self.pass_time(LEASE)

    @rule(seconds=st.sampled_from([1, 3, 31]))
    def wait(self, seconds: int) -> None:
        self.pass_time(timedelta(seconds=seconds))

    def pass_time(self, duration: timedelta) -> None:
        """In steps, at each of which living workers renew their leases."""
        end = self.world.timer() + duration // timedelta(milliseconds=1)
        while self.world.timer() < end:
            self.world.timer.now = min(end, self.world.timer() + 20_000)
            for task, owner in self.running.items():
                self.world.records.renew(task, owner, self.world.timer() + 60_000)

    @invariant()
    def never_over(self) -> None:
        assert len(self.running) <= MOST

    def teardown(self) -> None:
        """Once all that ran has ended, and time has passed, every slot can be taken."""
        for task, owner in self.running.items():
            self.world.end(task, owner)
        self.running.clear()
        self.world.timer.advance(LEASE + CLAIM_WITHIN)
        for _ in range(MOST):
            assert self.world.take(self.world.task(), f"w/{next(self.deliveries)}") is None


def test_a_limit_holds_in_any_order_of_events(aws: Settings) -> None:
    """Never more run than the limit says, and all slots are free again in the end."""
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Slotted, settings=settings(max_examples=30, stateful_step_count=25, deadline=None)
    )


# -- rates


@contextmanager
def rates() -> Iterator[tuple[Rates, Timer]]:
    timer = Timer()
    yield Rates(services().dynamodb, services().settings.table_name, clock=timer), timer


def start_at(store: Rates, scope: str, limit: Limit, place: Place | None = None) -> int:
    """When a task starts that isn't refused."""
    start = store.start(scope, limit, place)
    assert isinstance(start, Start)
    return start.at


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rate=st.sampled_from(["7/s", "10/s", "100/m", "2/s", "300/h"]),
    burst=st.integers(1, 4),
    gaps=st.lists(st.tuples(st.integers(0, 1500), st.booleans()), min_size=1, max_size=40),
)
def test_a_rate_holds_in_every_window(
    aws: Settings, rate: str, burst: int, gaps: list[tuple[int, bool]]
) -> None:
    """However they arrive, no window has more starts than its length gives, and the burst.

    Some starts are freed, at once or when others were taken since: they don't count.
    """
    limit, scope = Limit(rate=rate, burst=burst), fresh_scope()
    starts: list[int] = []
    unused: list[Start] = []
    with rates() as (store, timer):
        for gap, used in gaps:
            timer.now += gap
            answer = store.start(scope, limit, None)
            if not isinstance(answer, Later):
                assert timer.now <= answer.at <= timer.now + HOLD // timedelta(milliseconds=1)
                if used:
                    starts.append(answer.at)
                else:
                    unused.append(answer)
            # The earliest first: others were taken since, unless it is the only one.
            if len(unused) > gap % 3:
                store.free(unused.pop(0))
    starts.sort()
    for first, start in enumerate(starts):
        for last, end in enumerate(starts[first:], first):
            # Starts are whole milliseconds.
            assert (last - first + 1 - burst) * limit.interval <= (end - start + 1) * 1000


def test_each_of_many_that_wait_gets_a_start_of_its_own(aws: Settings) -> None:
    """Twenty that come at once run in the order of their places, each at the rate's pace."""
    limit, scope = Limit(rate="1/s"), fresh_scope()
    waiting: dict[int, Later] = {}
    started: dict[int, int] = {}
    with rates() as (store, timer):
        for number in range(20):
            answer = store.start(scope, limit, None)
            if isinstance(answer, Later):
                waiting[number] = answer
            else:
                started[number] = answer.at
        while waiting:
            number = min(waiting, key=lambda each: waiting[each].place.at)
            timer.now = max(timer.now, waiting[number].place.at)
            answer = store.start(scope, limit, waiting.pop(number).place)
            assert not isinstance(answer, Later)
            started[number] = answer.at
    assert [started[number] for number in range(20)] == [START + 1000 * n for n in range(20)]


def test_a_freed_start_is_there_for_the_next_task(aws: Settings) -> None:
    """At once, and as one of a burst. One that others follow stays taken: none comes early."""
    limit, scope = Limit(rate="1/m", burst=2), fresh_scope()
    with rates() as (store, timer):
        first, second = (store.start(scope, limit, None) for _ in range(2))
        assert isinstance(first, Start)
        assert isinstance(second, Start)
        store.free(first)
        assert isinstance(store.start(scope, limit, None), Later)
        store.free(second)
        store.free(second)
        assert start_at(store, scope, limit) == timer.now
        assert isinstance(store.start(scope, limit, None), Later)


def test_a_worker_that_was_away_does_not_make_up_for_it(aws: Settings) -> None:
    """Ten minutes nobody asked: then starts are as far apart as ever."""
    limit, scope = Limit(rate="1/s"), fresh_scope()
    with rates() as (store, timer):
        assert start_at(store, scope, limit) == START
        timer.advance(timedelta(minutes=10))
        assert start_at(store, scope, limit) == timer()
        assert isinstance(store.start(scope, limit, None), Later)


# -- what it costs


def test_what_a_limited_task_costs(world: World) -> None:
    """A slot is two writes. A start is one, and two more for a task that has to wait."""
    task_id, waiting = world.task(), world.task()
    with metered() as slot:
        world.take(task_id)
        world.slots.free(world.scope, task_id, "a/1")
    for _ in range(MOST):
        world.run(world.task())
    with metered() as full:
        world.take(waiting)
    limit, scope = Limit(rate="1/s"), fresh_scope()
    with rates() as (store, timer):
        with metered() as start:
            store.start(scope, limit, None)
        with metered() as refused:
            later = store.start(scope, limit, None)
        assert isinstance(later, Later)
        timer.now = later.place.at
        with metered() as after:
            store.start(scope, limit, later.place)

    assert (slot.units["table"], full.units["table"]) == (2, 2)
    assert [each.units["table"] for each in (start, refused, after)] == [1, 2, 1]


def test_a_holder_adds_few_bytes_to_what_each_write_is_billed_by(world: World) -> None:
    """Some 62: sixteen that run fit into one unit, and 200, the most, cost 13 units a write."""
    with metered() as bill:
        for _ in range(50):
            world.slots.take(world.scope, 200, world.task(), "a/1", None)
    assert bill.largest_item <= 50 * 62 + 100


@pytest.mark.parametrize(("rate", "burst"), [("0.1/d", 1), ("1/d", 10), ("100/m", 1)])
def test_a_rate_is_known_for_longer_than_its_next_start_is_away(
    aws: Settings, rate: str, burst: int
) -> None:
    """DynamoDB removes what has expired, and a limit that is forgotten starts a task too early."""
    limit, scope = Limit(rate=rate, burst=burst), fresh_scope()
    with rates() as (store, timer):
        for _ in range(burst):
            assert start_at(store, scope, limit) == timer.now
        # It waits, in its worker or in the line.
        store.start(scope, limit, None)
    key = {"pk": {"S": f"{LIMITS}{scope}"}, "sk": {"S": "rate"}}
    answer = services().dynamodb.get_item(TableName=services().settings.table_name, Key=key)
    item = unmarshal(answer["Item"])
    assert item["expires_at"] * 10**6 > item["next"]


def test_a_line_of_tasks_that_were_cancelled_holds_nobody_up(aws: Settings) -> None:
    """Ten hours of places are taken by tasks that never ask again."""
    limit, scope = Limit(rate="1/m"), fresh_scope()
    with rates() as (store, timer):
        for _ in range(600):
            store.start(scope, limit, None)
        answer = store.start(scope, limit, None)
        assert isinstance(answer, Later)
        assert answer.after == LONGEST_DELAY
        timer.now += LONGEST_DELAY // timedelta(milliseconds=1)
        assert start_at(store, scope, limit, answer.place) == timer.now
