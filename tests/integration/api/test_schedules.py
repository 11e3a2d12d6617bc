"""/schedules: a caller has a task type run by itself, and sees what it fired."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from celeriac import clock, schedules, states
from celeriac.contract import Catalogue, Schedule, catalogue, task
from celeriac.http.app import create_app
from celeriac.operations.lookup import payload_of
from celeriac.operations.scheduled import Scheduled
from celeriac.storage.event_bridge import EventBridge
from celeriac.storage.firings import Firings
from celeriac.storage.keys import Scope
from celeriac.storage.schedules import Schedules
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, Worker, problem
from tests.integration.api.schedule_support import (
    DAILY,
    NOON,
    create,
    fire,
    history,
    on_aws,
    own_app,
    same_types,
    tasks,
)
from tests.integration.api.throwaway import CATALOGUE, greet
from tests.unit.engine.meter import metered

__all__ = ["same_types"]  # a fixture of every test here


def test_a_schedule_is_made_listed_and_shown_with_its_next_times(api: Api) -> None:
    """201 with Location; GET shows five times, in UTC, by the zone's clock."""
    view = create(api, timezone="Europe/Moscow", tags=["digest"], overlap="skip")
    assert view == api.get(view["links"]["self"]).json()
    assert view["payload"] == {"name": "Ada"}
    assert (view["cron"], view["rate"], view["at"]) == ("0 6 * * *", None, None)
    times = [datetime.fromisoformat(each) for each in view["next_fire_times"]]
    assert len(times) == 5
    assert {(each.hour, each.minute, each.tzinfo) for each in times} == {(3, 0, UTC)}
    [listed] = api.get("/schedules").json()["data"]
    assert listed == {name: value for name, value in view.items() if name != "payload"}


@pytest.mark.parametrize(
    ("given", "expression", "zone"),
    [
        (
            {"cron": "0 6 * * MON-FRI", "timezone": "Europe/Berlin"},
            "cron(0 6 ? * MON-FRI *)",
            "Europe/Berlin",
        ),
        ({"cron": None, "rate": "PT90M"}, "rate(90 minutes)", "UTC"),
        ({"cron": None, "rate": 3600}, "rate(1 hour)", "UTC"),
        ({"cron": None, "at": "2091-06-01T12:00:00+02:00"}, "at(2091-06-01T10:00:00)", "UTC"),
        (
            {"cron": None, "at": "2091-06-01T12:00:00", "timezone": "Europe/Moscow"},
            "at(2091-06-01T09:00:00)",
            "UTC",
        ),
    ],
)
def test_eventbridge_is_given_the_same_times(
    api: Api, given: dict[str, Any], expression: str, zone: str
) -> None:
    """Its schedule has the id, AWS's expression, the target and the envelope."""
    view = create(api, **given)
    made = on_aws(view["schedule_id"])
    assert made is not None
    assert (made["ScheduleExpression"], made["ScheduleExpressionTimezone"]) == (expression, zone)
    own = services().settings
    assert made["Target"]["Arn"] == own.schedule_target_arn
    assert made["Target"]["RoleArn"] == own.schedule_role_arn
    assert made["Target"]["DeadLetterConfig"]["Arn"] == own.schedule_dead_letter_arn
    assert f'"{api.tenant}/{view["schedule_id"]}"' in made["Target"]["Input"]
    assert "<aws.scheduler.scheduled-time>" in made["Target"]["Input"]


def test_a_rate_is_counted_from_one_interval_after_its_making(api: Api) -> None:
    """AWS would fire it at once, and again at each edit."""
    view = create(api, cron=None, rate="PT2H")
    start = datetime.fromisoformat(view["start"])
    assert timedelta(0) < start - clock.to_datetime(clock.now()) <= timedelta(hours=2)
    assert datetime.fromisoformat(view["next_fire_times"][0]) == start
    assert view["rate"] == "PT2H"


PAST, FUTURE = "2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z"
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"cron": "60 * * * *"}, "#/cron", "the minute of cron '60 * * * *', '60', is wrong"),
    ({"cron": "0 0 30 2 *"}, "#/cron", "never comes"),
    ({"cron": "0 0 1 * MON"}, "#/cron", "takes one of them"),
    ({"cron": 5}, "#/cron", "string"),
    ({"cron": None}, "#", "Give one of cron, rate, at"),
    ({"rate": "PT1H"}, "#/rate", "not cron and rate"),
    ({"cron": None, "rate": "fast"}, "#/rate", "duration"),
    ({"cron": None, "rate": 30}, "#/rate", "shorter than a minute"),
    ({"cron": None, "rate": "PT90S"}, "#/rate", "whole number"),
    ({"cron": None, "rate": 0}, "#/rate", "shorter"),
    ({"cron": None, "at": PAST}, "#/at", "in the past"),
    ({"cron": None, "at": 1800000000}, "#/at", "ISO 8601"),
    ({"cron": None, "at": "tomorrow"}, "#/at", "ISO 8601"),
    ({"cron": None, "at": "9999-12-31T23:59:59Z"}, "#/at", "out of range"),
    ({"cron": None, "at": "2091-03-25T02:30:00", "timezone": "Europe/Berlin"}, "#/at", "never"),
    ({"timezone": "Europe/Moskow"}, "#/timezone", "Did you mean Europe/Moscow"),
    ({"timezone": "../../etc/passwd"}, "#/timezone", "no time zone"),
    ({"start": FUTURE, "end": FUTURE}, "#/end", "is not before end"),
    ({"end": PAST}, "#/end", "in the past"),
    ({"overlap": "queue"}, "#/overlap", "'allow', 'skip' or 'cancel'"),
    ({"payload": {"name": ""}}, "#/payload/name", "at least 1 character"),
    ({"payload": {"nam": "Ada"}}, "#/payload/nam", "Did you mean name"),
    ({"payload": []}, "#/payload", "dictionary"),
    ({"payload": {"name": "Ada", "from": "x" * 70_000}}, "#/payload", "at most 64 KiB"),
    ({"tags": ["a b"]}, "#/tags/0", "pattern"),
    ({"tmezone": "UTC"}, "#/tmezone", "Did you mean timezone"),
    ({"type": "gret"}, "#/type", "Did you mean greet"),
]


@pytest.mark.parametrize(("changes", "pointer", "said"), WRONG)
def test_bad_input_is_a_422_that_points_at_it(
    api: Api, changes: dict[str, Any], pointer: str, said: str
) -> None:
    """Nothing is made: neither an item nor EventBridge's copy."""
    body = {name: value for name, value in (DAILY | changes).items() if value is not None}
    document = problem(api.post("/schedules", json=body), 422, "invalid")
    assert pointer in {each["pointer"] for each in document["errors"]}
    assert said in " ".join(each["detail"] for each in document["errors"])
    assert api.get("/schedules").json()["data"] == []


def test_near_names_are_for_programs_too(api: Api) -> None:
    """``near`` holds the zones and types that were meant."""
    for name, value, near in (
        ("timezone", "Moscow", "Europe/Moscow"),
        ("type", "gret", "greet"),
    ):
        answer = api.post("/schedules", json=DAILY | {name: value})
        [error] = problem(answer, 422, "invalid")["errors"]
        assert near in error["near"]


def test_an_edit_changes_what_it_names(api: Api) -> None:
    """All else stays, EventBridge follows, and another kind replaces the one before."""
    view = create(api, timezone="Europe/Moscow", tags=["a"])
    here = view["links"]["self"]
    edited = api("PATCH", here, json={"payload": {"name": "Bob"}, "tags": ["b"]}).json()
    assert (edited["payload"], edited["tags"]) == ({"name": "Bob"}, ["b"])
    assert (edited["cron"], edited["timezone"]) == ("0 6 * * *", "Europe/Moscow")
    edited = api("PATCH", here, json={"rate": "PT5M", "end": FUTURE}).json()
    assert (edited["cron"], edited["rate"], edited["payload"]) == (None, "PT5M", {"name": "Bob"})
    made = on_aws(view["schedule_id"])
    assert made is not None
    assert made["ScheduleExpression"] == "rate(5 minutes)"
    assert api("PATCH", here, json={"end": None}).json()["end"] is None
    assert api("PATCH", here, json={"payload": {}}).status_code == 422
    assert api.get(here).json()["payload"] == {"name": "Bob"}
    document = problem(api("PATCH", here, json={"type": "greet"}), 422, "invalid")
    assert document["errors"][0]["pointer"] == "#/type"


def test_a_deleted_schedule_is_gone_here_and_at_aws(api: Api) -> None:
    """204, then 404; what still fires does nothing."""
    view = create(api)
    assert api.delete(view["links"]["self"]).status_code == 204
    assert on_aws(view["schedule_id"]) is None
    problem(api.get(view["links"]["self"]), 404, "schedule-not-found")
    problem(api.delete(view["links"]["self"]), 404, "schedule-not-found")
    fire(api, view)
    assert tasks(api) == []


def test_another_tenants_schedule_is_not_there(app: FastAPI, api: Api) -> None:
    """404 for every operation, and no line of a list."""
    view, other = create(api), Api.of(app)
    here = view["links"]["self"]
    answers = [
        other.get(here),
        other("PATCH", here, json={"tags": ["x"]}),
        other.delete(here),
        other.post(f"{here}/pause"),
        other.post(f"{here}/resume"),
        other.post(f"{here}/run"),
        other.get(f"{here}/history"),
    ]
    for answer in answers:
        problem(answer, 404, "schedule-not-found")
    assert other.get("/schedules").json()["data"] == []
    assert api.get(here).json() == view


@pytest.mark.parametrize(
    ("scopes", "refused"),
    [
        ({Scope.READ}, {"create", "edit", "delete", "pause", "resume", "run"}),
        ({Scope.SUBMIT, Scope.READ}, {"delete", "pause"}),
        ({Scope.CANCEL, Scope.READ}, {"create", "edit", "resume", "run"}),
    ],
)
def test_scopes_are_those_of_tasks(
    app: FastAPI, api: Api, scopes: set[Scope], refused: set[str]
) -> None:
    """Submit makes, edits, resumes and runs; cancel pauses and deletes; read looks."""
    here = create(api)["links"]["self"]
    caller = Api.of(app, api.tenant, scopes)
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: caller.post("/schedules", json=DAILY),
        "edit": lambda: caller("PATCH", here, json={"tags": ["x"]}),
        "pause": lambda: caller.post(f"{here}/pause"),
        "resume": lambda: caller.post(f"{here}/resume"),
        "run": lambda: caller.post(f"{here}/run"),
        "read": lambda: caller.get(here),
        "delete": lambda: caller.delete(here),
    }
    assert {name for name, call in calls.items() if call().status_code == 403} == refused


def test_a_firing_submits_a_task_that_names_its_schedule(api: Api) -> None:
    """It has the schedule's payload, tags and tenant, and the history names it."""
    view = create(api, tags=["digest"])
    fire(api, view, execution="e-7")
    [submitted] = tasks(api)
    assert submitted["schedule_id"] == view["schedule_id"]
    assert submitted["tags"] == ["digest"]
    assert submitted["status"] == states.PENDING
    record = services().records.get(submitted["task_id"])
    assert record is not None
    assert payload_of(record)["name"] == "Ada"
    [firing] = history(api, view)
    assert firing["outcome"] == "fired"
    assert firing["task_id"] == submitted["task_id"]
    assert datetime.fromisoformat(firing["scheduled_at"]) == NOON


def test_a_schedule_that_fires_twice_makes_one_task(api: Api) -> None:
    """Whether the second call comes later, with another execution id, or after an edit."""
    view = create(api)
    fire(api, view)
    fire(api, view, execution="e-2")
    api("PATCH", view["links"]["self"], json={"payload": {"name": "Bob"}})
    fire(api, view)
    assert len(tasks(api)) == 1
    assert len(history(api, view)) == 1
    fire(api, view, NOON + timedelta(days=1))
    assert len(tasks(api)) == 2


def test_two_calls_at_the_same_time_make_one_task(api: Api) -> None:
    """Eight threads fire one time of one schedule."""
    view = create(api)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: fire(api, view, execution=f"e-{number}"), range(8)))
    assert len(tasks(api)) == 1
    assert len(history(api, view)) == 1


def test_a_late_firing_is_of_its_own_time(api: Api) -> None:
    """One that comes after the next one still makes its own task, and sorts before it."""
    view = create(api)
    fire(api, view, NOON + timedelta(days=1))
    fire(api, view, NOON)
    times = [datetime.fromisoformat(each["scheduled_at"]) for each in history(api, view)]
    assert times == [NOON + timedelta(days=1), NOON]
    assert len(tasks(api)) == 2


def test_a_crash_between_the_record_and_the_history_is_made_good(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EventBridge calls again: the same task, and its history."""
    view = create(api)
    with monkeypatch.context() as patch:
        patch.setattr(Firings, "note", _dies)
        with pytest.raises(SystemExit):
            fire(api, view)
    assert history(api, view) == []
    fire(api, view)
    assert [each["task_id"] for each in history(api, view)] == [tasks(api)[0]["task_id"]]
    assert len(tasks(api)) == 1


def test_a_paused_schedule_fires_nothing_and_says_so(api: Api) -> None:
    """Its history notes the times that pass; after resuming, the next one fires."""
    view = create(api)
    paused = api.post(view["links"]["pause"]).json()
    assert paused["paused"] is True
    assert paused["next_fire_times"] == []
    fire(api, view)
    assert tasks(api) == []
    assert [each["outcome"] for each in history(api, view)] == ["paused"]
    resumed = api.post(paused["links"]["resume"]).json()
    assert (resumed["paused"], len(resumed["next_fire_times"])) == (False, 5)
    fire(api, view)  # EventBridge's second call for the time that was paused
    assert tasks(api) == []
    fire(api, view, NOON + timedelta(days=1))
    assert len(tasks(api)) == 1


@pytest.mark.parametrize(
    ("overlap", "ended", "statuses", "outcomes"),
    [
        ("allow", False, ["PENDING", "PENDING"], ["fired", "fired"]),
        ("skip", False, ["PENDING"], ["skipped", "fired"]),
        ("skip", True, ["PENDING", "SUCCESS"], ["fired", "fired"]),
        ("cancel", False, ["PENDING", "REVOKED"], ["fired", "fired"]),
        ("cancel", True, ["PENDING", "SUCCESS"], ["fired", "fired"]),
    ],
)
def test_overlap(
    api: Api, worker: Worker, overlap: str, ended: bool, statuses: list[str], outcomes: list[str]
) -> None:
    """If the last task hasn't ended: both run, this time is skipped, or the last is cancelled."""
    view = create(api, overlap=overlap)
    fire(api, view)
    if ended:
        worker.succeed(tasks(api)[0]["task_id"], {"text": "Hello"})
    fire(api, view, NOON + timedelta(days=1))
    fire(api, view, NOON + timedelta(days=1), execution="e-2")
    assert [each["status"] for each in tasks(api)] == statuses
    assert [each["outcome"] for each in history(api, view)] == outcomes


def test_a_skipped_time_names_the_task_in_the_way_also_after_a_pause(api: Api) -> None:
    """The last task stays the last, whatever was noted in between."""
    view = create(api, overlap="skip")
    fire(api, view)
    api.post(view["links"]["pause"])
    fire(api, view, NOON + timedelta(days=1))
    api.post(f"{view['links']['self']}/resume")
    fire(api, view, NOON + timedelta(days=2))
    latest = history(api, view)[0]
    assert latest["outcome"] == "skipped"
    assert tasks(api)[0]["task_id"] in latest["detail"]


def test_run_now_submits_a_task_paused_or_not(api: Api) -> None:
    """202 and the task; the history says that it was by hand."""
    view = create(api)
    api.post(view["links"]["pause"])
    answer = api.post(view["links"]["run"])
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/tasks/{answer.json()['task_id']}"
    [firing] = history(api, view)
    assert (firing["by_hand"], firing["task_id"]) == (True, answer.json()["task_id"])
    api.post(view["links"]["run"])
    assert len(tasks(api)) == 2


def test_a_payload_that_is_no_longer_valid_is_noted_and_not_tried_again(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history says what is wrong, and the log has an error."""
    view = create(api)
    kept = services().schedules.get(api.tenant, view["schedule_id"])
    assert kept is not None
    monkeypatch.setattr(
        "celeriac.operations.firings.find", lambda *_: _with_payload(kept, {"name": 5})
    )
    with caplog.at_level(logging.ERROR):
        fire(api, view)
    monkeypatch.undo()
    assert "no longer valid" in caplog.text
    [firing] = history(api, view)
    assert firing["outcome"] == "refused"
    assert "name" in firing["detail"]


def _with_payload(kept: Any, payload: dict[str, Any]) -> Any:
    return Scheduled.of_kept(replace(kept, schedule=replace(kept.schedule, payload=payload)))


class TestCrashes:
    """Each step is repeated, or its remains are removed at the next firing."""

    def test_made_at_aws_only(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first firing finds no item, and removes EventBridge's copy for good."""
        made: list[Any] = []

        def dies(_: Schedules, kept: Any) -> bool:
            made.append(kept)
            raise SystemExit

        daily = Schedule.cron("0 6 * * *", payload={"name": "Ada"})
        with monkeypatch.context() as patch:
            patch.setattr(Schedules, "create", dies)
            with pytest.raises(SystemExit):
                schedules.create("greet", daily, tenant=api.tenant, app=own_app())
        [kept] = made
        assert on_aws(kept.schedule_id) is not None
        fire(api, {"schedule_id": kept.schedule_id})
        assert on_aws(kept.schedule_id) is None
        assert tasks(api) == []
        # A request that was only slow can't add the item any more, and so fails.
        assert services().schedules.create(kept) is False

    def test_deleted_in_the_table_only(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next firing removes EventBridge's copy, and submits nothing."""
        view = create(api)
        with monkeypatch.context() as patch:
            patch.setattr(EventBridge, "delete", _dies)
            with pytest.raises(SystemExit):
                schedules.delete(view["schedule_id"], api.tenant, app=own_app())
        problem(api.get(view["links"]["self"]), 404, "schedule-not-found")
        fire(api, view)
        assert (on_aws(view["schedule_id"]), tasks(api)) == (None, [])

    def test_edited_in_the_table_only(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """The edit is repeated, and EventBridge follows."""
        view = create(api)
        changed = Schedule.rate(timedelta(hours=1), payload={"name": "Bob"})
        with monkeypatch.context() as patch:
            patch.setattr(EventBridge, "update", _dies)
            with pytest.raises(SystemExit):
                schedules.edit(view["schedule_id"], api.tenant, schedule=changed, app=own_app())
        schedules.edit(view["schedule_id"], api.tenant, schedule=changed, app=own_app())
        made = on_aws(view["schedule_id"])
        assert made is not None
        assert made["ScheduleExpression"] == "rate(1 hour)"

    def test_two_edits_at_once_end_as_one_of_them(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The edit whose call to EventBridge comes last writes what the table says."""
        view = create(api)
        before = EventBridge.update

        def overtaken(self: EventBridge, *values: Any) -> None:
            monkeypatch.setattr(EventBridge, "update", before)
            api("PATCH", view["links"]["self"], json={"cron": "30 7 * * *"})
            before(self, *values)

        monkeypatch.setattr(EventBridge, "update", overtaken)
        api("PATCH", view["links"]["self"], json={"cron": "0 8 * * *"})
        made = on_aws(view["schedule_id"])
        assert made is not None
        assert api.get(view["links"]["self"]).json()["cron"] == "30 7 * * *"
        assert made["ScheduleExpression"] == "cron(30 7 * * ? *)"

    def test_a_pause_outlives_an_edit_that_began_before_it(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The edit is made again on what is there then: the schedule stays paused."""
        view = create(api)
        before = Schedules.replace

        def late(self: Schedules, kept: Any) -> bool:
            monkeypatch.setattr(Schedules, "replace", before)
            api.post(view["links"]["pause"])
            return before(self, kept)

        monkeypatch.setattr(Schedules, "replace", late)
        edited = api("PATCH", view["links"]["self"], json={"tags": ["x"]}).json()
        assert (edited["paused"], edited["tags"]) == (True, ["x"])
        assert api.get(view["links"]["self"]).json() == edited


def _dies(*_: Any) -> Any:
    raise SystemExit


def test_a_firing_costs_one_write_more_than_a_submission(api: Api) -> None:
    """The entry of the history. A second call for the same time counts itself there."""
    view = create(api)
    api.submit()
    with metered() as submission:
        api.submit()
    fire(api, view, NOON - timedelta(days=1))
    with metered() as firing:
        fire(api, view)
    assert firing.units - submission.units == Counter({"table": 1})
    assert firing.requests["sqs:SendMessage"] == 1
    with metered() as repeated:
        fire(api, view)
    assert repeated.units == Counter({"table": 1})


@pytest.fixture
def declaring(app: FastAPI) -> FastAPI:
    """An API whose type runs by itself."""
    own = task(name="greet-daily", schedule=Schedule.cron("0 6 * * *", payload={"name": "Ada"}))(
        greet.function
    )
    return create_app(catalogue=Catalogue([*CATALOGUE.values(), own]))


def test_a_declared_schedule_belongs_to_the_deployments_own_tenant(declaring: FastAPI) -> None:
    """It is listed first, can be paused and run, and not edited or deleted."""
    own = Api.of(declaring, services().settings.tenant)
    here = "/schedules/type-greet-daily"
    view = own.get("/schedules").json()["data"][0]
    assert view["schedule_id"] == "type-greet-daily"
    assert "throwaway.py:" in view["declared_at"]
    assert own.post(f"{here}/pause").json()["paused"] is True
    assert own.get(here).json()["paused"] is True
    assert own.post(f"{here}/resume").json()["paused"] is False
    assert own.post(f"{here}/run").status_code == 202
    for answer in (own.delete(here), own("PATCH", here, json={"cron": "0 7 * * *"})):
        assert "throwaway.py:" in problem(answer, 409, "schedule-declared")["detail"]
    other = Api.of(declaring)
    problem(other.get(here), 404, "schedule-not-found")
    assert other.get("/schedules").json()["data"] == []


def test_only_operators_schedule_what_only_they_may_submit(app: FastAPI) -> None:
    """A schedule of such a type takes the scope admin, as its submission does."""
    built_in = create_app(catalogue=catalogue())
    caller = Api.of(built_in, scopes=set(Scope) - {Scope.ADMIN})
    body = {"type": "cleanup", "cron": "0 * * * *"}
    assert problem(caller.post("/schedules", json=body), 403, "missing-scope")["scope"] == "admin"
    operator = Api.of(built_in, caller.tenant)
    here = operator.post("/schedules", json=body).json()["links"]["self"]
    for answer in (
        caller("PATCH", here, json={"tags": ["x"]}),
        caller.post(f"{here}/run"),
        caller.post(f"{here}/resume"),
    ):
        problem(answer, 403, "missing-scope")
