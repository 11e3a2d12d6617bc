"""Celery's ``beat_schedule`` works as it stands, or says what to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.schedules import BaseSchedule, crontab, schedule

from celeriac.app.beat import BeatScheduleError, entries, read, write
from celeriac.app.declared import declared
from celeriac.app.factory import Celeriac
from celeriac.contract import BaseModel, Catalogue, Schedule, TaskContext, task
from celeriac.settings import Settings


class Digest(BaseModel):
    days: int = 1


class Sent(BaseModel):
    mails: int


DAILY = Schedule.cron("0 6 * * *")
WEEKLY = Schedule.cron("0 6 * * MON", payload={"days": 7})


@task(schedule=(DAILY, WEEKLY))
def send_digest(payload: Digest, context: TaskContext) -> Sent:
    """Send the digest."""
    return Sent(mails=payload.days)


@pytest.fixture
def app() -> Celeriac:
    own = Celeriac(
        "shop", settings=Settings(), catalogue=Catalogue([send_digest]), set_as_current=False
    )
    own.conf.timezone = "Europe/Moscow"
    return own


def beat(app: Celeriac, **entry: Any) -> Schedule:
    """What an entry becomes."""
    app.conf.beat_schedule = {"nightly": {"task": "shop.add", "schedule": 60.0, **entry}}
    return next(each for each in declared(app) if each.schedule_id == "beat-nightly").schedule


def test_a_task_types_schedules_are_numbered(app: Celeriac) -> None:
    """Ids are of the type's name; the place is its declaration."""
    first, second = declared(app)
    assert (first.schedule_id, second.schedule_id) == ("type-send-digest", "type-send-digest-2")
    assert (first.schedule, second.schedule) == (DAILY, WEEKLY)
    assert "test_declared.py:" in first.where


@pytest.mark.parametrize(
    ("given", "expression"),
    [
        (60.0, "rate(1 minute)"),
        (3600, "rate(1 hour)"),
        (timedelta(minutes=5), "rate(5 minutes)"),
        (schedule(timedelta(days=1)), "rate(1 day)"),
        (crontab(), "cron(* * * * ? *)"),
        (crontab(minute=0, hour=0), "cron(0 0 * * ? *)"),
        (crontab(minute="*/15"), "cron(0,15,30,45 * * * ? *)"),
        (crontab(minute=30, hour=7, day_of_week="mon-fri"), "cron(30 7 ? * MON-FRI *)"),
        (
            crontab(minute=0, hour="*/3,8-17", day_of_week="sunday"),
            "cron(0 0,3,6,8-18,21 ? * SUN *)",
        ),
        (crontab(minute=0, hour=0, day_of_month="1-7,15-21"), "cron(0 0 1-7,15-21 * ? *)"),
        (
            crontab(minute=0, hour=0, day_of_month="2", month_of_year="*/3"),
            "cron(0 0 2 1,4,7,10 ? *)",
        ),
        (crontab(minute={0, 30}, hour=[6, 18]), "cron(0,30 6,18 * * ? *)"),
    ],
)
def test_crontabs_and_intervals_are_kept_exactly(
    app: Celeriac, given: Any, expression: str
) -> None:
    """A crontab is one of ``app.conf.timezone``."""
    found = beat(app, schedule=given)
    assert found.expression == expression
    assert found.timezone == ("Europe/Moscow" if expression.startswith("cron") else "UTC")


def test_a_plain_task_keeps_its_arguments_and_options(app: Celeriac) -> None:
    """They are those of ``apply_async``."""
    entry = {"args": (1, 2), "kwargs": {"x": 3}, "options": {"queue": "default"}}
    beat(app, **entry)
    found = declared(app)[-1]
    assert (found.type, found.args, found.kwargs) == ("shop.add", (1, 2), {"x": 3})
    assert found.options == {"queue": "default"}


@pytest.mark.parametrize("entry", [{"args": [{"days": 3}]}, {"kwargs": {"payload": {"days": 3}}}])
def test_a_typed_tasks_argument_is_its_payload(app: Celeriac, entry: dict[str, Any]) -> None:
    """As in ``delay``."""
    assert beat(app, task="send-digest", **entry).payload == {"days": 3}


@pytest.mark.parametrize(("number", "priority"), [(0, "normal"), (5, "normal"), (6, "high")])
@pytest.mark.parametrize("name", ["shop.add", "send-digest"])
def test_an_entrys_priority_is_that_of_its_tasks(
    app: Celeriac, name: str, number: int, priority: str
) -> None:
    """Celery's number, of plain tasks and of typed ones."""
    assert beat(app, task=name, options={"priority": number}).priority == priority
    assert beat(app, task=name).priority is None


def test_a_plain_tasks_own_priority_counts_too(app: Celeriac) -> None:
    """As in ``apply_async``, unless the entry has another."""

    @app.task(name="shop.alarm")
    def alarm() -> None:
        """Ring."""

    app.tasks["shop.alarm"].priority = 9
    assert beat(app, task="shop.alarm").priority == "high"
    assert beat(app, task="shop.alarm", options={"priority": 0}).priority == "normal"


def test_a_priority_that_is_no_number_is_refused_with_the_fix(app: Celeriac) -> None:
    """Celery's scale is 0 to 9."""
    with pytest.raises(BeatScheduleError, match="priority 'high' is not a number from 0 to 9"):
        beat(app, options={"priority": "high"})


def test_add_periodic_task_is_read_too(app: Celeriac) -> None:
    """Also from the signal that the tutorial uses, which is sent when the app is configured."""

    @app.task(name="shop.greet")
    def greet(name: str) -> None:
        """Greet."""

    def setup(sender: Any, **_: Any) -> None:
        sender.add_periodic_task(600.0, greet.s("Ada"), name="greet every ten minutes")
        sender.add_periodic_task(crontab(hour=7, minute=30, day_of_week=1), greet.s("Bob"))

    app.on_after_finalize.connect(setup)
    named, unnamed = declared(app)[-2:]
    assert (named.type, named.args) == ("shop.greet", ("Ada",))
    assert named.schedule.expression == "rate(10 minutes)"
    assert unnamed.schedule.expression == "cron(30 7 ? * MON *)"
    ids = [named.schedule_id, unnamed.schedule_id]
    assert len(set(ids)) == 2
    assert all(each.startswith("beat-") and len(each) <= 64 for each in ids)
    assert [each.schedule_id for each in declared(app)[-2:]] == ids


def test_names_that_eventbridge_cant_have_stay_apart(app: Celeriac) -> None:
    """Each id is one of EventBridge's names, and no two entries share one."""
    names = ["a b", "a/b", "a b ", "x" * 70, "x" * 71, "ночь", "plain"]
    app.conf.beat_schedule = {name: {"task": "t", "schedule": 60} for name in names}
    ids = [each.schedule_id for each in declared(app)[2:]]
    assert len(set(ids)) == len(names)
    assert "beat-plain" in ids
    assert all(len(each) <= 64 and each.isascii() for each in ids)


class Moonrise(BaseSchedule):
    """A schedule of one's own."""


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: 30.0, "shorter than a minute"),
    (lambda: timedelta(seconds=90), "Give 1 or 2 minutes"),
    (lambda: crontab(day_of_month=1, day_of_week="mon"), "look at the date"),
    (lambda: schedule(timedelta(hours=1), relative=True), "Write crontab"),
    (Moonrise, "Write crontab"),
    (lambda: "0 6 * * *", "Write crontab"),
]


@pytest.mark.parametrize(("make", "said"), REFUSED)
def test_what_aws_cant_say_is_an_error_that_names_the_entry(
    app: Celeriac, make: Callable[[], Any], said: str
) -> None:
    """It says what to write."""
    with pytest.raises(BeatScheduleError, match=r"beat_schedule\['nightly'\]") as raised:
        beat(app, schedule=make())
    assert said in str(raised.value)


def test_a_typed_tasks_wrong_payload_is_an_error(app: Celeriac) -> None:
    """Before it is deployed, not at the first firing."""
    with pytest.raises(BeatScheduleError, match="days"):
        beat(app, task="send-digest", args=[{"days": "x"}])


@pytest.mark.parametrize("option", ["task_id", "countdown", "eta"])
def test_an_option_of_one_call_is_refused(app: Celeriac, option: str) -> None:
    """Each of the entry's tasks would have it."""
    with pytest.raises(BeatScheduleError, match=f"the option {option} would be the same"):
        beat(app, options={option: 5})


@pytest.mark.parametrize(
    "options", [{"queue": "night"}, {"expires": 60}, {"countdown": 5}, {"headers": {"x-a": 1}}]
)
def test_an_option_that_a_typed_task_would_lose_is_refused(
    app: Celeriac, options: dict[str, Any]
) -> None:
    """It is submitted like any other of its type."""
    [option] = options
    with pytest.raises(BeatScheduleError, match=f"the option {option} has no meaning"):
        beat(app, task="send-digest", options=options)


def test_an_option_that_changes_nothing_of_a_typed_task_is_taken(app: Celeriac) -> None:
    """Its own queue, what only other brokers know, and a priority, which is kept."""
    queue = app.catalogue["send-digest"].queue.name
    options = {"queue": queue, "routing_key": "x", "expires": None, "priority": 9}
    assert beat(app, task="send-digest", options=options).priority == "high"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"arg": [1]}, "'arg' is nothing that an entry has"),
        ({"task": None}, "it has no task"),
        ({"schedule": None}, "it has no schedule"),
        ({"relative": True}, "relative=True has no counterpart"),
        ({"task": "send-digest", "args": [{"days": 1}, 2]}, "the only argument"),
        ({"task": "send-digest", "kwargs": {"days": 2}}, "the only argument"),
        (
            {"task": "send-digest", "args": [{"days": 1}], "kwargs": {"days": 2}},
            "the only argument",
        ),
    ],
)
def test_an_entry_whose_meaning_would_be_lost_is_refused(
    app: Celeriac, entry: dict[str, Any], fault: str
) -> None:
    """A misspelt key is no entry without that key, and an entry's own ``relative`` counts."""
    with pytest.raises(BeatScheduleError, match=fault):
        beat(app, **entry)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"options": {"queue": "nowhere"}}, "nowhere"),
        ({"options": {"serializer": "pickle"}}, "pickle"),
        ({"args": [object()]}, "object"),
    ],
)
def test_what_could_never_be_sent_is_refused_when_it_is_declared(
    app: Celeriac, entry: dict[str, Any], fault: str
) -> None:
    """Not at three in the morning."""
    with pytest.raises(BeatScheduleError, match=fault):
        beat(app, **entry)


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
ODD: dict[str, tuple[Any, str]] = {
    "text": ("shop.add", "is not a dictionary"),
    "a tuple": (("shop.add", 60), "is not a dictionary"),
    "none": (None, "is not a dictionary"),
    "a schedule": (crontab(), "is not a dictionary"),
    "empty": ({}, "it has no task"),
    "a key that is no text": ({"task": "shop.add", "schedule": 60, 5: 1}, "5 is nothing"),
    **{
        f"the {field} {fault}, {number}": (
            {"task": "shop.add", "schedule": 60, field: value},
            fault,
        )
        for field, values, fault in (
            ("task", (5, len, ["shop.add"], {}, b"shop.add", True), "is not a name"),
            ("task", ("", "a\nb", "x" * 300), "can't have the name"),
            ("args", ("abc", 5, {"a": 1}, {1, 2}, iter([1]), True, b"x"), "is not a list"),
            ("kwargs", ([1], "abc", 5, {1: 2}, [("a", 1)], True), "is not a dictionary of names"),
            ("options", ([1], "abc", 5, {1: 2}, True), "is not a dictionary of names"),
            ("options", ({"quue": "x"},), "Did you mean queue"),
            (
                "options",
                ({"stamped_headers": 5}, {"stamped_headers": [{}]}, {"stamped_headers": "of"}),
                "is not a list of names",
            ),
            ("options", ({"nonsense": 1},), "is no option of apply_async"),
            ("options", ({"name": "x"}, {"body": "x"}, {"args": [1]}), "is no option"),
            ("args", ([object()], [{1, 2, object()}], [len], ENDLESS, [10**5000]), "JSON"),
            ("kwargs", ({"a": object()}, {"a": ENDLESS}), "JSON"),
            ("options", ({"headers": {"a": object()}}, {"headers": {"a": ENDLESS}}), "JSON"),
            ("options", ({"headers": 5}, {"headers": {5: 1}}), "header"),
            (
                "schedule",
                (object(), [60], {}, b"60", len, Schedule, (1, 2), {"minute": 0}, True, False),
                "no counterpart",
            ),
            ("schedule", ("60", "", "daily"), "is no schedule"),
            ("schedule", (float("nan"), float("inf"), 60.0000004, 90.5), "not a whole number"),
            ("schedule", (10**400, 1e300, timedelta.max, -(10**400)), "366|whole number"),
            ("schedule", (0, -60, 30, 59.0, timedelta(0), timedelta(days=-1)), "shorter"),
        )
        for number, value in enumerate(values)
    },
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("typed", [False, True])
def test_an_odd_entry_is_an_error_that_names_it(app: Celeriac, case: str, typed: bool) -> None:
    """Never an AttributeError or a TypeError of the engine, whatever is in it."""
    entry, fault = ODD[case]
    if typed and isinstance(entry, dict) and entry.get("task") == "shop.add":
        entry = {**entry, "task": "send-digest"}
        if case.startswith(
            ("the args JSON", "the kwargs JSON", "the options JSON", "the options head")
        ):
            fault = "."
    app.conf.beat_schedule = {"good": {"task": "shop.add", "schedule": 60}, "odd one": entry}
    with pytest.raises(BeatScheduleError, match=r"beat_schedule\['odd one'\]") as raised:
        entries(app)
    assert re.search(fault, str(raised.value))


class Strange:
    """A schedule of another library's."""

    run_every = timedelta(hours=1)

    def is_due(self, last_run_at: Any) -> tuple[bool, float]:
        return True, 1.0


@pytest.mark.parametrize(
    "given", [Strange(), Moonrise(), schedule("x")], ids=["a class", "Celery's base", "a text"]
)
def test_a_schedule_of_an_unknown_class_is_an_error(app: Celeriac, given: Any) -> None:
    """So is Celery's ``solar``, whose times EventBridge doesn't know."""
    with pytest.raises(BeatScheduleError, match=r"beat_schedule\['nightly'\]"):
        beat(app, schedule=given)


@pytest.mark.parametrize("given", [["x"], "x", 5, (1,)])
def test_a_beat_schedule_that_is_no_dictionary_is_an_error(app: Celeriac, given: Any) -> None:
    """It says what to write."""
    app.conf.beat_schedule = given
    with pytest.raises(BeatScheduleError, match="which is not a dictionary"):
        entries(app)


def test_two_names_for_one_schedule_are_an_error(app: Celeriac) -> None:
    """EventBridge's names are texts: one entry would replace the other."""
    entry = {"task": "shop.add", "schedule": 60}
    app.conf.beat_schedule = {5: entry, "5": entry}
    with pytest.raises(BeatScheduleError, match="the same schedule as the entry 5"):
        entries(app)


def test_a_time_zone_that_there_is_not_is_an_error(app: Celeriac) -> None:
    """Of ``app.conf.timezone``, which each crontab is read in."""
    app.conf.timezone = "Moon/Tycho"
    with pytest.raises(BeatScheduleError, match="no time zone 'Moon/Tycho'"):
        beat(app, schedule=crontab())


@pytest.mark.parametrize(
    "options",
    [
        {"expires": 60, "retry": True, "shadow": "x", "time_limit": 5, "ignore_result": True},
        {"MessageGroupId": "a", "message_attributes": {}, "routing_key": "x", "exchange": "y"},
        {"stamped_headers": ["of"], "of": "beat"},
    ],
)
def test_every_option_of_apply_async_is_known(app: Celeriac, options: dict[str, Any]) -> None:
    """Celery's, kombu's, SQS's, and stamps."""
    beat(app, options=options)


def test_entries_are_the_same_after_they_were_kept(app: Celeriac, tmp_path: Path) -> None:
    """A file has all that a firing needs, whatever JSON can say."""
    app.conf.beat_schedule = {
        "plain": {"task": "shop.add", "schedule": 60.0, "args": [1, "é", None, {"a": [2.5]}]},
        "typed": {"task": "send-digest", "schedule": crontab(hour=3), "args": [{"days": 3}]},
        "routed": {
            "task": "shop.add",
            "schedule": timedelta(days=366),
            "kwargs": {"x": True},
            "options": {"expires": 30, "priority": 9, "headers": {"a": "b"}},
        },
    }
    kept = tmp_path / "beat.json"
    write(entries(app), kept)

    for before, after in zip(entries(app), read(kept), strict=True):
        assert replace(after, args=tuple(after.args)) == before
