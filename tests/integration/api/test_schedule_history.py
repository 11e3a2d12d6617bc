"""The history of a schedule: what each firing did, and what became of its task."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from celeriac import QuotaExceededError, Schedule, clock, schedules
from celeriac.app.factory import CeleriacApp, make_app
from celeriac.contract import Catalogue, Unique, task
from celeriac.http.app import create_app
from celeriac.operations import firings
from celeriac.settings import Settings, settings
from celeriac.storage.firings import Firing, Firings, Outcome
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, Worker, problem
from tests.integration.api.schedule_support import (
    NOON,
    create,
    fire,
    history,
    same_types,
    tasks,
)
from tests.integration.api.throwaway import CATALOGUE, greet
from tests.unit.engine.meter import metered
from tests.unit.expiring import Passing

__all__ = ["same_types"]  # a fixture of every test here

DAY = timedelta(days=1)


def latest(api: Api, view: dict[str, Any]) -> dict[str, Any]:
    return history(api, view)[0]


def dies(*_: Any) -> Any:
    raise SystemExit


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda worker, task_id: None, "PENDING"),
        (lambda worker, task_id: worker.claim(task_id), "STARTED"),
        (lambda worker, task_id: worker.succeed(task_id, {"text": "Hi"}), "SUCCESS"),
        (lambda worker, task_id: worker.fail(task_id, "ValueError", "no"), "FAILURE"),
        (lambda worker, task_id: services().records.cancel(task_id), "REVOKED"),
        (lambda worker, task_id: _expire(task_id), None),
    ],
)
def test_a_firing_shows_its_tasks_state_now(
    api: Api, worker: Worker, act: Callable[[Worker, str], Any], status: str | None
) -> None:
    """Null once the record is gone; the entry stays."""
    view = create(api)
    fire(api, view)
    task_id = tasks(api)[0]["task_id"]
    act(worker, task_id)
    firing = latest(api, view)
    assert (firing["outcome"], firing["task_status"]) == ("fired", status)
    assert firing["links"] == {"task": f"/tasks/{task_id}"}


def _expire(task_id: str) -> None:
    services().records.cancel(task_id)
    assert services().records.forget(task_id)


def test_a_cancelled_last_task_is_named(api: Api, worker: Worker) -> None:
    """Whether it waited or runs; one that had ended was not cancelled."""
    view = create(api, overlap="cancel")
    named = []
    for day in range(3):
        fire(api, view, NOON + day * DAY)
        firing = latest(api, view)
        named.append(firing["cancelled_task_id"])
        if day == 1:
            worker.claim(firing["task_id"])
    ids = [each["task_id"] for each in reversed(history(api, view))]
    assert named == [None, *ids[:2]]
    last = latest(api, view)
    assert last["links"]["cancelled_task"] == f"/tasks/{ids[1]}"
    services().records.cancel(ids[2])
    fire(api, view, NOON + 3 * DAY)
    assert latest(api, view)["cancelled_task_id"] is None


def test_a_skipped_time_says_why_and_has_no_task(api: Api) -> None:
    """It names the task in the way."""
    view = create(api, overlap="skip")
    fire(api, view)
    fire(api, view, NOON + DAY)
    firing = latest(api, view)
    assert (firing["outcome"], firing["task_id"], firing["links"]) == ("skipped", None, {})
    assert tasks(api)[0]["task_id"] in firing["detail"]


@pytest.mark.parametrize("overlap", ["skip", "cancel"])
def test_a_rare_schedule_knows_its_last_task(
    api: Api, monkeypatch: pytest.MonkeyPatch, overlap: str
) -> None:
    """A task may wait from one month to the next: its record is kept, and so is its firing."""
    passing = Passing(monkeypatch)
    view = create(api, cron="0 6 1 * *", overlap=overlap)
    first, second, *_ = map(datetime.fromisoformat, view["next_fire_times"])
    passing.advance(first - clock.to_datetime(clock.now()))
    fire(api, view, first)
    waits = latest(api, view)["task_id"]
    for _ in range(6):
        passing.advance(5 * DAY)
        services().records.keep(waits, clock.now() // 1000 + 7 * 86400)

    fire(api, view, second)

    firing = latest(api, view)
    if overlap == "skip":
        assert (firing["outcome"], waits in firing["detail"]) == ("skipped", True)
    else:
        assert (firing["outcome"], firing["cancelled_task_id"]) == ("fired", waits)


def test_a_late_firing_says_how_late(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time at which its first call came."""
    view = create(api)
    monkeypatch.setattr(
        "celeriac.operations.firings.clock.now",
        lambda: int((NOON + timedelta(minutes=90)).timestamp() * 1000),
    )
    fire(api, view)
    assert latest(api, view)["late_by"] == "PT1H30M"
    assert latest(api, view)["fired_at"] == f"{NOON + timedelta(minutes=90):%Y-%m-%dT%H:%M:%SZ}"


def test_a_doubled_firing_says_so(api: Api) -> None:
    """The calls are counted, one after the other and at once; there is one task."""
    view = create(api)
    for _ in range(3):
        fire(api, view)
    assert (latest(api, view)["calls"], len(tasks(api))) == (3, 1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fire(api, view, NOON + DAY), range(4)))
    assert (latest(api, view)["calls"], len(tasks(api))) == (4, 2)
    assert latest(api, view)["outcome"] == "fired"


def test_a_run_by_hand_was_not_called_late(api: Api) -> None:
    """It has no time that was meant."""
    view = create(api)
    api.post(view["links"]["run"])
    firing = latest(api, view)
    assert (firing["by_hand"], firing["late_by"], firing["calls"]) == (True, "PT0S", 1)


def test_a_task_of_a_time_that_was_paused_since_is_not_lost(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call died after it had submitted it: the history has it, as fired."""
    view = create(api)
    with monkeypatch.context() as patch:
        patch.setattr(Firings, "note", dies)
        with pytest.raises(SystemExit):
            fire(api, view)
    api.post(view["links"]["pause"])
    fire(api, view)
    [firing] = history(api, view)
    assert (firing["outcome"], firing["task_id"]) == ("fired", tasks(api)[0]["task_id"])


def test_two_calls_that_found_the_last_task_in_other_states_end_as_fired(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last task ends between them: one skips, and the other one's task is not lost."""
    view = create(api, overlap="skip")
    fire(api, view)
    first = tasks(api)[0]["task_id"]
    before = Firings.note

    def overtaken(self: Firings, *values: Any) -> bool:
        monkeypatch.setattr(Firings, "note", before)
        services().firings.note(
            api.tenant,
            view["schedule_id"],
            Firing(
                scheduled_at=int((NOON + DAY).timestamp() * 1000),
                fired_at=int((NOON + DAY).timestamp() * 1000),
                outcome=Outcome.SKIPPED,
                last_task_id=first,
                detail="It ran.",
            ),
            2_000_000_000,
        )
        return before(self, *values)

    services().records.cancel(first)
    monkeypatch.setattr(Firings, "note", overtaken)
    fire(api, view, NOON + DAY)
    firing = latest(api, view)
    assert (firing["outcome"], firing["calls"], firing["detail"]) == ("fired", 2, None)
    assert firing["task_id"] == tasks(api)[0]["task_id"] != first


def test_a_type_that_is_gone_is_noted_as_refused(api: Api) -> None:
    """A later deployment may not have it: the history says so, and running it now is a 409."""
    view = create(api)
    without = make_app(settings(), Catalogue([CATALOGUE["keep"]], CATALOGUE.queues))
    firings.fire(f"{api.tenant}/{view['schedule_id']}", NOON, "e-1", app=without)
    firing = latest(api, view)
    assert (firing["outcome"], firing["task_id"]) == ("refused", None)
    assert "greet" in firing["detail"]
    other = api.on(create_app(catalogue=without.catalogue))
    problem(other.post(view["links"]["run"]), 409, "schedule-refused")
    assert tasks(api) == []


def test_a_tenant_without_quota_is_noted_as_refused(api: Api) -> None:
    """Its history says which quota; the next time may fire."""
    view = create(api)
    api.submit()
    one = make_app(settings().model_copy(update={"waiting_per_tenant": 1}), CATALOGUE)
    firings.fire(f"{api.tenant}/{view['schedule_id']}", NOON, "e-1", app=one)
    firing = latest(api, view)
    assert (firing["outcome"], firing["task_status"]) == ("refused", None)
    assert "unfinished tasks" in firing["detail"]


def test_a_plain_task_of_code_is_held_to_the_quotas_too(api: Api) -> None:
    """As a typed one is. A second call for a time whose task is there is refused nothing."""
    own = settings().model_copy(update={"waiting_per_tenant": 1, "tenant": api.tenant})
    one = make_app(own, CATALOGUE)
    one.conf.beat_schedule = {"tidy": {"task": "shop.tidy", "schedule": 3600}}
    for moment in (NOON, NOON, NOON + DAY):
        firings.fire("beat-tidy", moment, "e-1", app=one)
    refused, fired = schedules.history("beat-tidy", api.tenant, app=one)
    assert (fired.outcome, fired.calls, refused.outcome) == (Outcome.FIRED, 2, Outcome.REFUSED)
    assert "unfinished tasks" in (refused.detail or "")
    with pytest.raises(QuotaExceededError):
        schedules.run_now("beat-tidy", api.tenant, app=one)
    assert len(tasks(api)) == 1


def test_a_plain_task_that_a_call_died_with_is_no_second_one_for_the_quota(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call died after it had submitted it; the second one notes it as fired."""
    own = settings().model_copy(update={"waiting_per_tenant": 1, "tenant": api.tenant})
    one = make_app(own, CATALOGUE)
    one.conf.beat_schedule = {"tidy": {"task": "shop.tidy", "schedule": 3600}}
    with monkeypatch.context() as patch:
        patch.setattr(Firings, "note", dies)
        with pytest.raises(SystemExit):
            firings.fire("beat-tidy", NOON, "e-1", app=one)
    firings.fire("beat-tidy", NOON, "e-2", app=one)
    [fired] = schedules.history("beat-tidy", api.tenant, app=one)
    assert (fired.outcome, fired.task_id) == (Outcome.FIRED, tasks(api)[0]["task_id"])


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("period", [None, timedelta(days=7)])
def test_a_unique_task_that_was_cancelled_makes_room_for_the_next(
    aws: Settings, worker: Worker, period: timedelta | None, running: bool
) -> None:
    """Each firing cancels the last task and submits another, also while the last one stops."""
    unique = Unique(period=period, key=("name",))
    one = task(name="greet-once", unique_for=unique)(greet.function)
    own = make_app(settings(), Catalogue([*CATALOGUE.values(), one]))
    caller = Api.of(create_app(catalogue=own.catalogue))
    daily = Schedule.cron("0 12 * * *", payload={"name": "Ada"}, overlap="cancel")
    made = schedules.create("greet-once", daily, tenant=caller.tenant, app=own)
    for day in range(3):
        for _ in range(2):
            firings.fire(f"{caller.tenant}/{made.schedule_id}", NOON + day * DAY, "e", app=own)
        if running:
            worker.claim(tasks(caller)[0]["task_id"])
    assert len(tasks(caller)) == 3
    fired = schedules.history(made.schedule_id, caller.tenant, app=own)
    assert [each.outcome for each in fired] == [Outcome.FIRED] * 3
    assert [each.cancelled_task_id for each in fired[:2]] == [each.task_id for each in fired[1:]]
    # The one that wasn't cancelled stands for callers.
    answer = caller.post("/tasks/greet-once", json={"name": "Ada"})
    assert answer.json()["task_id"] == fired[0].task_id


def test_a_call_that_was_cut_off_after_it_cancelled_fires_all_the_same(
    aws: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call finds the last task cancelled, and submits the one in its place."""
    unique = Unique(period=timedelta(days=7), key=("name",))
    one = task(name="greet-once", unique_for=unique)(greet.function)
    own = make_app(settings(), Catalogue([*CATALOGUE.values(), one]))
    caller = Api.of(create_app(catalogue=own.catalogue))
    daily = Schedule.cron("0 12 * * *", payload={"name": "Ada"}, overlap="cancel")
    made = schedules.create("greet-once", daily, tenant=caller.tenant, app=own)
    name = f"{caller.tenant}/{made.schedule_id}"
    firings.fire(name, NOON, "e", app=own)
    with monkeypatch.context() as patch:
        patch.setattr("celeriac.operations.firings.submit_task", dies)
        with pytest.raises(SystemExit):
            firings.fire(name, NOON + DAY, "e", app=own)
    assert [each["status"] for each in tasks(caller)] == ["REVOKED"]
    firings.fire(name, NOON + DAY, "e", app=own)
    assert [each["status"] for each in tasks(caller)] == ["PENDING", "REVOKED"]


def test_cancel_joins_a_task_that_is_not_its_own(aws: Settings) -> None:
    """A caller's task of a unique type is no task of the schedule, and goes on."""
    one = task(name="greet-once", unique_for=Unique(key=("name",)))(greet.function)
    own = make_app(settings(), Catalogue([*CATALOGUE.values(), one]))
    caller = Api.of(create_app(catalogue=own.catalogue))
    theirs = caller.post("/tasks/greet-once", json={"name": "Ada"}).json()["task_id"]
    daily = Schedule.cron("0 12 * * *", payload={"name": "Ada"}, overlap="cancel")
    made = schedules.create("greet-once", daily, tenant=caller.tenant, app=own)
    firings.fire(f"{caller.tenant}/{made.schedule_id}", NOON, "e", app=own)
    [fired] = schedules.history(made.schedule_id, caller.tenant, app=own)
    assert (fired.outcome, fired.task_id) == (Outcome.JOINED, theirs)
    assert [each["status"] for each in tasks(caller)] == ["PENDING"]


@pytest.fixture
def unique(app: FastAPI) -> CeleriacApp:
    """An app with a type that allows one task at a time."""
    one = task(name="greet-once", unique_for=Unique(key=("name",)))(greet.function)
    return make_app(settings(), Catalogue([*CATALOGUE.values(), one]))


def test_a_firing_that_joins_a_unique_task_says_so(unique: CeleriacApp) -> None:
    """The task is there, and this firing made none."""
    caller = Api.of(create_app(catalogue=unique.catalogue))
    every = Schedule.rate(timedelta(hours=1), payload={"name": "Ada"})
    made = schedules.create("greet-once", every, tenant=caller.tenant, app=unique)
    name = f"{caller.tenant}/{made.schedule_id}"
    for hour in range(2):
        firings.fire(name, NOON + timedelta(hours=hour), "e", app=unique)
    second, first = caller.get(f"/schedules/{made.schedule_id}/history").json()["data"]
    assert (first["outcome"], second["outcome"]) == ("fired", "joined")
    assert second["task_id"] == first["task_id"]
    assert "one such task" in second["detail"]


def test_the_history_costs_two_reads_however_long_it_is(api: Api) -> None:
    """One query, and one batch for the states; nothing is written."""
    view = create(api)
    for day in range(3):
        fire(api, view, NOON + day * DAY)
    with metered() as reading:
        assert len(history(api, view)) == 3
    assert reading.units.total() == 0
    assert reading.requests["dynamodb:Query"] == 1
    assert reading.requests["dynamodb:BatchGetItem"] == 1
