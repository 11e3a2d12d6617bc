"""The edges of /schedules: clocks, calendars, limits, what has ended, and what happens at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.http.routes.submit import MOST_TAGS
from celeriac.operations.schedule_tasks import submit_task
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem
from tests.integration.api.schedule_support import (
    DAILY,
    NOON,
    create,
    fire,
    history,
    on_aws,
    same_types,
    tasks,
)

__all__ = ["same_types"]  # a fixture of every test here

FUTURE = "2090-01-01T00:00:00Z"
LONG_AGO = "2020-01-01T00:00:00Z"


def body(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (DAILY | changes).items() if value is not None}


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a start after the end": (
        {"start": FUTURE, "end": "2089-01-01T00:00:00Z"},
        "end",
        "not before",
    ),
    "no time between start and end": (
        {"cron": "0 6 29 2 *", "start": "2089-01-01T00:00:00Z", "end": "2090-01-01T00:00:00Z"},
        "end",
        "no time of this schedule",
    ),
    "a month as a rate": ({"cron": None, "rate": "P1M"}, "rate", "without years and months"),
    "a year as a rate": ({"cron": None, "rate": "P1Y"}, "rate", "without years and months"),
    "seconds as text": ({"cron": None, "rate": "3600"}, "rate", "number of seconds"),
    "a start that the clock skips": (
        {"start": "2091-03-25T02:30:00", "timezone": "Europe/Berlin"},
        "start",
        "never comes in Europe/Berlin",
    ),
    "a start for one time": ({"cron": None, "at": FUTURE, "start": FUTURE}, "start", "no start"),
    "a zone in small letters": ({"timezone": "europe/moscow"}, "timezone", "Europe/Moscow"),
    "an offset as a zone": ({"timezone": "+03:00"}, "timezone", "no time zone"),
    "an empty zone": ({"timezone": ""}, "timezone", "no time zone"),
    "a long zone": ({"timezone": "x" * 5000}, "timezone", "no time zone"),
    "AWS's rate": ({"cron": None, "rate": "rate(1 minutes)"}, "rate", "duration"),
    "59 seconds": ({"cron": None, "rate": "PT59S"}, "rate", "shorter than a minute"),
    "a negative rate": ({"cron": None, "rate": "-PT5M"}, "rate", "shorter than a minute"),
    "367 days": ({"cron": None, "rate": "P367D"}, "rate", "longer than 366 days"),
    "a rate over all numbers": ({"cron": None, "rate": 1e300}, "rate", "longer than 366 days"),
    "a rate over all floats": ({"cron": None, "rate": 10**400}, "rate", "longer than 366 days"),
    "a rate over all times": ({"cron": None, "rate": "P999999999W"}, "rate", "longer than 366"),
    "nearly a minute": ({"cron": None, "rate": 60.0000004}, "rate", "whole number of seconds"),
    "half a second": ({"cron": None, "rate": 60.5}, "rate", "whole number of seconds"),
    "a repeated unit": ({"cron": None, "rate": "PT1H1H"}, "rate", "duration"),
    "units out of order": ({"cron": None, "rate": "PT1M1H"}, "rate", "duration"),
    "a fraction of an hour": ({"cron": None, "rate": "PT1.5H"}, "rate", "without fractions"),
    "small letters": ({"cron": None, "rate": "pt1h"}, "rate", "duration"),
    "a blank before a rate": ({"cron": None, "rate": " PT1H"}, "rate", "duration"),
    "a line's end after a rate": ({"cron": None, "rate": "PT1H\n"}, "rate", "duration"),
    "other digits in a rate": ({"cron": None, "rate": "PT١H"}, "rate", "duration"),
    "a plus sign": ({"cron": None, "rate": "+PT1H"}, "rate", "duration"),
    "a list as a rate": ({"cron": None, "rate": [60]}, "rate", "duration"),
    "minus a minute": ({"cron": None, "rate": -60}, "rate", "shorter than a minute"),
    **{
        f"{name} {text!r}": ({"cron": cron, name: text}, name, said)
        for name, cron in (("at", None), ("start", "0 6 * * *"), ("end", "0 6 * * *"))
        for text, said in (
            ("2091-06-01", "no time of day"),
            ("2091-06", "ISO 8601"),
            ("2091-06-01T12", "ISO 8601"),
            ("20910601T120000Z", "ISO 8601"),
            ("2091-06-01T12:00:00+03", "ISO 8601"),
            (" 2091-06-01T12:00:00Z", "ISO 8601"),
            ("2091-06-31T12:00:00Z", "no such time"),
            ("2091-06-01T24:00:00Z", "no hour 24"),
            (3_831_624_000, "ISO 8601"),
            (True, "ISO 8601"),
        )
    },
    "true as a rate": ({"cron": None, "rate": True}, "rate", "duration"),
    "AWS's cron": ({"cron": "cron(0 6 * * ? *)"}, "cron", "AWS's own form"),
    "cron with seconds": ({"cron": "0 0 6 * * *"}, "cron", "has 6 fields, not 5"),
    "an empty cron": ({"cron": " "}, "cron", "has 0 fields"),
    "a long cron": ({"cron": f"{'0,' * 200}0 6 * * *"}, "cron", "longer than"),
    "other digits": ({"cron": "٠ 6 * * *"}, "cron", "wrong"),
    "29 February of no year": ({"cron": "0 6 30 2 *"}, "cron", "never comes"),
    "@reboot": ({"cron": "@reboot"}, "cron", "fields"),
    "too many tags": ({"tags": [f"t{n}" for n in range(MOST_TAGS + 1)]}, "tags", "at most"),
    "a description": ({"description": "каждое утро"}, "description", "no such field"),
    "a large payload of small characters": (
        {"payload": {"name": "Ada", "from": "ж" * 11_000}},
        "payload",
        "at most 64 KiB",
    ),
    "no payload at all": ({"payload": None}, "payload/name", "required"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_a_422_that_points_at_it(api: Api, case: str) -> None:
    """Nothing is made."""
    changes, where, said = WRONG[case]
    document = problem(api.post("/schedules", json=body(changes)), 422, "invalid")
    details = {each["pointer"]: each["detail"] for each in document["errors"]}
    assert said in details[f"#/{where}"]
    assert api.get("/schedules").json()["data"] == []


@pytest.mark.parametrize("case", [each for each in WRONG if "payload" not in WRONG[each][0]])
def test_an_edit_is_held_to_the_same(api: Api, case: str) -> None:
    """Nothing is changed."""
    changes, where, said = WRONG[case]
    view = create(api)
    changes = {name: value for name, value in changes.items() if value is not None}
    document = problem(api("PATCH", view["links"]["self"], json=changes), 422, "invalid")
    details = {each["pointer"]: each["detail"] for each in document["errors"]}
    assert said in details[f"#/{where}"]
    assert api.get(view["links"]["self"]).json() == view


@pytest.mark.parametrize("text", ["\\ud800", "a\\udfffb"])
@pytest.mark.parametrize("where", ["payload", "tags", "timezone", "cron", "type"])
def test_half_a_character_is_no_json(api: Api, text: str, where: str) -> None:
    """JSON can say it, and no text has it."""
    given: Any = {"payload": {"name": "?"}, "tags": ["?"]}.get(where, "?")
    content = json.dumps(DAILY | {where: given}).replace("?", text)
    headers = {"Content-Type": "application/json"}
    problem(api("POST", "/schedules", content=content, headers=headers), 400, "malformed-json")


RIGHT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a start without an offset is of the zone": (
        {"start": "2091-01-01T06:00:00", "timezone": "Europe/Moscow"},
        {"start": "2091-01-01T03:00:00Z"},
    ),
    "a start with an offset is its own": (
        {"start": "2091-01-01T06:00:00+01:00", "timezone": "Europe/Moscow"},
        {"start": "2091-01-01T05:00:00Z"},
    ),
    "a start long ago": ({"start": LONG_AGO}, {"start": LONG_AGO}),
    "a rate's start long ago is its rhythm": (
        {"cron": None, "rate": "P1D", "start": "2020-01-01T06:30:00Z"},
        {"start": "2020-01-01T06:30:00Z"},
    ),
    "the first of a time that comes twice": (
        {"cron": None, "at": "2091-10-28T02:30:00", "timezone": "Europe/Berlin"},
        {"at": "2091-10-28T00:30:00Z", "timezone": "UTC"},
    ),
    "a fraction of a second is rounded up": (
        {"cron": None, "at": "2091-01-01T00:00:00.001Z"},
        {"at": "2091-01-01T00:00:01Z"},
    ),
    "a nanosecond is rounded up": (
        {"cron": None, "at": "2091-01-01T00:00:00.000000001Z"},
        {"at": "2091-01-01T00:00:01Z"},
    ),
    "a time without seconds": (
        {"cron": None, "at": "2091-01-01T06:30", "timezone": "Europe/Moscow"},
        {"at": "2091-01-01T03:30:00Z"},
    ),
    "a start's fraction is rounded up, an end's down": (
        {"start": "2091-01-01T00:00:00.5Z", "end": "2091-02-01T00:00:00.5Z"},
        {"start": "2091-01-01T00:00:01Z", "end": "2091-02-01T00:00:00Z"},
    ),
    "seconds with a point": ({"cron": None, "rate": 120.0}, {"rate": "PT2M"}),
    "366 days": ({"cron": None, "rate": "P366D"}, {"rate": "P366D"}),
    "a week": ({"cron": None, "rate": "P1W"}, {"rate": "P7D"}),
    "a day and a half": ({"cron": None, "rate": "PT36H"}, {"rate": "P1DT12H"}),
    "one minute": ({"cron": None, "rate": 60}, {"rate": "PT1M"}),
    "a payload in any alphabet": (
        {"payload": {"name": "Ада ☕ 漢字"}},
        {"payload": {"name": "Ада ☕ 漢字"}},
    ),
    "tags in any alphabet, each once": (
        {"tags": ["утро", "утро", "a/b"]},
        {"tags": ["утро", "a/b"]},
    ),
    "an alias of the type": ({"type": "hello"}, {"type": "greet"}),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_kept_as_it_says(api: Api, case: str) -> None:
    """Shown when it is made and later, with the next times, and known to EventBridge."""
    changes, shown = RIGHT[case]
    answer = api.post("/schedules", json=body(changes))
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert {name: view[name] for name in shown} == shown
    assert api.get(view["links"]["self"]).json() == view
    assert view["next_fire_times"]
    assert on_aws(view["schedule_id"]) is not None


def test_a_rate_that_began_long_ago_keeps_its_rhythm(api: Api) -> None:
    """Here and in EventBridge, which takes no start that is past."""
    view = create(api, cron=None, rate="P1D", start="2020-01-01T06:30:00Z")
    times = [datetime.fromisoformat(each) for each in view["next_fire_times"]]
    assert {(each.hour, each.minute) for each in times} == {(6, 30)}
    made = on_aws(view["schedule_id"])
    assert made is not None
    assert made["StartDate"] == times[0]


def test_29_february_comes_in_leap_years(api: Api) -> None:
    """The next five are twenty years."""
    view = create(api, cron="0 0 29 2 *")
    years = [datetime.fromisoformat(each).year for each in view["next_fire_times"]]
    assert all(each % 4 == 0 for each in years)
    assert years == list(range(years[0], years[0] + 20, 4))


@pytest.fixture
def over(api: Api, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A one-time schedule that has fired; AWS has removed its copy."""
    at = datetime(2090, 1, 1, tzinfo=UTC)
    view = create(api, cron=None, at=at.isoformat())
    fire(api, view, at)
    services().event_bridge.delete(view["schedule_id"])
    later = int((at + timedelta(minutes=1)).timestamp() * 1000)
    monkeypatch.setattr("celeriac.clock.now", lambda: later)
    return view


def test_one_that_has_fired_is_still_there(api: Api, over: dict[str, Any]) -> None:
    """It has no next times, and can be paused, resumed and run."""
    here = over["links"]["self"]
    assert api.get(here).json()["next_fire_times"] == []
    for _ in range(2):
        assert api.post(f"{here}/pause").json()["paused"] is True
    for _ in range(2):
        assert api.post(f"{here}/resume").json()["paused"] is False
    assert api.post(f"{here}/run").status_code == 202
    assert [each["by_hand"] for each in history(api, over)] == [True, False]


def test_one_that_has_fired_is_edited_only_with_another_time(
    api: Api, over: dict[str, Any]
) -> None:
    """Else it would never fire: a 422 points at the time. With a new one AWS has it again."""
    here = over["links"]["self"]
    for changes in ({"tags": ["x"]}, {"payload": {"name": "Bob"}}, {"priority": "high"}):
        document = problem(api("PATCH", here, json=changes), 422, "invalid")
        assert document["errors"][0]["pointer"] == "#/at"
    assert on_aws(over["schedule_id"]) is None
    again = api("PATCH", here, json={"at": "2091-01-01T00:00:00Z", "tags": ["x"]})
    assert again.status_code == 200, again.text
    made = on_aws(over["schedule_id"])
    assert made is not None
    assert made["ScheduleExpression"] == "at(2091-01-01T00:00:00)"


def test_the_zone_of_one_time_is_changed_only_with_it(api: Api) -> None:
    """The time is kept in UTC: a zone alone would change nothing, without a word."""
    view = create(api, cron=None, at=FUTURE)
    answer = api("PATCH", view["links"]["self"], json={"timezone": "Europe/Moscow"})
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == "#/timezone"
    both = {"timezone": "Europe/Moscow", "at": "2090-01-01T06:00:00"}
    edited = api("PATCH", view["links"]["self"], json=both).json()
    assert (edited["at"], edited["timezone"]) == ("2090-01-01T03:00:00Z", "UTC")


def test_one_whose_end_is_past_resumes_and_stays_over(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no next times; an edit has to give a later end."""
    view = create(api, end="2090-01-01T00:00:00Z")
    here = view["links"]["self"]
    api.post(f"{here}/pause")
    later = int(datetime(2090, 1, 2, tzinfo=UTC).timestamp() * 1000)
    monkeypatch.setattr("celeriac.clock.now", lambda: later)
    resumed = api.post(f"{here}/resume").json()
    assert (resumed["paused"], resumed["next_fire_times"]) == (False, [])
    document = problem(api("PATCH", here, json={"tags": ["x"]}), 422, "invalid")
    assert document["errors"][0]["pointer"] == "#/end"
    assert len(api("PATCH", here, json={"end": None}).json()["next_fire_times"]) == 5


def test_pausing_twice_is_pausing(api: Api) -> None:
    """So is resuming twice; neither changes anything else."""
    view = create(api)
    here = view["links"]["self"]
    first, again = (api.post(f"{here}/pause").json() for _ in range(2))
    assert first == again
    back, again = (api.post(f"{here}/resume").json() for _ in range(2))
    assert back == again == view


def test_one_that_is_deleted_while_it_fires_fires_that_time_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task stands; nothing is left that fires, and later calls do nothing."""
    view = create(api)
    before = submit_task

    def overtaken(*values: Any) -> Any:
        assert api.delete(view["links"]["self"]).status_code == 204
        return before(*values)

    with monkeypatch.context() as patch:
        patch.setattr("celeriac.operations.firings.submit_task", overtaken)
        fire(api, view)
    assert len(tasks(api)) == 1
    fire(api, view)
    fire(api, view, NOON + timedelta(days=1))
    assert len(tasks(api)) == 1
    assert on_aws(view["schedule_id"]) is None
    problem(api.get(view["links"]["self"]), 404, "schedule-not-found")


CHANGES: dict[str, Any] = {
    "cron": "30 7 * * *",
    "timezone": "Europe/Moscow",
    "payload": {"name": "Bob"},
    "tags": ["x"],
    "overlap": "skip",
    "priority": "high",
    "end": FUTURE,
}


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))


def test_edits_at_once_are_all_kept(api: Api) -> None:
    """Each names another field: none undoes another, and EventBridge has the outcome."""
    view = create(api)
    here = view["links"]["self"]

    def edit(name: str) -> Callable[[], int]:
        return lambda: api("PATCH", here, json={name: CHANGES[name]}).status_code

    calls = [*map(edit, CHANGES), lambda: api.post(f"{here}/pause").status_code]
    assert set(at_once(calls)) == {200}
    found = api.get(here).json()
    assert {name: found[name] for name in CHANGES} == CHANGES
    assert found["paused"] is True
    made = on_aws(view["schedule_id"])
    assert made is not None
    assert (made["ScheduleExpression"], made["ScheduleExpressionTimezone"]) == (
        "cron(30 7 * * ? *)",
        "Europe/Moscow",
    )


def test_edits_and_a_deletion_at_once_end_as_deleted(api: Api) -> None:
    """Edits that came too late are 404s, and EventBridge keeps nothing."""
    view = create(api)
    here = view["links"]["self"]
    edits = [
        lambda hour=hour: api("PATCH", here, json={"cron": f"0 {hour} * * *"}).status_code
        for hour in range(4)
    ]
    statuses = at_once([*edits, lambda: api.delete(here).status_code])
    assert statuses[-1] == 204
    assert set(statuses[:-1]) <= {200, 404}
    assert on_aws(view["schedule_id"]) is None
    problem(api.get(here), 404, "schedule-not-found")


@pytest.mark.parametrize(
    "schedule_id", ["none", "a" * 300, "%2e%2e", "schedules%23x", "%00", "ключ"]
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "pause", "resume", "run", "history"])
def test_an_id_that_is_none_is_a_404(api: Api, schedule_id: str, method: str) -> None:
    """Of any form."""
    here = f"/schedules/{schedule_id}"
    if method in ("GET", "DELETE"):
        answer = api(method, here)
    elif method == "PATCH":
        answer = api(method, here, json={"tags": ["x"]})
    else:
        answer = api("GET" if method == "history" else "POST", f"{here}/{method}")
    problem(answer, 404, "schedule-not-found")
