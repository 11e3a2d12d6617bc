"""An edit that is cut off before it reaches EventBridge: nothing fires by the times before it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import clock, schedules
from celeriac.contract import Schedule
from celeriac.operations import firing
from celeriac.operations.lookup import payload_of
from celeriac.storage.event_bridge import EventBridge
from celeriac.storage.services import services
from tests.integration.api.conftest import Api
from tests.integration.api.schedule_support import (
    DAILY,
    create,
    history,
    on_aws,
    own_app,
    same_types,
    tasks,
)
from tests.unit.engine.support import out_of_reach

__all__ = ["same_types"]  # a fixture of every test here

#: A time of cron 0 6 * * *, and not of 30 7 * * *; the other way round.
SIX = datetime(2090, 1, 31, 6, 0, tzinfo=UTC)
HALF_PAST_SEVEN = SIX + timedelta(minutes=90)
LATER = "30 7 * * *"


class DiesError(Exception):
    """The process ends here."""


def cut_off(api: Api, monkeypatch: pytest.MonkeyPatch, view: dict[str, Any], to: Schedule) -> None:
    """Edit a schedule, and die before EventBridge is told."""

    def dies(*_: Any) -> None:
        raise DiesError

    with monkeypatch.context() as patch:
        patch.setattr(EventBridge, "update", dies)
        with pytest.raises(DiesError):
            schedules.edit(view["schedule_id"], api.tenant, schedule=to, app=own_app())


def input_of(view: dict[str, Any], moment: datetime) -> dict[str, Any]:
    """What EventBridge calls the target with at a time, by the copy that it has now."""
    made = on_aws(view["schedule_id"])
    assert made is not None
    text = made["Target"]["Input"]
    text = text.replace("<aws.scheduler.scheduled-time>", f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    found: dict[str, Any] = json.loads(text.replace("<aws.scheduler.execution-id>", "e-1"))
    return found


def expression(view: dict[str, Any]) -> str:
    made = on_aws(view["schedule_id"])
    return "" if made is None else made["ScheduleExpression"]


def cron(text: str, **more: Any) -> Schedule:
    return Schedule.cron(text, payload=DAILY["payload"], **more)


def test_the_old_times_fire_nothing_and_are_set_right(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call by them sets EventBridge right, and the new times fire."""
    view = create(api)
    cut_off(api, monkeypatch, view, cron(LATER))
    assert expression(view) == "cron(0 6 * * ? *)"
    firing.fire(input_of(view, SIX))
    assert (tasks(api), history(api, view)) == ([], [])
    assert expression(view) == "cron(30 7 * * ? *)"
    firing.fire(input_of(view, HALF_PAST_SEVEN))
    assert len(tasks(api)) == 1


CHANGED: dict[str, Schedule] = {
    "expression": cron("0,30 6 * * *"),
    "time zone": cron("0 9 * * *", timezone="Europe/Moscow"),
    "start": cron("0 6 * * *", start=datetime(2031, 1, 1, tzinfo=UTC)),
    "end": cron("0 6 * * *", end=datetime(2091, 1, 1, tzinfo=UTC)),
    "kind": Schedule.at(SIX, payload=DAILY["payload"]),
    "rate": Schedule.rate(
        timedelta(days=1), start=datetime(2031, 1, 1, 6, tzinfo=UTC), payload=DAILY["payload"]
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_time_that_is_also_one_of_the_new_fires(
    api: Api, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Whatever was changed, and EventBridge is set right all the same."""
    view = create(api)
    cut_off(api, monkeypatch, view, CHANGED[change])
    firing.fire(input_of(view, SIX))
    assert len(tasks(api)) == 1
    assert expression(view) == CHANGED[change].expression
    monkeypatch.setattr(EventBridge, "update", None)
    firing.fire(input_of(view, SIX))
    assert len(tasks(api)) == 1


def test_a_call_that_was_on_its_way_during_an_edit_fires_nothing(api: Api) -> None:
    """The edit is whole, and the call is of the times before it."""
    view = create(api)
    on_its_way = input_of(view, SIX)
    api("PATCH", view["links"]["self"], json={"cron": LATER})
    firing.fire(on_its_way)
    assert (tasks(api), history(api, view)) == ([], [])


def test_an_edit_of_the_payload_changes_no_times(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call on its way fires the new payload, and EventBridge isn't written."""
    view = create(api)
    on_its_way = input_of(view, SIX)
    api("PATCH", view["links"]["self"], json={"payload": {"name": "Bob"}})
    api.post(view["links"]["pause"])
    api.post(f"{view['links']['self']}/resume")
    monkeypatch.setattr(EventBridge, "update", None)
    firing.fire(on_its_way)
    [task] = tasks(api)
    record = services().records.get(task["task_id"])
    assert record is not None
    assert payload_of(record)["name"] == "Bob"


@pytest.mark.parametrize("path", ["", "/history", "/pause", "/resume", "/run"])
def test_whoever_looks_at_it_sets_it_right(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Also if its next time is far away. Only once."""
    view = create(api, cron="0 0 1 1 *")
    cut_off(api, monkeypatch, view, cron(LATER))
    method = "GET" if path in ("", "/history") else "POST"
    assert api(method, f"{view['links']['self']}{path}").is_success
    assert expression(view) == "cron(30 7 * * ? *)"
    services().event_bridge.delete(view["schedule_id"])
    api.get(view["links"]["self"])
    assert on_aws(view["schedule_id"]) is None


def test_it_is_shown_while_eventbridge_is_away(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A log line says that the old times may fire; the next look sets them right."""
    view = create(api)
    cut_off(api, monkeypatch, view, cron(LATER))
    with out_of_reach("scheduler"):
        assert api.get(view["links"]["self"]).json()["cron"] == LATER
    assert "may fire by its times before an edit" in caplog.text
    api.get(view["links"]["self"])
    assert expression(view) == "cron(30 7 * * ? *)"


def test_one_that_was_over_before_it_was_set_right_is_removed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one time has passed without EventBridge: neither that nor the old times fire."""
    view = create(api)
    cut_off(api, monkeypatch, view, Schedule.at(SIX, payload=DAILY["payload"]))
    old = input_of(view, SIX + timedelta(days=1))
    later = int((SIX + timedelta(hours=1)).timestamp() * 1000)
    monkeypatch.setattr(clock, "now", lambda: later)
    firing.fire(old)
    assert (tasks(api), on_aws(view["schedule_id"])) == ([], None)
    assert api.get(view["links"]["self"]).json()["next_fire_times"] == []


def test_a_call_without_times_fires(api: Api) -> None:
    """A copy that was made before its input had them, or code's own schedule."""
    view = create(api)
    event = input_of(view, HALF_PAST_SEVEN)
    del event["times"]
    firing.fire(event)
    assert len(tasks(api)) == 1
